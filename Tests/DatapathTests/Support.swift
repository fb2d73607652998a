import Seeded
import Glibc
import Linux
import Packet
import Ports

@testable import Datapath

/// An Ethernet frame; `tag` is a whole TCI.
func frame(
  to destination: UInt64, from source: UInt64, tag: UInt16? = nil, type: UInt16 = 0x88B5,
  payload: [UInt8] = [1, 2, 3]
) -> [UInt8] {
  func bytes(_ address: UInt64) -> [UInt8] {
    (0..<6).map { UInt8(truncatingIfNeeded: address >> (40 - 8 * $0)) }
  }
  var frame = bytes(destination) + bytes(source)
  if let tag { frame += [0x81, 0x00, UInt8(tag >> 8), UInt8(tag & 0xFF)] }
  frame += [UInt8(type >> 8), UInt8(type & 0xFF)] + payload
  return frame
}

/// A datapath with memory ports on one bridge.
final class Bench {
  let loop: EventLoop
  let datapath: Datapath
  let bridge: BridgeID
  /// What the datapath began with.
  let poll: PollSettings
  private(set) var ports: [(id: PortID, port: MemoryPort)] = []

  init(
    _ vlans: [VLANConfiguration], accepts: [OffloadCapabilities]? = nil,
    settings: BridgeSettings = BridgeSettings(),
    threads: Int = 1, cpus: [Int]? = nil
  ) throws {
    loop = try EventLoop()
    // A thread whose processor does not exist runs anywhere.
    Log.setLevel(.off)
    var poll = PollSettings()
    if threads > 1 { poll.cpus = [Int](repeating: 0, count: threads) }
    if let cpus { poll.cpus = cpus }
    self.poll = poll
    datapath = try Datapath(loop: loop, settings: poll)
    bridge = datapath.addBridge("br0", settings)
    for (index, vlan) in vlans.enumerated() {
      let port = MemoryPort(name: "p\(index)", capacity: 4096, accepts: accepts?[index] ?? .all)
      ports.append((try datapath.addPort(port, to: bridge, vlan: vlan), port))
    }
  }

  deinit { datapath.stop() }

  func remove(_ index: Int) {
    datapath.removePort(ports[index].id)
    ports.remove(at: index)
  }

  /// Hands `bytes` to the switch at port `index`, and waits until the switch has dealt with them.
  func send(_ bytes: [UInt8], at index: Int, offload: Offload = .none) {
    let before = handled(index)
    precondition(ports[index].port.send(bytes, offload: offload))
    waitUntil { self.handled(index) > before }
    // Received is counted before transmitted: one further quiescent point, and the burst is over.
    ports[index].port.synchronize()
  }

  /// Frames delivered to port `index` since the last call.
  func received(at index: Int) -> [[UInt8]] {
    var frames: [[UInt8]] = []
    while let next = ports[index].port.next() { frames.append(next.bytes) }
    return frames
  }

  func statistics(_ index: Int) -> PortStatistics { datapath.statistics(of: ports[index].id) }

  private func handled(_ index: Int) -> UInt64 { statistics(index)[.receivedFrames] }

  private func waitUntil(_ condition: () -> Bool) {
    let deadline = monotonicNanoseconds() + 20_000_000_000
    while !condition() {
      precondition(monotonicNanoseconds() < deadline, "the poll thread did not take the frame within 20 s")
      usleep(5)
    }
  }
}
