import Glibc
import Seeded
import Testing
import VirtioTesting

@testable import Virtio

/// The device's side of a ring of either layout against a driver that lies.
@Suite struct HostileRingTests {
  /// What a walk makes of one chain.
  private func outcome(_ ring: RingFixture, _ chain: [RawDescriptor]) throws -> DescriptorChain.Outcome? {
    let device = try ring.device()
    let driver = ring.driver
    driver.reset()
    driver.offer(raw: chain)
    driver.publish()
    guard device.pending(atMost: 1) == 1 else { return nil }
    let outcome = ring.walk(device).outcome
    // Whatever it was, it goes back, and the next one is found.
    #expect(device.turn()?.count == 1)
    #expect(driver.complete() != nil)
    let id = try #require(driver.add([.init(0x100, 64, isWritable: false)]))
    driver.publish()
    #expect(device.turn() == [id])
    return outcome
  }

  @Test(arguments: RingFixture.layouts)
  func `Row 14: a buffer is in memory with all its bytes, also one without any`(layout: VirtioFeatures) throws
  {
    let ring = try RingFixture(layout)
    let good = ring.ram.allocate(64)
    let end = UInt64(ring.ram.size)
    func one(_ address: UInt64, _ length: UInt32) throws -> DescriptorChain.Outcome? {
      try outcome(ring, [RawDescriptor(address, length)])
    }
    #expect(try one(good, 64) == .complete)
    #expect(try one(end - 64, 64) == .complete)
    #expect(try one(end - 64, 65) == .malformed)
    #expect(try one(0xFFFF_FFFF_FFFF_FFF0, 64) == .malformed, "an address that overflows")
    #expect(try one(.max, 1) == .malformed)
    #expect(try one(0xFFFF_0000_0000, 0) == .malformed, "a bad address of length 0")
    #expect(try one(good, .max) == .malformed)
    let bad = RawDescriptor(0xFFFF_0000_0000, 0, flags: next)
    #expect(try outcome(ring, [bad, RawDescriptor(good, 64)]) == .malformed)
  }

  @Test(arguments: RingFixture.layouts)
  func `Row 15: a table is whole, not too long, not nested, and negotiated`(layout: VirtioFeatures) throws {
    let ring = try RingFixture(layout.union(.indirectDescriptors))
    let good = ring.ram.allocate(64)
    let table = ring.ram.allocate(256)
    func one(_ address: UInt64, _ length: UInt32, _ flags: UInt16 = indirect) throws
      -> DescriptorChain.Outcome?
    {
      try outcome(ring, [RawDescriptor(address, length, flags: flags)])
    }
    ring.driver.writeTable([RawDescriptor(good, 64)], at: table)
    #expect(try one(table, 16) == .complete)
    #expect(try one(table, 0) == .malformed, "an empty table")
    #expect(try one(table, 24) == .malformed, "half an entry")
    #expect(try one(table, 16 * 9) == .malformed, "a table longer than the ring")
    #expect(try one(.max - 15, 32) == .malformed, "a table at the end of addresses")
    #expect(try one(1 << 50, 16) == .malformed, "a table outside memory")
    ring.driver.writeTable([RawDescriptor(table, 16, flags: indirect)], at: table)
    #expect(try one(table, 16) == .malformed, "a table in a table")
    let entry = RawDescriptor(table, 16, flags: indirect | next)
    ring.driver.writeTable([RawDescriptor(good, 64)], at: table)
    #expect(try outcome(ring, [entry, RawDescriptor(good, 64)]) == .malformed, "a table with a successor")
    let plain = try RingFixture(layout)
    plain.driver.writeTable([RawDescriptor(good, 64)], at: table)
    #expect(try outcome(plain, [RawDescriptor(table, 16, flags: indirect)]) == .malformed)
  }

