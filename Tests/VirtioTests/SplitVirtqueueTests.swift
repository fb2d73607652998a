import Glibc
import Linux
import Seeded
import Testing
import VirtioTesting

@testable import Virtio

/// A virtqueue that expectations can hold: they copy what they are given.
private final class Device {
  private var queue: Virtqueue
  init(_ queue: consuming Virtqueue) { self.queue = queue }

  var position: UInt32 { queue.position.base(size: UInt32(queue.size), packed: queue.isPacked) }
  func pending(atMost limit: Int) -> Int { queue.pending(atMost: limit) }
  func element(_ offset: Int) -> Element { queue.element(offset) }
  func pop(_ count: Int) { queue.pop(count) }
  func fill(_ element: Element, length: UInt32 = 0) {
    var element = element
    element.written = length
    queue.fill(&element, count: 1)
  }
  func flush() -> Bool { queue.flush() }
  func notify() -> Bool { queue.notify() }
  func arm() -> Bool { queue.arm() }
  func disarm() { queue.disarm() }
  func walk(
    _ element: Element, writable: Bool, _ memory: GuestMemoryMap, into pieces: UnsafeMutablePointer<iovec>,
    capacity: Int
  ) -> DescriptorChain {
    queue.walk(element, writable: writable, memory, into: pieces, capacity: capacity)
  }
}

/// The device's side of a ring against a correct driver, and against one that lies.
@Suite struct SplitVirtqueueTests {
  private let ram: GuestRAM
  private let driver: GuestQueue
  private let memory: GuestMemory

  init() throws {
    ram = try GuestRAM()
    driver = try GuestQueue(ram, size: 8)
    memory = try GuestMemory(ram.regions, files: ram.regions.map { [file = ram.file.raw] _ in file })
  }

  private func device(_ features: VirtioFeatures = [], position: UInt32 = 0) throws -> Device {
    let map = memory.map
    let layout = VirtqueueLayout(
      size: 8,
      descriptors: try #require(map.translate(driver.descriptors, VirtqueueLayout.descriptorBytes(8))),
      available: try #require(
        map.translate(driver.available, VirtqueueLayout.availableBytes(8, packed: false))),
      used: try #require(map.translate(driver.used, VirtqueueLayout.usedBytes(8, packed: false))))
    let start = RingPosition(base: position, size: 8, packed: false)
    return Device(Virtqueue(layout, position: start, features: features, call: driver.call.raw))
  }

  private func buffer(_ length: Int = 64, isWritable: Bool = false) -> GuestQueue.Buffer {
    GuestQueue.Buffer(ram.allocate(length), length, isWritable: isWritable)
  }

  /// Rounds of random sizes, far beyond the wrap of the 16-bit indices.
  @Test(arguments: [VirtioFeatures(), .eventIndex])
  func everyBufferComesBackOnceAndInOrder(features: VirtioFeatures) throws {
    let queue = try device(features)
    driver.hasEventIndex = features.contains(.eventIndex)
    let buffers = (0..<8).map { _ in buffer() }
    var generator = SeededRandom(seed: 1)
    var offered: [UInt16] = []
    var total = 0
    var mistakes = 0
    while total < 66_000 {
      for _ in 0..<Int.random(in: 0...8, using: &generator) where driver.freeCount > 0 {
        if let head = driver.add([buffers[offered.count % 8]]) { offered.append(head) }
      }
      driver.publish()
      let count = queue.pending(atMost: Int.random(in: 1...8, using: &generator))
      let elements = (0..<count).map { queue.element($0) }
      let heads = elements.map(\.id)
      queue.pop(count)
      for element in elements { queue.fill(element, length: UInt32(element.id) + 7) }
      // One expectation at the end: 66,000 of them would take longer than all other tests.
      if queue.flush() != (count > 0) { mistakes += 1 }
      for head in heads {
        let done = driver.complete()
        if done?.head != head || done?.length != UInt32(head) + 7 || offered.removeFirst() != head {
          mistakes += 1
        }
      }
      if driver.complete() != nil { mistakes += 1 }
      total += count
    }
    #expect(mistakes == 0)
    #expect(queue.position == UInt32(UInt16(truncatingIfNeeded: total)))
  }

  @Test func anIndexThatRunsAheadIsAViolation() throws {
    let queue = try device()
    driver.setAvailableIndex(8)
    #expect(queue.pending(atMost: 32) == 8)
    driver.setAvailableIndex(9)
    #expect(queue.pending(atMost: 32) == -1)
    driver.setAvailableIndex(0xFFFF)
    #expect(queue.pending(atMost: 32) == -1)
  }

  @Test func headsAreMasked() throws {
    let queue = try device()
    driver.offer(0xFFF9)
    driver.publish()
    #expect(queue.pending(atMost: 1) == 1)
    #expect(queue.element(0).id == 1)
  }

