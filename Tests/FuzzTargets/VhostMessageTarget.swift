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

  /// What a port would do: place every usable ring, take what it offers, and note what it writes.
  func resume(_ session: Session) throws(SessionError) {
    for index in session.vrings.indices where session.isUsable(index) {
      guard let layout = try session.layout(of: index) else { continue }
      let size = session.vrings[index].size
      let start =
        RingPosition.reached(layout, packed: session.isPacked)
        ?? RingPosition(base: session.vrings[index].base, size: size, packed: session.isPacked)
      var queue = Virtqueue(
        layout, position: start, features: session.features ?? [], call: -1, log: session.dirtyLog)
      let elements = UnsafeMutablePointer<Element>.allocate(capacity: 32)
      elements.initialize(repeating: .zero, count: 32)
      defer { elements.deallocate() }
      let count = queue.pending(atMost: 32)
      if count > 0 {
        queue.elements(count, into: elements)
        queue.pop(count)
        queue.fill(elements, count: count)
        _ = queue.flush()
      }
      session.vrings[index].base = queue.position.base(size: size, packed: session.isPacked)
    }
  }

  func synchronize() {}
  func translationsChanged(_ session: Session) {}
  func announce(_ session: Session, address: MACAddress) {}

  /// What a poll thread would do: a byte here and there, by guest-physical or I/O virtual address.
  func touch(_ session: Session, _ address: UInt64, forWriting: Bool) {
    guard let memory = session.memory else { return }
    var map = memory.map
    if let translations = session.translations {
      map = (forWriting ? translations.writable : translations.readable).pointee.current
    }
    guard let bytes = map.translate(address, 64) else {
      if session.translations != nil { session.requestTranslation(of: address, forWriting: forWriting) }
      return
    }
    if forWriting {
      bytes.storeBytes(of: 1, toByteOffset: 63, as: UInt8.self)
      session.dirtyLog?.mark(bytes, 64)
    } else {
      withExtendedLifetime(bytes.load(fromByteOffset: 63, as: UInt8.self)) {}
    }
  }
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
  let log: GuestDirtyLog
  let queues: [GuestQueue]

  init() throws {
    ram = try GuestRAM(size: 1 << 20, shape: .swappedHalves)
    log = try GuestDirtyLog(ram, offset: 4096)
    queues = try [GuestQueue(ram, size: 64), GuestQueue(ram, size: 64, features: .packedRing)]
  }
}

private nonisolated(unsafe) let world: World? = try? World()

/// A conversation: what a front-end says, by a script.
private struct Conversation {
  var script: Script
  let world: World
  let frontEnd: ScriptedFrontEnd
  let session: Session
  let owner: Owner

  mutating func run() throws {
    while !script.bytes.isEmpty {
      try sendNext()
      try session.process()
      while try frontEnd.connection.receive() != nil {}
    }
  }

  /// One message of the script: a choice, then its bytes.
  private mutating func sendNext() throws {
    let choice = script.byte()
    let descriptors: [Int32] = [[], [world.ram.file.raw], [world.queues[0].kick.raw], [0, 1, 2]][
      Int(choice >> 6)]
    switch choice & 0x3F {
    case 0: try frontEnd.sendRaw(script.take(Int(script.byte())), descriptors)
    case 1: try frontEnd.setMemory(world.ram)
    case 2: try startRing()
    case 3: try sendFeatures()
    case 4: try frontEnd.send(.setProtocolFeatures, littleEndian(ProtocolFeatures.implemented.rawValue))
    case 5: try frontEnd.send(.setStatus, littleEndian(UInt64(15)))
    case 6: world.ram.store16(UInt16(script.byte()) << 4, at: world.queues[0].available + 2)
    case 7: try frontEnd.openBackEndChannel()
    case 8: _ = try frontEnd.serveBackEnd(acknowledged: false)
    case 9: try sendTranslation()
    case 10: try sendRegion()
    case 11: try frontEnd.send(.setLogBase, world.log.payload, [world.log.file.raw])
    case 12:
      let choice = script.byte()
      owner.touch(session, UInt64(choice & 0x7F) << 13, forWriting: choice & 0x80 != 0)
    default:
      let request = UInt32(choice & 0x3F) - 12
      try frontEnd.send(
        request, script.take(Int(script.byte())), descriptors, needReply: script.byte() & 1 == 1)
    }
  }

