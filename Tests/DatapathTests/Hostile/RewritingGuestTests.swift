import Glibc
import Linux
import Packet
import Ports
import Seeded
import Synchronization
import Testing
import Virtio
import VirtioTesting

@testable import Datapath

/// SECURITY: a thread of the guest rewrites everything the switch reads, while the switch reads it.
@Suite("Row 18: a guest that rewrites what is being read") struct RewritingGuestTests {
  @Test(arguments: [1, 2], GuestQueue.Layout.allCases)
  func `Row 18: rewriting rings, headers and frames at full speed touches nobody else's traffic`(
    threads: Int, layout: GuestQueue.Layout
  ) throws {
    let lab = try GuestLab(threads: threads)
    // The attacker and whom it can talk to share a VLAN; the two others have one to themselves.
    let attacker = try lab.addGuest(tag: 10, features: GuestLab.features.union(layout.features))
    let partner = try lab.addGuest(tag: 10, ringSize: 1024)
    let sender = try lab.addGuest(tag: 20)
    let receiver = try lab.addGuest(tag: 20)
    partner.driver.post(256, sizes: [2048])
    receiver.driver.post(256, sizes: [2048])
    try lab.introduce(receiver)

    let attack = try Attack(on: attacker, toward: partner.address)
    var frames = NumberedFrames(sender, receiver)
    var overheard = 0
    var fromAttacker = 0
    frames.run(1000) {
      // No more than a few at a time: the attacker may be faster than this looks.
      for _ in 0..<8 {
        guard let frame = partner.driver.receive() else { break }
        fromAttacker += 1
        if contains(frame.bytes, NumberedFrames.mark) { overheard += 1 }
      }
    }
    #expect(attack.join() == Attack.writes)
    lab.settle()

    // Every frame of the others arrived, intact, in order, counted, and nowhere else.
    #expect(frames.faults == [])
    #expect(frames.received == 1000)
    #expect(overheard == 0)
    #expect(lab.statistics(sender)[.receivedFrames] == 1000)
    #expect(lab.statistics(receiver)[.transmittedFrames] == 1000)
    #expect(lab.statistics(sender).receiveDrops == 0)
    #expect(lab.statistics(receiver).transmitDrops == 0)
    // The attacker's own were forwarded or dropped by name; its port goes on.
    let own = lab.statistics(attacker)
    // What a packed ring's device took for buffers, only the device can tell.
    if layout == .split {
      let taken = UInt64(attack.taken)
      #expect(taken >= own[.receivedFrames])
      #expect(taken <= own[.receivedFrames] + own.receiveDrops, "\(taken) of \(own)")
    }
    #expect(own[.receivedFrames] > 0)
    #expect(own.receiveDrops > 0)
    #expect(fromAttacker > 0)
    #expect(lab.guests.allSatisfy { $0.port.status.linkUp && $0.port.status.error == nil })
  }

  /// By the C library: some of the frames have 64 KiB, and there are many.
  private func contains(_ bytes: [UInt8], _ pattern: [UInt8]) -> Bool {
    bytes.withUnsafeBytes { buffer in
      var start = 0
      while buffer.count - start >= pattern.count {
        let rest = buffer.baseAddress! + start
        let starts = buffer.count - start - pattern.count + 1
        guard let found = memchr(rest, Int32(pattern[0]), starts) else { return false }
        if memcmp(found, pattern, pattern.count) == 0 { return true }
        start += UnsafeRawPointer(found) - rest + 1
      }
      return false
    }
  }
}

/// The attacking guest's threads: one offers frames without end, the other rewrites descriptors, tables, offload headers
/// and frames, whatever the switch is doing with them.
private final class Attack {
  static let writes = 100_000
  private static let buffers = 32
  private static let heads = 64

  private let shared: Shared
  private var threads: [() -> Void] = []

  private final class Shared: @unchecked Sendable {
    let ram: GuestRAM
    let queue: GuestQueue
    let buffers: [UInt64]
    let tables: [UInt64]
    let partner: UInt64
    let written = Atomic<Int>(0)
    let taken = Atomic<Int>(0)

    init(_ guest: GuestLab.Guest, partner: UInt64) {
      ram = guest.driver.ram
      queue = guest.driver.transmitQueue
      self.partner = partner
      buffers = (0..<Attack.buffers).map { [ram] _ in ram.allocate(2048) }
      tables = (0..<8).map { [ram] _ in ram.allocate(16 * 8) }
    }
  }

  init(on guest: GuestLab.Guest, toward partner: UInt64) throws {
    shared = Shared(guest, partner: partner)
    let good =
      [UInt8](repeating: 0, count: 12)
      + frame(to: partner, from: guest.address, payload: [UInt8](repeating: 7, count: 200))
    for buffer in shared.buffers { shared.ram.write(good, at: buffer) }
    for head in 0..<Self.heads { Self.restore(shared, UInt16(head)) }
    let offer = shared.queue.layout == .packed ? Self.offerSlots : Self.offerHeads
    for (name, body) in [("rewrite", Self.rewrite), ("offer", offer)] {
      var thread: Thread? = try Thread(name: name) { [shared] in body(shared) }
      threads.append { thread.take()?.join() }
    }
  }

  /// How many writes were made, once both threads have ended.
  func join() -> Int {
    for thread in threads { thread() }
    return shared.written.load(ordering: .acquiring)
  }

  /// Chains the switch has taken.
  var taken: Int { shared.taken.load(ordering: .acquiring) }

