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
    /// Writes descriptors; `good` has 2048 valid bytes. The chain's head is descriptor 100.
    let write: @Sendable (_ queue: GuestQueue, _ good: UInt64) -> Void

    init(
      _ name: String, _ reason: DropReason = .badDescriptor,
      _ write: @escaping @Sendable (GuestQueue, UInt64) -> Void
    ) {
      testDescription = name
      self.reason = reason
      self.write = write
    }
  }

  private static let next = Descriptor.next
  private static let indirect = Descriptor.indirect

  static let chains: [Chain] = [
    Chain("outside memory") { queue, _ in
      queue.setDescriptor(100, address: 1 << 40, length: 100, flags: 0, next: 0)
    },
    Chain("ends beyond memory") { queue, _ in
      queue.setDescriptor(100, address: UInt64(queue.ram.size) - 50, length: 100, flags: 0, next: 0)
    },
    Chain("address + length overflows") { queue, _ in
      queue.setDescriptor(100, address: .max - 20, length: 100, flags: 0, next: 0)
    },
    Chain("length of 4 GiB") { $0.setDescriptor(100, address: $1, length: .max, flags: 0, next: 0) },
    Chain("zero length, bad address") { queue, good in
      queue.setDescriptor(100, address: 1 << 50, length: 0, flags: next, next: 101)
      queue.setDescriptor(101, address: good, length: 100, flags: 0, next: 0)
    },
    Chain("zero length", .runt) { $0.setDescriptor(100, address: $1, length: 0, flags: 0, next: 0) },
    Chain("only a header", .runt) { $0.setDescriptor(100, address: $1, length: 12, flags: 0, next: 0) },
    Chain("writable") { $0.setDescriptor(100, address: $1, length: 100, flags: 2, next: 0) },
    Chain("writable in the middle") { queue, good in
      queue.setDescriptor(100, address: good, length: 100, flags: next, next: 101)
      queue.setDescriptor(101, address: good, length: 100, flags: 2, next: 0)
    },
    Chain("points to itself") { $0.setDescriptor(100, address: $1, length: 1, flags: next, next: 100) },
    Chain("circle of two") { queue, good in
      queue.setDescriptor(100, address: good, length: 1, flags: next, next: 101)
      queue.setDescriptor(101, address: good, length: 0, flags: next, next: 100)
    },
    Chain("next out of range") { $0.setDescriptor(100, address: $1, length: 1, flags: next, next: 256) },
    Chain("next far out of range") {
      $0.setDescriptor(100, address: $1, length: 1, flags: next, next: 65_535)
    },
    Chain("table of nothing") { $0.setDescriptor(100, address: $1, length: 0, flags: indirect, next: 0) },
    Chain("table of half an entry") {
      $0.setDescriptor(100, address: $1, length: 8, flags: indirect, next: 0)
    },
    Chain("table not a multiple of 16") {
      $0.setDescriptor(100, address: $1, length: 33, flags: indirect, next: 0)
    },
    Chain("table longer than the ring") {
      $0.setDescriptor(100, address: $1, length: 16 * 257, flags: indirect, next: 0)
    },
    Chain("table outside memory") { queue, _ in
      queue.setDescriptor(100, address: 1 << 40, length: 32, flags: indirect, next: 0)
    },
    Chain("table at the end of addresses") { queue, _ in
      queue.setDescriptor(100, address: .max - 15, length: 32, flags: indirect, next: 0)
    },
    Chain("table with a successor") { queue, good in
      queue.writeDescriptor(good, address: good, length: 100, flags: 0, next: 0)
      queue.setDescriptor(100, address: good, length: 16, flags: indirect | next, next: 101)
    },
    Chain("table in a table") { queue, good in
      queue.writeDescriptor(good, address: good + 64, length: 16, flags: indirect, next: 0)
      queue.writeDescriptor(good + 64, address: good, length: 100, flags: 0, next: 0)
      queue.setDescriptor(100, address: good, length: 16, flags: indirect, next: 0)
    },
    Chain("table pointing out of itself") { queue, good in
      queue.writeDescriptor(good, address: good, length: 100, flags: next, next: 2)
      queue.setDescriptor(100, address: good, length: 32, flags: indirect, next: 0)
    },
    Chain("circle in a table") { queue, good in
      queue.writeDescriptor(good, address: good, length: 0, flags: next, next: 1)
      queue.writeDescriptor(good + 16, address: good, length: 0, flags: next, next: 0)
      queue.setDescriptor(100, address: good, length: 32, flags: indirect, next: 0)
    },
    Chain("table of itself") { queue, good in
      queue.setDescriptor(100, address: queue.descriptors + 1600, length: 16, flags: indirect, next: 0)
    },
  ]

  @Test(arguments: chains)
  func chain(_ chain: Chain) throws {
    let guest = try VhostUserGuest()
    let queue = guest.driver.transmitQueue
    let good = guest.driver.ram.allocate(2048)
    chain.write(queue, good)
    queue.offer(100)
    #expect(guest.driver.offer(testFrame(60)))
    queue.publish()
    var frames: [[UInt8]] = []
    guest.harness.receive { bytes, _ in frames.append(bytes) }
    #expect(frames == [testFrame(60)])
    #expect(guest.harness.counters[chain.reason] == 1)
    #expect(queue.deviceUsedIndex == 2)
    #expect(queue.usedElement(0).head == 100)
    #expect(guest.port.status.linkUp)
  }

  /// A table may be unaligned, lie across two regions, and follow ordinary descriptors (virtio 1.3 §2.7.5.3.2).
  @Test func unusualButLegal() throws {
    let ram = try GuestRAM(shape: .swappedHalves)
    let guest = try VhostUserGuest(ram: ram)
    let queue = guest.driver.transmitQueue
    let frame = testFrame(200)
    let buffer = ram.allocate(2048)
    ram.write([UInt8](repeating: 0, count: 12) + frame, at: buffer)
    let table = ram.border! - 16
    queue.writeDescriptor(table, address: buffer + 50, length: 100, flags: Self.next, next: 1)
    queue.writeDescriptor(table + 16, address: buffer + 150, length: 62, flags: 0, next: 0)
    queue.setDescriptor(100, address: buffer, length: 50, flags: Self.next, next: 7)
    queue.setDescriptor(7, address: table, length: 32, flags: Self.indirect, next: 0)
    queue.offer(100)
    queue.publish()
    var frames: [[UInt8]] = []
    guest.harness.receive { bytes, _ in frames.append(bytes) }
    #expect(frames == [frame])
  }

  @Test func indirectWithoutNegotiation() throws {
    let guest = try VhostUserGuest([.version1])
    #expect(guest.through(testFrame(60), indirect: true) == nil)
    #expect(guest.harness.counters[.badDescriptor] == 1)
  }

  /// A head beyond the ring is masked into it.
  @Test func headOutOfRange() throws {
    let guest = try VhostUserGuest()
    let queue = guest.driver.transmitQueue
    for head: UInt16 in [256, 65_535, 511] { queue.offer(head) }
    queue.publish()
    guest.harness.receive()
    #expect(queue.deviceUsedIndex == 3)
    for slot in 0..<3 { #expect(queue.usedElement(slot).head < 256) }
  }

  /// An index further ahead than the ring is long ends the connection, and names why.
  @Test(arguments: [true, false])
  func availableIndexJumps(_ sends: Bool) throws {
    let guest = try VhostUserGuest()
    let queue = sends ? guest.driver.transmitQueue : guest.driver.receiveQueue
    queue.setAvailableIndex(257)
    if sends { #expect(guest.harness.receive() == 0) } else { guest.harness.transmit([testFrame(60)]) }
    #expect(guest.harness.wait { !guest.port.status.linkUp })
    #expect(guest.port.status.error?.contains("available index") == true)
    #expect(guest.frontEnd.isClosedByPeer())
    #expect(guest.harness.counters[.transmittedFrames] == 0)

    // A better front-end on the same port is served.
    guest.frontEnd = try guest.connect()
    guest.driver = try GuestDriver(features: VhostUserGuest.modern)
    try guest.frontEnd.negotiate(VhostUserGuest.modern)
    try guest.frontEnd.start(guest.driver)
    #expect(guest.harness.wait { guest.port.status.linkUp })
    #expect(guest.port.status.error == nil)
    #expect(guest.through(testFrame(60))?.bytes == testFrame(60))
  }

  /// The front-end truncates its memory file: that port stops, another goes on.
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

  /// Memory truncated on the receiving side.
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
