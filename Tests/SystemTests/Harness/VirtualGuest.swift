import Linux
import Packet
import VhostUser
import Virtio
import VirtioTesting

/// A guest played by the test itself: a front-end and a driver on a port's socket, with real rings.
final class VirtualGuest {
  private let driver: GuestDriver
  private let frontEnd: ScriptedFrontEnd

  /// Connects to the vhost-user socket at `path` and starts the rings.
  /// - Parameters:
  ///   - features: all of them have to be offered.
  ///   - buffers: lengths of the buffers of a receive chain.
  init(_ path: String, features: VirtioFeatures, buffers: [Int], chains: Int) throws {
    driver = try GuestDriver(ram: GuestRAM(size: 64 << 20), features: features, ringSize: 1024)
    frontEnd = try ScriptedFrontEnd(connecting: path)
    let agreed = try frontEnd.negotiate(features, [.replyAcknowledgement])
    guard agreed.isSuperset(of: features) else {
      throw HarnessError("the switch does not offer features \(features.subtracting(agreed).rawValue)")
    }
    driver.post(chains, sizes: buffers)
    try frontEnd.start(driver)
  }

  /// Offers frames and then makes all of them visible at once.
  func send(_ frames: [([UInt8], Offload)]) throws {
    for (frame, offload) in frames {
      guard driver.offer(frame, offload: offload) else { throw HarnessError("the send ring is full") }
    }
    if driver.transmitQueue.publish() { driver.transmitQueue.kick.signal() }
  }

  func receive() -> Arrival? {
    driver.receive().map { Arrival(bytes: $0.bytes, offload: $0.offload) }
  }
}
