import Glibc
import Linux
import Packet
import VhostUser
import Virtio
import VirtioTesting

/// A guest played by the test, whose connection, front-end or all of it can go and come back.
///
/// Coming back, its front-end tells the switch to begin rings at their beginning, whatever has happened in them: it
/// stands for one that does not know better, as QEMU with packed rings after its back-end was killed.
final class ResumingGuest {
  let port: String
  private let role: Guest.Role
  private let features: VirtioFeatures
  private let pairs: Int
  /// The last byte of its address.
  private let number: UInt8
  private let path: String
  private(set) var driver: GuestDriver
  private var frontEnd: ScriptedFrontEnd?
  private var listener: Listener?

  static let ringSize = 64
  /// Receive buffers of each pair.
  static let posted = 48

  /// Made, but not connected. One that listens does so at once.
  init(
    _ port: String, at path: String, _ role: Guest.Role, _ features: VirtioFeatures, pairs: Int, number: UInt8
  )
    throws
  {
    self.port = port
    self.path = path
    self.role = role
    self.features = features
    self.pairs = pairs
    self.number = number
    driver = try Self.boot(features, pairs)
    if role == .listens { listener = try Listener(path) }
  }

  private static func boot(_ features: VirtioFeatures, _ pairs: Int) throws -> GuestDriver {
    let ram = try GuestRAM(size: 4 << 20)
    let driver = try GuestDriver(ram: ram, features: features, ringSize: ringSize, pairs: pairs)
    for pair in driver.pairs { pair.post(posted, sizes: [1024]) }
    return driver
  }

  // MARK: the connection

  var isConnected: Bool { frontEnd != nil }

  /// Waits for the switch, and starts all rings with it.
  func connect() throws {
    var connected: ScriptedFrontEnd?
    try eventually("\(port) and the switch are connected", within: 10, pause: 1000) {
      connected = role == .listens ? try listener?.accept() : try? ScriptedFrontEnd(connecting: path)
      return connected != nil
    }
    let frontEnd = connected!
    let agreed = try frontEnd.negotiate(features)
    guard agreed.isSuperset(of: features) else {
      throw HarnessError("the switch does not offer features \(features.subtracting(agreed).rawValue)")
    }
    try frontEnd.start(driver)
    // All that has been said was heard when this is answered.
    _ = try frontEnd.askNumber(.getQueueCount)
    self.frontEnd = frontEnd
  }

  /// The connection goes; the driver, its rings and a listening socket stay.
  func drop() { frontEnd = nil }

  /// Everything goes, in the middle of what it did.
  func die() {
    drop()
    listener = nil
  }

  /// A new one, after `die`.
  func boot() throws {
    driver = try Self.boot(features, pairs)
    if role == .listens { listener = try Listener(path) }
  }

  /// A listening socket and its file, which QEMU removes before it listens again.
  private final class Listener {
    private let descriptor: FileDescriptor

    init(_ path: String) throws {
      unlink(path)
      descriptor = try UnixSocket.listen(path)
    }

    deinit { shutdown(descriptor.raw, Int32(SHUT_RDWR)) }

    func accept() throws -> ScriptedFrontEnd? {
      guard let socket = try UnixSocket.accept(descriptor.raw) else { return nil }
      return ScriptedFrontEnd(socket)
    }
  }

  // MARK: traffic

  /// What a frame says of itself.
  struct Label: Hashable {
    /// Which of the test's phases it was sent in.
    var epoch: UInt8
    /// The pair it was sent by, and how many were before it.
    var pair: UInt8
    var number: UInt16
  }

  /// Sends one frame by `pair`, if there is room for it.
  func send(_ label: Label) -> Bool {
    let bytes: [UInt8] =
      [2, 0, 0, 0, 1, number ^ 1, 2, 0, 0, 0, 1, number, 0x88, 0xB5, label.epoch, label.pair]
      + littleEndian(label.number)
    return driver.pairs[Int(label.pair)].send(bytes + [UInt8](repeating: label.epoch, count: 200))
  }

  /// Labels of the frames that have arrived, by any pair.
  func receive() -> [Label] {
    var labels: [Label] = []
    for pair in driver.pairs {
      while let frame = pair.receive()?.bytes {
        guard frame.count == 218 else { continue }
        labels.append(
          Label(epoch: frame[14], pair: frame[15], number: UInt16(frame[16]) | UInt16(frame[17]) << 8))
      }
    }
    return labels
  }

  /// Whether every buffer has come back or is offered: nothing sent is under way, and receive buffers are all there.
  var hasAllBuffers: Bool {
    driver.pairs.allSatisfy { pair in
      pair.reclaim()
      return pair.transmitQueue.freeCount == Self.ringSize
        && pair.receiveQueue.freeCount == Self.ringSize - Self.posted
    }
  }
}