  @Test func `Row 15: links of a split ring lead nowhere else, and not in circles`() throws {
    let ring = try RingFixture(.indirectDescriptors)
    let good = ring.ram.allocate(64)
    let table = ring.ram.allocate(256)
    #expect(try outcome(ring, [RawDescriptor(good, 64, flags: next, link: 0)]) == .malformed, "a loop")
    #expect(try outcome(ring, [RawDescriptor(good, 64, flags: next, link: 8)]) == .malformed)
    #expect(try outcome(ring, [RawDescriptor(good, 64, flags: next, link: .max)]) == .malformed)
    let circle = (0..<2).map { RawDescriptor(good, 0, flags: next, link: 1 - $0) }
    #expect(try outcome(ring, circle) == .malformed)
    for link: UInt16 in [0, 1, .max] {
      ring.driver.writeTable([RawDescriptor(good, 64, flags: next, link: link)], at: table)
      let entry = RawDescriptor(table, 16, flags: indirect)
      #expect(try outcome(ring, [entry]) == .malformed, "a link out of the table, or a loop in it")
    }
  }

  @Test func `Row 16: a split ring's index that runs ahead is a violation`() throws {
    let ring = try RingFixture()
    let device = try ring.device()
    ring.driver.setAvailableIndex(8)
    #expect(device.pending(atMost: 32) == 8)
    for index: UInt16 in [9, 0xFFFF, 0x8000] {
      ring.driver.setAvailableIndex(index)
      #expect(device.pending(atMost: 32) == -1)
    }
    // It is not taken for a good one the next time.
    #expect(device.pending(atMost: 1) == -1)
  }

  @Test func `Row 16: heads are masked into the descriptor table`() throws {
    let ring = try RingFixture()
    let device = try ring.device()
    for head: UInt16 in [0xFFF9, 8, .max] { ring.driver.offer(head) }
    ring.driver.publish()
    #expect(device.turn() == [1, 0, 7])
  }

  // MARK: packed

  @Test func `Row 21: chains without an end are a violation, seen after one lap`() throws {
    let ring = try RingFixture(.packedRing)
    let device = try ring.device()
    let endless = (0..<8).map { _ in RawDescriptor(0x100, 64, flags: next) }
    ring.driver.offer(raw: endless)
    ring.driver.publish()
    #expect(device.pending(atMost: 32) == -1)
    #expect(device.pending(atMost: 32) == -1)
  }

  /// Buffers before it are served first; it may only have been too long for what they left.
  @Test func `Row 21: an endless chain behind good buffers is a violation once these are back`() throws {
    let ring = try RingFixture(.packedRing)
    let device = try ring.device()
    ring.driver.add([.init(0x100, 64, isWritable: false)])
    ring.driver.offer(raw: (0..<7).map { _ in RawDescriptor(0x100, 64, flags: next) })
    ring.driver.publish()
    #expect(device.turn()?.count == 1)
    // The first slot, already used, ends it or does not: as its flags are now, it does.
    #expect(device.pending(atMost: 32) == 1)
    ring.driver.setDescriptor(0, address: 0x100, length: 64, flags: next, next: 0)
    let another = try ring.device(base: 0x8001_8001)
    #expect(another.pending(atMost: 32) == -1)
  }

  @Test func `Row 21: a chain over the end of the ring is one chain`() throws {
    let ring = try RingFixture(.packedRing)
    let device = try ring.device()
    for count in [5, 6, 7, 8, 3, 8, 8] {
      let parts = (0..<count).map { _ in GuestQueue.Buffer(0x100, 10, isWritable: true) }
      let id = try #require(ring.driver.add(parts))
      ring.driver.publish()
      #expect(device.pending(atMost: 2) == 1)
      let chain = ring.walk(device, writable: true)
      #expect(chain.outcome == .complete && chain.length == 10 * count)
      #expect(device.turn() == [id])
      #expect(ring.driver.complete()?.head == id)
      #expect(device.base == ring.driver.base)
    }
  }

