import CLinux
import Glibc
import Linux
import Packet
import Testing
import Virtio
import VirtioTesting

@testable import Ports

/// SECURITY: descriptors no driver would write. Each costs its sender the frame; the descriptor goes back; the next
/// frame arrives.
@Suite struct HostileGuestTests {
  struct Chain: CustomTestStringConvertible, Sendable {
    let testDescription: String
    let reason: DropReason
    /// What to offer; `good` has 2048 valid bytes.
    let make: @Sendable (_ queue: GuestQueue, _ good: UInt64) -> [RawDescriptor]

    init(
      _ name: String, _ reason: DropReason = .badDescriptor,
      _ make: @escaping @Sendable (GuestQueue, UInt64) -> [RawDescriptor]
    ) {
      testDescription = name
      self.reason = reason
      self.make = make
    }

    /// One descriptor.
    init(
      _ name: String, _ reason: DropReason = .badDescriptor, length: UInt32, flags: UInt16 = 0,
      at address: UInt64? = nil
    ) {
      self.init(name, reason) { _, good in [RawDescriptor(address ?? good, length, flags: flags)] }
    }
  }

  private static let next = Descriptor.next
  private static let indirect = Descriptor.indirect

  static let badBuffers: [Chain] = [
    Chain("outside memory", length: 100, at: 1 << 40),
    Chain("ends beyond memory") { queue, _ in [RawDescriptor(UInt64(queue.ram.size) - 50, 100)] },
    Chain("address + length overflows", length: 100, at: .max - 20),
    Chain("length of 4 GiB", length: .max),
    Chain("zero length, bad address", length: 0, at: 1 << 50),
    Chain("zero length, bad address, in a chain") { _, good in
      [RawDescriptor(1 << 50, 0, flags: next), RawDescriptor(good, 100)]
    },
    Chain("writable", length: 100, flags: 2),
    Chain("writable in the middle") { _, good in
      [RawDescriptor(good, 100, flags: next), RawDescriptor(good, 100, flags: 2)]
    },
  ]

  static let runts: [Chain] = [
    Chain("zero length", .runt, length: 0),
    Chain("only a header", .runt, length: 12),
    Chain("only a header, in parts of a byte", .runt) { _, good in
      (0..<12).map { RawDescriptor(good, 1, flags: $0 < 11 ? next : 0) }
    },
    Chain("many parts of nothing", .runt) { _, good in
      (0..<100).map { RawDescriptor(good, 0, flags: $0 < 99 ? next : 0) }
    },
  ]

  static let badTables: [Chain] = [
    Chain("table of nothing", length: 0, flags: indirect),
    Chain("table of half an entry", length: 8, flags: indirect),
    Chain("table not a multiple of 16", length: 33, flags: indirect),
    Chain("table longer than the ring", length: 16 * 257, flags: indirect),
    Chain("table outside memory", length: 32, flags: indirect, at: 1 << 40),
    Chain("table at the end of addresses", length: 32, flags: indirect, at: .max - 15),
    Chain("table with a successor") { queue, good in
      queue.writeTable([RawDescriptor(good, 100)], at: good)
      return [RawDescriptor(good, 16, flags: indirect | next), RawDescriptor(good, 100)]
    },
    Chain("table in a table") { queue, good in
      queue.writeTable([RawDescriptor(good + 64, 16, flags: indirect)], at: good)
      queue.writeTable([RawDescriptor(good, 100)], at: good + 64)
      return [RawDescriptor(good, 16, flags: indirect)]
    },
    Chain("table of itself") { queue, _ in [RawDescriptor(queue.descriptors, 16, flags: indirect)] },
  ]

  /// Links are what the split layout has; the chain's first descriptor is number 0.
  static let badLinks: [Chain] = [
    Chain("points to itself") { [RawDescriptor($1, 1, flags: next, link: 0)] },
    Chain("circle of two") { _, good in
      [RawDescriptor(good, 1, flags: next), RawDescriptor(good, 0, flags: next, link: 0)]
    },
    Chain("next out of range") { [RawDescriptor($1, 1, flags: next, link: 256)] },
    Chain("next far out of range") { [RawDescriptor($1, 1, flags: next, link: 65_535)] },
    Chain("table pointing out of itself") { queue, good in
      queue.writeTable([RawDescriptor(good, 100, flags: next, link: 2)], at: good)
      return [RawDescriptor(good, 32, flags: indirect)]
    },
    Chain("circle in a table") { queue, good in
      queue.writeTable([0, 1].map { RawDescriptor(good, 0, flags: next, link: 1 - $0) }, at: good)
      return [RawDescriptor(good, 32, flags: indirect)]
    },
  ]

