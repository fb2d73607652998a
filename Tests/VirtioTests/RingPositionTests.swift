import Seeded
import Testing
import VirtioTesting

@testable import Virtio

/// Where a device continues that another left: told by the front-end, or by the ring itself.
@Suite struct RingPositionTests {
  /// Slot and wrap counter of both rings of a packed one, in either spelling front-ends use; the split ring's index.
  @Test func `Bases are read and written as front-ends do`() {
    for base: UInt32 in [0, 1, 77, 0xFFFF] {
      #expect(RingPosition(base: base, size: 256, packed: false).base(size: 256, packed: false) == base)
    }
    for half: UInt32 in [0x8000, 0, 0x8000 | 255, 255, 0x8000 | 100] {
      let both = half | half << 16
      #expect(RingPosition(base: both, size: 256, packed: true).base(size: 256, packed: true) == both)
      #expect(RingPosition(base: half, size: 256, packed: true).base(size: 256, packed: true) == both)
    }
  }

  /// SECURITY: slots beyond the ring are masked into it.
  @Test func `A base beyond a packed ring is a position in it`() {
    let base = RingPosition(base: 0x7FFF, size: 256, packed: true).base(size: 256, packed: true)
    #expect(base & 0x7FFF < 256 && base >> 16 & 0x7FFF < 256)
  }

  /// A device dies between two bursts at any point of any lap; the next goes on from what the ring tells, and every
  /// buffer comes back once.
  @Test(arguments: RingFixture.layoutsAndEvents)
  func `A ring tells how far its device got`(features: VirtioFeatures) throws {
    let ring = try RingFixture(features, size: 16)
    var device = try ring.device()
    var random = SeededRandom(seed: 5)
    var offered: ArraySlice<UInt16> = []
    var deaths = 0
    for round in 0..<3000 {
      for _ in 0..<Int.random(in: 0...3, using: &random) {
        let parts = (0..<Int.random(in: 1...5, using: &random)).map { _ in
          GuestQueue.Buffer(0x100, 64, isWritable: false)
        }
        if let id = ring.driver.add(parts) { offered.append(id) }
      }
      ring.driver.publish()
      let back = try #require(device.turn(atMost: Int.random(in: 1...4, using: &random)))
      #expect(back == Array(offered.prefix(back.count)), "round \(round)")
      offered.removeFirst(back.count)
      // A device may die having seen what it has not taken.
      if Bool.random(using: &random) { _ = device.pending(atMost: 8) }
      if Bool.random(using: &random) { while ring.driver.complete() != nil {} }
      if Bool.random(using: &random) { if device.arm() { device.disarm() } }
      guard Int.random(in: 0..<4, using: &random) == 0 else { continue }
      let left = device.base
      guard let reached = RingPosition.reached(try ring.layout(), packed: ring.isPacked) else {
        #expect(left == (ring.isPacked ? 0x8000_8000 : 0), "round \(round): only a fresh ring says nothing")
        continue
      }
      #expect(reached.base(size: 16, packed: ring.isPacked) == left, "round \(round)")
      device = try ring.device(base: reached.base(size: 16, packed: ring.isPacked))
      deaths += 1
    }
    #expect(deaths > 300)
  }

  /// A device dies between giving buffers back and noting where that leads. The driver sees them all the same. The ring
  /// is longer than a burst, as rings are: of all of it at once nobody could say whether it came back.
  @Test(arguments: [false, true])
  func `A packed ring tells more than its device noted`(offersAnew: Bool) throws {
    let ring = try RingFixture(.packedRing, size: 64)
    var device = try ring.device()
    device.disarm()
    var random = SeededRandom(seed: 6)
    var deaths = 0
    for round in 0..<3000 {
      // What is offered anew over the remains of a chain cannot be told from the chain: single buffers, then.
      let longest = offersAnew ? 1 : 5
      for _ in 0..<Int.random(in: 0...12, using: &random) {
        let count = Int.random(in: 1...longest, using: &random)
        ring.driver.add((0..<count).map { _ in .init(0x100, 64, isWritable: false) })
      }
      ring.driver.publish()
      let noted = ring.driver.deviceEvent.position
      let back = try #require(device.turn(atMost: Int.random(in: 1...16, using: &random))).count
      let reached = device.base
      if back > 0 { ring.ram.store16(noted, at: ring.driver.used) }
      while ring.driver.complete() != nil {
        if offersAnew { ring.driver.add([.init(0x100, 64, isWritable: true)]) }
      }
      if offersAnew { ring.driver.publish() }
      let told = RingPosition.reached(try ring.layout(), packed: true)?.base(size: 64, packed: true)
      #expect(told ?? 0x8000_8000 == reached, "round \(round)")
      device = try ring.device(base: reached)
      device.disarm()
      deaths += told == nil ? 0 : 1
    }
    #expect(deaths > 2000)
  }

  /// Load generators write their descriptors once, and offer them by flags: as far as anybody can tell, all came back in
  /// a lap before the first.
  @Test func `A packed ring written but not offered is at its beginning`() throws {
    let ring = try RingFixture(.packedRing, size: 8)
    for slot: UInt16 in 0..<8 {
      ring.driver.setDescriptor(slot, address: 0x100, length: 64, flags: 0, next: slot)
    }
    let reached = RingPosition.reached(try ring.layout(), packed: true)
    #expect(
      reached ?? RingPosition(base: 0x8000, size: 8, packed: true)
        == RingPosition(base: 0x8000, size: 8, packed: true))
  }

  /// A driver that begins anew clears its ring: nothing of the old device's position is believed.
  @Test(arguments: RingFixture.layouts)
  func `A ring begun anew tells of its beginning or nothing`(layout: VirtioFeatures) throws {
    let ring = try RingFixture(layout, size: 8)
    for count in 1..<40 {
      let device = try ring.device()
      for _ in 0..<count {
        ring.driver.add([.init(0x100, 64, isWritable: false)])
        ring.driver.publish()
        #expect(device.turn()?.count == 1)
        #expect(ring.driver.complete() != nil)
      }
      ring.driver.reset()
      for offered in 0..<3 {
        let reached = RingPosition.reached(try ring.layout(), packed: ring.isPacked)
        let base = reached?.base(size: 8, packed: ring.isPacked)
        let beginning: UInt32 = ring.isPacked ? 0x8000_8000 : 0
        #expect(base ?? beginning == beginning, "\(count) buffers before, \(offered) since")
        ring.driver.add([.init(0x100, 64, isWritable: false)])
        ring.driver.publish()
      }
      ring.driver.reset()
    }
  }
}