  @Test func `Row 21: a buffer id is never an index`() throws {
    let ring = try RingFixture(.packedRing)
    let device = try ring.device()
    for id: UInt16 in [8, 0x8000, .max, 3, 3] {
      ring.driver.offer(raw: [RawDescriptor(0x100, 64, link: id)])
      ring.driver.publish()
      #expect(device.turn() == [id], "it goes back as it came")
      #expect(ring.driver.complete()?.head == id)
    }
  }

  /// AVAIL and USED in each combination, on both laps: one of them only offers the descriptor.
  @Test func `Row 21: a descriptor is offered by both flags, of this lap`() throws {
    let ring = try RingFixture(.packedRing)
    for base: UInt32 in [0x8000_8000, 0] {
      for flags: UInt16 in [0, 0x80, 0x8000, 0x8080] {
        ring.driver.setDescriptor(0, address: 0x100, length: 64, flags: flags, next: 5)
        let device = try ring.device(base: base)
        #expect(device.pending(atMost: 32) == (flags == (base == 0 ? 0x8000 : 0x80) ? 1 : 0))
      }
    }
  }

  /// A driver that makes all slots look offered on either lap, again and again: never more than the ring has.
  @Test func `Row 21: never more is taken than the ring has slots`() throws {
    let ring = try RingFixture(.packedRing)
    let device = try ring.device()
    for lap in 0..<6 {
      for slot: UInt16 in 0..<8 {
        ring.driver.setDescriptor(
          slot, address: 0x100, length: 64, flags: lap % 2 == 0 ? 0x80 : 0x8000, next: slot)
      }
      #expect(device.pending(atMost: 200) == 8)
      #expect(device.pending(atMost: 200) == 8)
      #expect(device.turn() == Array(0..<8))
      // What is used is not offered, and neither is what has the last lap's flags.
      #expect(device.pending(atMost: 1) == 0)
      for slot: UInt16 in 0..<8 {
        ring.driver.setDescriptor(
          slot, address: 0x100, length: 64, flags: lap % 2 == 0 ? 0x80 : 0x8000, next: slot)
      }
      #expect(device.pending(atMost: 1) == 0)
    }
  }