  @Test func aChainIsWalkedWithItsTable() throws {
    let queue = try device(.indirectDescriptors)
    let parts = [buffer(10), buffer(20), buffer(30)]
    let pieces = UnsafeMutablePointer<iovec>.allocate(capacity: 8)
    defer { pieces.deallocate() }
    for indirect in [false, true] {
      let head = try #require(driver.add(parts, indirect: indirect))
      driver.publish()
      #expect(queue.pending(atMost: 1) == 1)
      let element = queue.element(0)
      #expect(element.id == head)
      let chain = queue.walk(element, writable: false, memory.map, into: pieces, capacity: 8)
      #expect(chain.outcome == .complete && chain.length == 60)
      #expect((0..<chain.pieceCount).map { pieces[$0].iov_len } == [10, 20, 30])
      #expect(
        queue.walk(element, writable: true, memory.map, into: pieces, capacity: 8).outcome == .malformed)
      #expect(queue.walk(element, writable: false, memory.map, into: pieces, capacity: 2).outcome == .tooLong)
      queue.pop(1)
      queue.fill(element)
      _ = queue.flush()
      #expect(driver.complete()?.head == head)
    }
  }

  /// Row 15: loops, nesting, tables of odd length, links out of range, addresses that overflow.
  @Test func malformedChainsEndSoon() throws {
    let queue = try device(.indirectDescriptors)
    let good = ram.allocate(64)
    let table = ram.allocate(256)
    let pieces = UnsafeMutablePointer<iovec>.allocate(capacity: 1024)
    defer { pieces.deallocate() }
    func outcome(_ address: UInt64, _ length: UInt32, _ flags: UInt16, _ next: UInt16)
      -> DescriptorChain.Outcome
    {
      driver.setDescriptor(0, address: address, length: length, flags: flags, next: next)
      return queue.walk(queue.element(0), writable: false, memory.map, into: pieces, capacity: 1024).outcome
    }
    #expect(outcome(good, 64, 0, 0) == .complete)
    #expect(outcome(good, 64, Descriptor.next, 0) == .malformed, "a loop")
    #expect(outcome(good, 64, Descriptor.next, 8) == .malformed, "a link out of range")
    #expect(outcome(0xFFFF_FFFF_FFFF_FFF0, 64, 0, 0) == .malformed, "an address that overflows")
    #expect(outcome(0xFFFF_0000_0000, 0, 0, 0) == .malformed, "a bad address of length 0")
    #expect(outcome(good, .max, 0, 0) == .malformed, "a length beyond the region")
    #expect(outcome(table, 0, Descriptor.indirect, 0) == .malformed, "an empty table")
    #expect(outcome(table, 24, Descriptor.indirect, 0) == .malformed, "half an entry")
    #expect(outcome(table, 16 * 9, Descriptor.indirect, 0) == .malformed, "a table longer than the ring")
    driver.writeDescriptor(table, address: table, length: 16, flags: Descriptor.indirect, next: 0)
    #expect(outcome(table, 16, Descriptor.indirect, 0) == .malformed, "a table in a table")
    driver.writeDescriptor(table, address: good, length: 64, flags: Descriptor.next, next: 1)
    #expect(outcome(table, 16, Descriptor.indirect, 0) == .malformed, "a link out of the table")
    driver.writeDescriptor(table, address: good, length: 64, flags: 0, next: 0)
    #expect(outcome(table, 16, Descriptor.indirect, 0) == .complete)
    let plain = try device()
    #expect(
      plain.walk(plain.element(0), writable: false, memory.map, into: pieces, capacity: 8).outcome
        == .malformed)
  }

  /// With the event index the driver is called exactly when the used index passes what it asked for.
  @Test func theDriverIsCalledWhenItAskedForIt() throws {
    let queue = try device(.eventIndex)
    driver.hasEventIndex = true
    let buffers = (0..<8).map { _ in buffer() }
    var calls: [Bool] = []
    for round in 0..<6 {
      driver.add([buffers[round]])
      driver.publish()
      #expect(queue.pending(atMost: 1) == 1)
      let element = queue.element(0)
      queue.pop(1)
      queue.fill(element)
      _ = queue.flush()
      calls.append(queue.notify())
      if round == 2 { while driver.complete() != nil {} }
    }
    // The first is always announced. Round 3 is the first after the driver had looked: it asked for index 3.
    #expect(calls == [true, false, false, true, false, false])
    #expect(driver.call.drain() == 2)
  }

  @Test(arguments: [VirtioFeatures(), .eventIndex])
  func armingAsksForAKickAndSeesWhatIsThere(features: VirtioFeatures) throws {
    let queue = try device(features)
    driver.hasEventIndex = features.contains(.eventIndex)
    let one = buffer()
    #expect(queue.arm())
    driver.add([one])
    #expect(driver.publish(), "an armed device is kicked")
    queue.disarm()
    driver.add([one])
    #expect(!driver.publish(), "a device that polls is not")
    #expect(!queue.arm(), "there is something to do already")
  }
}