  @Test(arguments: badBuffers, GuestQueue.Layout.allCases)
  func `Row 14: a buffer that is not wholly in memory costs its frame`(
    chain: Chain, layout: GuestQueue.Layout
  ) throws { try offer(chain, layout) }

  @Test(arguments: badTables, GuestQueue.Layout.allCases)
  func `Row 15: a table that is none costs its frame`(chain: Chain, layout: GuestQueue.Layout) throws {
    try offer(chain, layout)
  }

  @Test(arguments: badLinks)
  func `Row 15: links that lead astray cost their frame`(chain: Chain) throws { try offer(chain, .split) }

  @Test(arguments: runts, GuestQueue.Layout.allCases)
  func `Row 17: a chain not longer than the header costs its frame`(
    chain: Chain, layout: GuestQueue.Layout
  ) throws { try offer(chain, layout) }

  /// The frame is dropped by name, its descriptors go back, and the next frame arrives.
  private func offer(_ chain: Chain, _ layout: GuestQueue.Layout) throws {
    let guest = try VhostUserGuest(VhostUserGuest.modern.union(layout.features))
    let queue = guest.driver.transmitQueue
    let good = guest.driver.ram.allocate(2048)
    let id = queue.offer(raw: chain.make(queue, good))
    #expect(guest.driver.offer(testFrame(60)))
    queue.publish()
    var frames: [[UInt8]] = []
    guest.harness.receive { bytes, _ in frames.append(bytes) }
    #expect(frames == [testFrame(60)])
    #expect(guest.harness.counters[chain.reason] == 1)
    #expect(queue.complete()?.head == id)
    #expect(queue.complete() != nil)
    #expect(queue.complete() == nil)
    #expect(guest.port.status.linkUp)
  }

  /// A table may be unaligned, lie across two regions, and follow ordinary descriptors (virtio 1.3 §2.7.5.3.2).
  @Test(arguments: GuestQueue.Layout.allCases)
  func `Row 13: a table across two regions, behind ordinary descriptors, is legal`(
    layout: GuestQueue.Layout
  ) throws {
    let ram = try GuestRAM(shape: .swappedHalves)
    let guest = try VhostUserGuest(VhostUserGuest.modern.union(layout.features), ram: ram)
    let queue = guest.driver.transmitQueue
    let frame = testFrame(200)
    let buffer = ram.allocate(2048)
    ram.write([UInt8](repeating: 0, count: 12) + frame, at: buffer)
    let table = ram.border! - 16
    queue.writeTable(
      [RawDescriptor(buffer + 50, 100, flags: Self.next), RawDescriptor(buffer + 150, 62)], at: table)
    queue.offer(raw: [
      RawDescriptor(buffer, 50, flags: Self.next), RawDescriptor(table, 32, flags: Self.indirect),
    ])
    queue.publish()
    var frames: [[UInt8]] = []
    guest.harness.receive { bytes, _ in frames.append(bytes) }
    #expect(frames == [frame])
  }

  @Test(arguments: GuestQueue.Layout.allCases)
  func `Row 15: a table that was not negotiated costs its frame`(layout: GuestQueue.Layout) throws {
    let guest = try VhostUserGuest(layout.features.union(.version1))
    #expect(guest.through(testFrame(60), indirect: true) == nil)
    #expect(guest.harness.counters[.badDescriptor] == 1)
    #expect(guest.driver.reclaim() == 1)
  }