  /// The flags of a chain's later descriptors say nothing (virtio 1.3 §2.8.21); they are not waited for either.
  @Test func `Row 21: only the first descriptor of a chain says whether it is offered`() throws {
    let ring = try RingFixture(.packedRing)
    let device = try ring.device()
    let id = try #require(
      ring.driver.offer(raw: [
        RawDescriptor(0x100, 10, flags: next), RawDescriptor(0x100, 20, flags: next | 0x80),
        RawDescriptor(0x100, 30, flags: 0x8080),
      ]))
    ring.driver.publish()
    #expect(device.pending(atMost: 8) == 1)
    #expect(ring.walk(device).length == 60)
    #expect(device.turn() == [id])
  }

  /// Event suppression structures full of nonsense: a call too many or too few is the driver's own loss.
  @Test func `Row 21: nonsense in the driver's event suppression costs calls only`() throws {
    let ring = try RingFixture([.packedRing, .eventIndex])
    let device = try ring.device()
    var random = SeededRandom(seed: 21)
    for _ in 0..<2000 {
      let id = try #require(ring.driver.add([.init(0x100, 64, isWritable: false)]))
      ring.driver.publish()
      ring.driver.setDriverEvent(
        position: .random(in: .min ... .max, using: &random),
        flags: .random(in: .min ... .max, using: &random))
      #expect(device.turn() == [id])
      _ = device.notify()
      #expect(ring.driver.complete()?.head == id)
    }
  }

  // MARK: anything

  /// Random bytes for the whole ring, again and again: bounded work, everything taken goes back, nothing outside memory.
  @Test(arguments: RingFixture.layoutsAndEvents)
  func `Row 18: random rings are taken or refused, and never read out of bounds`(features: VirtioFeatures)
    throws
  {
    // The ring is the last thing in memory: a step too far is a fault.
    let ram = try GuestRAM(size: 1 << 16)
    let ring = try RingFixture(features.union(.indirectDescriptors), size: 64, ram: ram)
    var device = try ring.device()
    var random = SeededRandom(seed: 18)
    var (taken, refused, violations) = (0, 0, 0)
    for _ in 0..<6000 {
      for _ in 0..<4 { scribble(ring, device, &random) }
      let count = device.pending(atMost: 32)
      guard count >= 0 else {
        violations += 1
        // A new front-end; the ring is as it was.
        if !ring.isPacked { ring.driver.setAvailableIndex(ring.driver.deviceUsedIndex) }
        device = try ring.device(base: device.base)
        if ring.isPacked {
          ring.driver.setDescriptor(nearby(device, 0), address: 0, length: 0, flags: 0, next: 0)
        }
        continue
      }
      for index in 0..<min(count, 2) {
        let chain = ring.walk(device, index, writable: Bool.random(using: &random))
        if chain.outcome == .complete { taken += 1 } else { refused += 1 }
        #expect(chain.pieceCount <= RingFixture.capacity)
      }
      #expect(device.turn(atMost: count)?.count == count)
      _ = device.notify()
      _ = device.arm()
    }
    #expect(taken > 100 && refused > 100 && violations > 0, "\(taken), \(refused), \(violations)")
  }

  /// The slot `offset` positions from where a packed ring's device is.
  private func nearby(_ device: RingDevice, _ offset: UInt16) -> UInt16 {
    (UInt16(truncatingIfNeeded: device.base & 0x7FFF) &+ offset) % 64
  }

  /// Makes one chain without an end of the whole ring.
  private func endless(_ ring: RingFixture, _ lap: UInt16) {
    for slot: UInt16 in 0..<64 {
      ring.driver.setDescriptor(slot, address: 0x100, length: 1, flags: next | lap, next: slot)
    }
  }

  /// One word of the ring, a table or a buffer: likely values more often than any.
  private func scribble(_ ring: RingFixture, _ device: RingDevice, _ random: inout SeededRandom) {
    let driver = ring.driver
    let slot = UInt64(nearby(device, .random(in: 0..<6, using: &random)))
    let entry = (Int.random(in: 0..<4, using: &random) > 0 ? driver.descriptors : 0) + 16 * slot
    let addresses: [UInt64] = [0, 0x100, driver.descriptors, 0xFFF0, 1 << 50, .max - 8]
    let lengths: [UInt64] = [0, 16, 32, 64, 100, 1 << 31]
    let lap: UInt64 = device.base & 0x8000 != 0 ? 0x80 : 0x8000
    let flags: [UInt64] = [0, 0, 0, 1, 1, 2, 3, 4, 5].map { $0 | lap } + [0, 0x8080, 0x8081]
    switch Int.random(in: 0..<6, using: &random) {
    case 0: driver.ram.store64(addresses.randomElement(using: &random)!, at: entry)
    case 1, 2:
      let (low, high) = (UInt64.random(in: 0..<70, using: &random), flags.randomElement(using: &random)!)
      let pair = ring.isPacked ? low | high << 16 : high & 7 | low << 16
      driver.ram.store64(lengths.randomElement(using: &random)! | pair << 32, at: entry + 8)
    case 3: driver.ram.store64(random.next(), at: entry + (Bool.random(using: &random) ? 8 : 0))
    case 4:
      guard !ring.isPacked else {
        driver.setDriverEvent(position: UInt16(slot), flags: 2)
        if Int.random(in: 0..<100, using: &random) == 0 { endless(ring, UInt16(lap)) }
        return
      }
      driver.ram.store16(
        UInt16.random(in: .min ... .max, using: &random), at: driver.available + 4 + 2 * slot)
    default:
      guard !ring.isPacked else { return }
      let index = driver.deviceUsedIndex &+ UInt16.random(in: 0..<66, using: &random)
      driver.setAvailableIndex(index)
    }
  }
}
