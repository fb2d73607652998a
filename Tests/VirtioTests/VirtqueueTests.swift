import Linux
import Glibc
import Seeded
import Testing
import VirtioTesting

@testable import Virtio

/// The device's side of a ring of either layout against a correct driver.
@Suite struct VirtqueueTests {
  /// Rounds of random sizes, far beyond the wrap of 16-bit indices.
  @Test(arguments: RingFixture.layoutsAndEvents)
  func `Every buffer comes back once and in order`(features: VirtioFeatures) throws {
    let ring = try RingFixture(features)
    let (driver, device) = (ring.driver, try ring.device())
    let buffers = (0..<8).map { _ in ring.buffer() }
    var random = SeededRandom(seed: 1)
    var offered: [UInt16] = []
    var total = 0
    var mistakes = 0
    while total < 66_000 {
      for _ in 0..<Int.random(in: 0...8, using: &random) where driver.freeCount > 0 {
        if let id = driver.add([buffers[offered.count % 8]]) { offered.append(id) }
      }
      driver.publish()
      let count = device.pending(atMost: Int.random(in: 1...8, using: &random))
      let elements = (0..<count).map { device.element($0) }
      device.pop(count)
      for element in elements { device.fill(element, length: UInt32(element.id) + 7) }
      // One expectation at the end: 66,000 of them would take longer than all other tests.
      if device.flush() != (count > 0) { mistakes += 1 }
      for element in elements {
        let done = driver.complete()
        if done?.head != element.id || done?.length != UInt32(element.id) + 7 { mistakes += 1 }
        if offered.removeFirst() != element.id { mistakes += 1 }
      }
      if driver.complete() != nil { mistakes += 1 }
      total += count
    }
    #expect(mistakes == 0)
    #expect(offered == [] || device.pending(atMost: 8) == offered.count)
    while device.turn()?.isEmpty == false {}
    while driver.complete() != nil {}
    #expect(device.base == driver.base)
  }

  @Test(arguments: RingFixture.layouts)
  func `A chain is walked with its table`(layout: VirtioFeatures) throws {
    let ring = try RingFixture(layout.union(.indirectDescriptors))
    let device = try ring.device()
    let parts = [ring.buffer(10), ring.buffer(20), ring.buffer(30)]
    // Seven turns take the chain over the end of a packed ring.
    for isIndirect in [false, true, false, true, false, false, false] {
      let id = try #require(ring.driver.add(parts, indirect: isIndirect))
      ring.driver.publish()
      #expect(device.pending(atMost: 2) == 1)
      #expect(device.element(0).id == id)
      let chain = ring.walk(device)
      #expect(chain.outcome == .complete && chain.length == 60)
      #expect((0..<chain.pieceCount).map { ring.pieces[$0].iov_len } == [10, 20, 30])
      for (index, part) in parts.enumerated() {
        #expect(ring.pieces[index].iov_base == ring.memory.map.translate(part.address, 1))
      }
      #expect(ring.walk(device, writable: true).outcome == .malformed)
      #expect(ring.walk(device, capacity: 2).outcome == .tooLong)
      #expect(device.turn() == [id])
      #expect(ring.driver.complete()?.head == id)
    }
  }

