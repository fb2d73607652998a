// Fuzzes everything a front-end can say: the input is a script of messages, well formed or not, with descriptors of
// several kinds. Whatever it says, the session answers, refuses, or ends.

import CLinux
import Glibc
import Linux
import Packet
import VhostUser
import Virtio
import VirtioTesting

/// Stands in for a port.
private final class Owner: SessionOwner {
  func quiesce(_ session: Session) {}

  /// What a port would do: place every usable ring.
  func resume(_ session: Session) throws(SessionError) {
    let isPacked = session.features?.contains(.packedRing) == true
    for index in session.vrings.indices where session.isUsable(index) {
      guard let layout = try session.layout(of: index) else { continue }
      let size = session.vrings[index].size
      let start =
        RingPosition.reached(layout, packed: isPacked)
        ?? RingPosition(base: session.vrings[index].base, size: size, packed: isPacked)
      var queue = Virtqueue(layout, position: start, features: session.features ?? [], call: -1)
      _ = queue.pending(atMost: 32)
      session.vrings[index].base = queue.position.base(size: size, packed: isPacked)
    }
  }
}

extension Owner {
  func synchronize() {}
  func translationsChanged(_ session: Session) {}
  func announce(_ session: Session, address: MACAddress) {}
}

private struct Script {
  var bytes: ArraySlice<UInt8>

  mutating func byte() -> UInt8 { bytes.popFirst() ?? 0 }
  mutating func take(_ count: Int) -> [UInt8] {
    defer { bytes = bytes.dropFirst(count) }
    return Array(bytes.prefix(count))
  }
}

private struct World {
  let ram: GuestRAM
  let queue: GuestQueue

  init() throws {
    ram = try GuestRAM(size: 1 << 20)
    queue = try GuestQueue(ram, size: 64)
  }
}

private nonisolated(unsafe) let world: World? = try? World()

/// One message of the script: a choice, then its bytes.
private func sendNext(_ script: inout Script, _ frontEnd: ScriptedFrontEnd, _ world: World) throws {
  let choice = script.byte()
  let descriptors: [Int32] = [[], [world.ram.file.raw], [world.queue.kick.raw], [0, 1, 2]][Int(choice >> 6)]
  let ring = UInt32(choice & 1)
  switch choice & 0x3F {
  case 0: try frontEnd.sendRaw(script.take(Int(script.byte())), descriptors)
  case 1: try frontEnd.setMemory(world.ram)
  case 2: try frontEnd.start(world.queue, index: ring, base: UInt32(script.byte()))
  case 3: try frontEnd.send(.setFeatures, littleEndian(VirtioFeatures.implemented.rawValue))
  case 4: try frontEnd.send(.setProtocolFeatures, littleEndian(ProtocolFeatures.implemented.rawValue))
  case 5: try frontEnd.send(.setStatus, littleEndian(UInt64(15)))
  case 6: world.ram.store16(UInt16(script.byte()) << 4, at: world.queue.available + 2)
  default:
    let request = UInt32(choice & 0x3F) - 6
    try frontEnd.send(
      request, script.take(Int(script.byte())), descriptors, needReply: script.byte() & 1 == 1)
  }
}

extension FuzzTarget {
  static let vhostMessage = FuzzTarget("vhost-message", seeds: vhostMessageSeeds) { bytes in
    guard let world else { throw SystemError("make a guest", code: ENOMEM) }
    var ends: [Int32] = [0, 0]
    let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
    guard socketpair(AF_UNIX, type, 0, &ends) == 0 else { throw SystemError.last("make a pair of sockets") }
    let owner = Owner()
    let session = Session(Connection(FileDescriptor(owning: ends[0])), owner: owner)
    let frontEnd = ScriptedFrontEnd(FileDescriptor(owning: ends[1]))
    var script = Script(bytes: bytes[...])
    do {
      while !script.bytes.isEmpty {
        try sendNext(&script, frontEnd, world)
        try session.process()
        while try frontEnd.connection.receive() != nil {}
      }
    } catch {}
    session.end()
    withExtendedLifetime(owner) {}
  }

  /// A whole start, in both orders, and a message of each kind.
  private static func vhostMessageSeeds() -> [[UInt8]] {
    [
      [3, 4, 5, 1, 2, 16, 2, 0, 6, 3], [3, 1, 2, 0, 6, 1],
      (0..<40).flatMap { [6 + $0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1] },
    ]
  }
}