  /// Offers heads, never further ahead than the ring is long, until the other thread has done its writes.
  @Sendable private static func offerHeads(_ shared: Shared) {
    let queue = shared.queue
    var head: UInt16 = 0
    var deadline = monotonicNanoseconds() + 60_000_000_000
    while monotonicNanoseconds() < deadline {
      let isOver = shared.written.load(ordering: .acquiring) >= writes
      let waiting = queue.availableIndex &- queue.deviceUsedIndex
      if isOver {
        if waiting == 0 { break }
        deadline = min(deadline, monotonicNanoseconds() + 20_000_000_000)
      } else if waiting < 128 {
        queue.offer(head % UInt16(heads))
        head &+= 1
        queue.publish()
        queue.kick.signal()
        shared.taken.add(1, ordering: .releasing)
        continue
      }
      sched_yield()
    }
  }

  /// The same of a packed ring: the slots before the device are offered again and again, be they or not.
  @Sendable private static func offerSlots(_ shared: Shared) {
    let deadline = monotonicNanoseconds() + 60_000_000_000
    while shared.written.load(ordering: .acquiring) < writes && monotonicNanoseconds() < deadline {
      for head in 0..<UInt16(heads) { restore(shared, head) }
      shared.queue.kick.signal()
      sched_yield()
    }
  }

  @Sendable private static func rewrite(_ shared: Shared) {
    var random = SeededRandom(seed: 18)
    for _ in 0..<writes {
      let buffer = shared.buffers[Int.random(in: 0..<buffers, using: &random)]
      switch Int.random(in: 0..<10, using: &random) {
      case 0, 1: restore(shared, UInt16.random(in: 0..<UInt16(heads), using: &random))
      case 2, 3:
        descriptor(shared, place(shared, UInt16.random(in: 0..<UInt16(heads), using: &random)).at, &random)
      case 4:
        descriptor(
          shared,
          shared.tables.randomElement(using: &random)! + 16 * UInt64.random(in: 0..<8, using: &random),
          &random)
      case 5:
        // The offload header: flags, type, lengths and offsets, likely ones and any.
        let plausible: UInt64 = 1 | 1 << 8 | 54 << 16 | 100 << 32 | 34 << 48
        shared.ram.store64(Bool.random(using: &random) ? plausible : random.next(), at: buffer)
        shared.ram.store16(UInt16.random(in: 0..<64, using: &random), at: buffer + 8)
      case 6: shared.ram.store64(0, at: buffer)
      case 7:
        // Addresses, type and tag; often so that the frame has somewhere to go.
        let bytes = frame(
          to: Bool.random(using: &random) ? shared.partner : random.next() >> 16,
          from: random.next() >> 16 & ~(1 << 40),
          tag: Int.random(in: 0..<4, using: &random) == 0 ? UInt16.random(in: 0..<4096, using: &random) : nil,
          type: [0x0800, 0x86DD, 0x8100, 0x88B5].randomElement(using: &random)!)
        shared.ram.write(bytes, at: buffer + 12)
      default:
        // Payload headers: versions, lengths, protocols.
        shared.ram.store16(
          UInt16.random(in: .min ... .max, using: &random),
          at: buffer + 12 + 2 * UInt64.random(in: 0..<40, using: &random))
      }
      shared.written.add(1, ordering: .releasing)
    }
  }

  /// Where a descriptor to write is, and what offers it there: entry `head` of a split ring's table, or that many slots
  /// from where a packed ring's device is.
  private static func place(_ shared: Shared, _ head: UInt16) -> (at: UInt64, index: UInt16, flags: UInt16) {
    let (slot, flags) = shared.queue.layout == .packed ? shared.queue.slot(fromDevice: head) : (head, 0)
    return (shared.queue.descriptors + 16 * UInt64(slot), slot, flags)
  }

  /// A good frame again: in one descriptor, in two, or in a table.
  private static func restore(_ shared: Shared, _ head: UInt16) {
    let queue = shared.queue
    let buffer = shared.buffers[Int(head) % buffers]
    let (_, index, flags) = place(shared, head)
    func set(_ address: UInt64, _ length: UInt32, _ other: UInt16 = 0, next: UInt16? = nil) {
      queue.setDescriptor(
        index, address: address, length: length, flags: flags | other,
        next: queue.layout == .packed ? index : next ?? 0)
    }
    switch head % 4 {
    case 0:
      let table = shared.tables[Int(head) / 4 % shared.tables.count]
      queue.writeTable(
        [RawDescriptor(buffer, 12, flags: Descriptor.next), RawDescriptor(buffer + 12, 214)], at: table)
      set(table, 32, Descriptor.indirect)
    case 1:
      let second = queue.layout == .packed ? place(shared, head + 1) : place(shared, 200 + head % 50)
      queue.setDescriptor(
        second.index, address: buffer + 40, length: 186, flags: second.flags, next: second.index)
      set(buffer, 40, Descriptor.next, next: second.index)
    default: set(buffer, 226)
    }
  }

  private static func descriptor(_ shared: Shared, _ at: UInt64, _ random: inout SeededRandom) {
    let addresses: [UInt64] = [
      shared.buffers[Int.random(in: 0..<buffers, using: &random)], shared.queue.descriptors, shared.tables[0],
      1 << 50, .max - 8,
    ]
    let address = addresses.randomElement(using: &random)!
    let length =
      [0, 1, 11, 12, 26, 76, 226, 1500, 2048, 65_600, 1 << 31].randomElement(using: &random)! as UInt32
    var flags = [0, 0, 0, 1, 1, 2, 3, 4, 5, 0xFFFF].randomElement(using: &random)! as UInt16
    if shared.queue.layout == .packed {
      flags ^= [0x80, 0x80, 0x8000, 0x8000, 0].randomElement(using: &random)!
    }
    shared.queue.writeDescriptor(
      at, address: address, length: length, flags: flags, next: UInt16.random(in: 0..<300, using: &random))
  }
}