  /// Ring, layout and base of the script's choice.
  private mutating func startRing() throws {
    let (choice, base) = (script.byte(), script.byte())
    let queue = world.queues[Int(choice >> 7)]
    try frontEnd.start(queue, index: UInt32(choice & 3), base: choice & 0x40 != 0 ? nil : UInt32(base))
  }

  /// Everything but what the script leaves out.
  private mutating func sendFeatures() throws {
    let optional: [VirtioFeatures] = [.packedRing, .accessPlatform, .logAll, .protocolFeatures]
    let choice = script.byte()
    var features = VirtioFeatures.implemented
    for (bit, feature) in optional.enumerated() where choice & 1 << bit != 0 { features.remove(feature) }
    try frontEnd.send(.setFeatures, littleEndian(features.rawValue))
  }

  /// An update or an invalidation, mostly of memory there is.
  private mutating func sendTranslation() throws {
    let (choice, iova, pages, user) = (script.byte(), script.byte(), script.byte(), script.byte())
    let message = GuestIOMMU.Message(
      choice & 1 == 0 ? .update : .invalidate, iova: UInt64(iova) << 12, size: UInt64(pages) << 12,
      userAddress: world.ram.userAddress(0) &+ UInt64(user) << 12, access: .init(rawValue: choice >> 6))
    try frontEnd.send(.iotlbMessage, message.bytes, needReply: choice & 2 != 0)
  }

  /// Adds or removes a part of memory.
  private mutating func sendRegion() throws {
    let (choice, start, pages) = (script.byte(), script.byte(), script.byte())
    let address = UInt64(start) << 12
    let region = GuestRegionDescription(
      guestAddress: address, size: UInt64(pages) << 12,
      userAddress: world.ram.userAddress(0) &+ address, fileOffset: address)
    let isAdded = choice & 1 == 0
    try frontEnd.send(
      isAdded ? .addMemoryRegion : .removeMemoryRegion, ScriptedFrontEnd.memorySlot(region),
      isAdded ? [world.ram.file.raw] : [], needReply: choice & 2 != 0)
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
    frontEnd.answer(from: GuestIOMMU(world.ram))
    var conversation = Conversation(
      script: Script(bytes: bytes[...]), world: world, frontEnd: frontEnd, session: session, owner: owner)
    do { try conversation.run() } catch {}
    session.end()
    for queue in world.queues { queue.reset() }
    withExtendedLifetime(owner) {}
  }

  /// Whole starts of either layout, in both orders, with a vIOMMU, with slots and a log; and a message of each kind.
  private static func vhostMessageSeeds() -> [[UInt8]] {
    let withoutIOMMU: UInt8 = 2
    let split: UInt8 = 1 | 4 | withoutIOMMU
    return [
      [4, 3, split, 1, 2, 0, 16, 2, 1, 0, 5, 6, 3], [3, split, 1, 2, 0x40, 0, 6, 1],
      [4, 3, 4 | withoutIOMMU, 1, 2, 0xC0, 0, 2, 0xC1, 0, 5],
      [4, 7, 3, 4 | 1, 1, 2, 0x40, 0, 5, 12, 3, 12, 0x85, 8, 9, 0xC0, 6, 4, 6, 9, 3, 6, 4, 0, 12, 3],
      [4, 10, 0, 0, 128, 11, 3, withoutIOMMU, 2, 0xC0, 0, 5, 12, 0x81, 10, 1, 0, 128, 12, 1],
      (0..<43).flatMap { [13 + $0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1] },
    ]
  }
}