  /// Ordinary descriptors, then a table (virtio 1.3 §2.7.5.3.2); packed rings allow one or the other only, but nothing is
  /// lost by taking both.
  @Test(arguments: RingFixture.layouts)
  func `A table may follow ordinary descriptors`(layout: VirtioFeatures) throws {
    let ring = try RingFixture(layout.union(.indirectDescriptors))
    let device = try ring.device()
    let (good, table) = (ring.ram.allocate(64), ring.ram.allocate(64))
    ring.driver.writeTable([RawDescriptor(good, 20, flags: next), RawDescriptor(good, 30)], at: table)
    let id = try #require(
      ring.driver.offer(raw: [
        RawDescriptor(good, 10, flags: next), RawDescriptor(table, 32, flags: indirect),
      ]))
    ring.driver.publish()
    #expect(device.pending(atMost: 1) == 1)
    let chain = ring.walk(device)
    #expect(chain.outcome == .complete && chain.length == 60 && chain.pieceCount == 3)
    #expect(device.turn() == [id])
    #expect(ring.driver.complete()?.head == id)
  }

  /// With the event index the driver is called exactly when the device passes what it asked for.
  @Test(arguments: RingFixture.layouts)
  func `The driver is called when it asked for it`(layout: VirtioFeatures) throws {
    let ring = try RingFixture(layout.union(.eventIndex))
    let device = try ring.device()
    let buffers = (0..<8).map { _ in ring.buffer() }
    var calls: [Bool] = []
    #expect(ring.driver.sleep())
    for round in 0..<6 {
      ring.driver.add([buffers[round]])
      ring.driver.publish()
      #expect(device.turn(atMost: 1)?.count == 1)
      calls.append(device.notify())
      if round == 2 { while ring.driver.complete() != nil {} }
    }
    // The first is always announced. Round 3 is the first after the driver had looked: it asked for that.
    #expect(calls == [true, false, false, true, false, false])
    #expect(ring.driver.call.drain() == 2)
  }

  @Test(arguments: RingFixture.layoutsAndEvents)
  func `A driver that polls is not called, one that goes to sleep is`(features: VirtioFeatures) throws {
    let ring = try RingFixture(features)
    let device = try ring.device()
    let one = ring.buffer()
    func turn() -> Bool {
      ring.driver.add([one])
      ring.driver.publish()
      return device.turn() != [] && device.notify()
    }
    _ = turn()
    while ring.driver.complete() != nil {}
    // Several laps: packed positions change their wrap counters.
    for _ in 0..<20 {
      ring.driver.stayAwake()
      #expect(!turn())
      #expect(!ring.driver.sleep(), "there is something already")
      while ring.driver.complete() != nil {}
      #expect(ring.driver.sleep())
      #expect(turn())
      while ring.driver.complete() != nil {}
      guard features.contains(.eventIndex) else { continue }
      #expect(ring.driver.sleep(after: 3))
      #expect([turn(), turn(), turn()] == [false, false, true])
      while ring.driver.complete() != nil {}
    }
  }

  @Test(arguments: RingFixture.layoutsAndEvents)
  func `Arming asks for a kick, and sees what is there`(features: VirtioFeatures) throws {
    let ring = try RingFixture(features)
    let device = try ring.device()
    let one = ring.buffer()
    for _ in 0..<20 {
      #expect(device.arm())
      ring.driver.add([one])
      #expect(ring.driver.publish(), "an armed device is kicked")
      device.disarm()
      ring.driver.add([one])
      #expect(!ring.driver.publish(), "a device that polls is not")
      #expect(!device.arm(), "there is something to do already")
      #expect(device.turn()?.count == 2)
      while ring.driver.complete() != nil {}
    }
  }

  @Test(arguments: RingFixture.layouts)
  func `More is not seen than asked for, nor than there is`(layout: VirtioFeatures) throws {
    let ring = try RingFixture(layout)
    let device = try ring.device()
    #expect(device.pending(atMost: 1) == 0)
    let ids = (0..<8).compactMap { _ in ring.driver.add([ring.buffer()]) }
    #expect(device.pending(atMost: 8) == 0)
    ring.driver.publish()
    #expect(device.pending(atMost: 3) == 3)
    #expect(device.pending(atMost: 32) == 8)
    #expect((0..<8).map { device.element($0).id } == ids)
    device.pop(2)
    #expect(device.pending(atMost: 32) == 6)
    #expect(device.element(0).id == ids[2])
  }

  /// Rings of the greatest size there is, past the wrap of their indices.
  @Test(arguments: RingFixture.layouts, [1, 2, 32_768])
  func `Rings of any size`(layout: VirtioFeatures, size: Int) throws {
    let ring = try RingFixture(layout, size: size)
    let device = try ring.device()
    let one = ring.buffer()
    for round in 0..<7 {
      for _ in 0..<size { #expect(ring.driver.add([one]) != nil) }
      #expect(ring.driver.add([one]) == nil)
      ring.driver.publish()
      var taken = 0
      while let ids = device.turn(), !ids.isEmpty { taken += ids.count }
      var back = 0
      while ring.driver.complete() != nil { back += 1 }
      #expect((taken, back) == (size, size), "round \(round)")
      #expect(device.base == ring.driver.base)
    }
  }
}