  @Test func `Row 16: a head beyond a split ring is masked into it`() throws {
    let guest = try VhostUserGuest()
    let queue = guest.driver.transmitQueue
    for head: UInt16 in [256, 65_535, 511] { queue.offer(head) }
    queue.publish()
    guest.harness.receive()
    #expect(queue.deviceUsedIndex == 3)
    for slot in 0..<3 { #expect(queue.usedElement(slot).head < 256) }
  }

  /// What costs a guest its connection, which names why; the ring is that of frames it sends, or receives.
  struct Violation: CustomTestStringConvertible, Sendable {
    let testDescription: String
    let layout: GuestQueue.Layout
    let write: @Sendable (GuestQueue) -> Void
  }

  static let jumps = Violation(testDescription: "available index", layout: .split) {
    $0.setAvailableIndex(257)
  }
  static let endless = Violation(testDescription: "chain without end", layout: .packed) { queue in
    queue.offer(raw: (0..<256).map { _ in RawDescriptor(0x100, 1, flags: next) })
    queue.publish()
  }

  @Test(arguments: [true, false])
  func `Row 16: an available index further ahead than the ring is long stops the port`(sends: Bool) throws {
    try violate(Self.jumps, sends)
  }

  @Test(arguments: [true, false])
  func `Row 21: a chain longer than the packed ring stops the port`(sends: Bool) throws {
    try violate(Self.endless, sends)
  }

  private func violate(_ violation: Violation, _ sends: Bool) throws {
    let features = VhostUserGuest.modern.union(violation.layout.features)
    let guest = try VhostUserGuest(features)
    violation.write(sends ? guest.driver.transmitQueue : guest.driver.receiveQueue)
    if sends { #expect(guest.harness.receive() == 0) } else { guest.harness.transmit([testFrame(60)]) }
    #expect(guest.harness.wait { !guest.port.status.linkUp })
    #expect(guest.port.status.error?.contains("broke a ring's rules") == true)
    #expect(guest.frontEnd.isClosedByPeer())
    #expect(guest.harness.counters[.transmittedFrames] == 0)

    // A better front-end on the same port is served.
    guest.frontEnd = try guest.connect()
    guest.driver = try GuestDriver(features: features)
    try guest.frontEnd.negotiate(features)
    try guest.frontEnd.start(guest.driver)
    #expect(guest.harness.wait { guest.port.status.linkUp })
    #expect(guest.port.status.error == nil)
    #expect(guest.through(testFrame(60))?.bytes == testFrame(60))
  }

  /// Ids are the driver's own; the switch gives them back as they came, and never counts by them.
  @Test func `Row 21: buffer ids of a packed ring may be anything`() throws {
    let guest = try VhostUserGuest(VhostUserGuest.modern.union(.packedRing))
    let buffer = guest.driver.ram.allocate(2048)
    guest.driver.ram.write([UInt8](repeating: 0, count: 12) + testFrame(100), at: buffer)
    let queue = guest.driver.transmitQueue
    for id: UInt16 in [256, .max, 0x8000, 7, 7] {
      queue.offer(raw: [RawDescriptor(buffer, 112, link: id)])
      queue.publish()
      var frames: [[UInt8]] = []
      guest.harness.receive { bytes, _ in frames.append(bytes) }
      #expect(frames == [testFrame(100)])
      #expect(queue.complete()?.head == id)
    }
  }

  /// Every slot looks offered on this lap, then on the last again: as many frames as slots, and none twice.
  @Test func `Row 21: games with wrap counters send no frame twice`() throws {
    let guest = try VhostUserGuest(VhostUserGuest.modern.union(.packedRing), ringSize: 16)
    let buffer = guest.driver.ram.allocate(2048)
    guest.driver.ram.write([UInt8](repeating: 0, count: 12) + testFrame(100), at: buffer)
    for lap in 1...5 {
      for _ in 0..<2 {
        for slot: UInt16 in 0..<16 {
          guest.driver.transmitQueue.setDescriptor(
            slot, address: buffer, length: 112, flags: lap % 2 == 1 ? 0x80 : 0x8000, next: slot)
        }
        while guest.harness.receive() > 0 {}
        #expect(guest.harness.counters[.receivedFrames] == UInt64(16 * lap))
      }
    }
    #expect(guest.port.status.linkUp)
  }

  /// The front-end truncates its memory file: another port goes on.
  @Test func `Row 2: a sender's memory is truncated, and another port goes on`() throws {
    let guest = try VhostUserGuest()
    let other = try VhostUserGuest(loop: guest.loop)
    other.driver.post(8, sizes: [2048])
    #expect(guest.driver.send(testFrame(1000)))
    #expect(ftruncate(guest.driver.ram.file.raw, 0) == 0)
    guest.harness.forward(to: other.harness)
    guest.harness.receive()
    #expect(guest.harness.wait { guest.port.status.error != nil })
    #expect(guest.port.status.error?.contains("truncated") == true)
    #expect(!guest.port.status.linkUp)
    #expect(other.port.status.linkUp)
    #expect(other.through(testFrame(60))?.bytes == testFrame(60))
    // The guest's own mapping is gone too: its rings may not be touched any more.
    guest.driver = try GuestDriver(features: VhostUserGuest.modern)
  }

  @Test func `Row 2: a receiver's memory is truncated`() throws {
    let guest = try VhostUserGuest()
    guest.driver.post(8, sizes: [2048])
    #expect(ftruncate(guest.driver.ram.file.raw, 0) == 0)
    guest.harness.transmit([testFrame(60), testFrame(1000)])
    guest.harness.transmit([testFrame(60)])
    guest.harness.receive()
    #expect(guest.harness.wait { guest.port.status.error != nil })
    #expect(!guest.port.status.linkUp)
    guest.driver = try GuestDriver(features: VhostUserGuest.modern)
  }
}
