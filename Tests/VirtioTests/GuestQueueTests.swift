import Linux
import Seeded
import Testing
import Virtio
import VirtioTesting

/// A device of a page, written from virtio 1.3 alone: the driver in VirtioTesting is right if it gets along with it.
///
/// Positions count from the start, as in the driver; `completeEach` false says of a batch's last buffer only that it is
/// done, as a device with in-order may.
private struct LoopDevice {
  let queue: GuestQueue
  let completesEach: Bool
  var ram: GuestRAM { queue.ram }
  /// Position of the next buffer to take, and of the next used descriptor to write.
  var taken = 0
  var used = 0

  struct Buffer: Equatable {
    var id: UInt16
    var slots: Int
    var pieces: [Piece]
    var writable: Int { pieces.reduce(0) { $1.isWritable ? $0 + $1.length : $0 } }
  }

  struct Piece: Equatable {
    var address: UInt64
    var length: Int
    var isWritable: Bool
  }

  private var isPacked: Bool { queue.layout == .packed }
  private func wrap(_ position: Int) -> Bool { position / queue.size % 2 == 0 }

  /// Takes the next buffer, or returns nil when none is available.
  mutating func take() -> Buffer? { isPacked ? takePacked() : takeSplit() }

  private mutating func takeSplit() -> Buffer? {
    guard ram.load16(queue.available + 2) != UInt16(truncatingIfNeeded: taken) else { return nil }
    let head = ram.load16(queue.available + 4 + 2 * UInt64(taken % queue.size))
    taken += 1
    var pieces: [Piece] = []
    var (table, index) = (queue.descriptors, head)
    while true {
      let entry = table + 16 * UInt64(index)
      let (flags, next) = (ram.load16(entry + 12), ram.load16(entry + 14))
      if flags & 4 != 0 {
        (table, index) = (ram.load64(entry), 0)
        continue
      }
      pieces.append(piece(entry, flags))
      if flags & 1 == 0 { break }
      index = next
    }
    return Buffer(id: head, slots: 1, pieces: pieces)
  }

  private mutating func takePacked() -> Buffer? {
    let first = ram.load16(entry(taken) + 14)
    let available = first & 1 << 7 != 0
    let isUsed = first & 1 << 15 != 0
    guard available == wrap(taken), isUsed != wrap(taken) else { return nil }
    var pieces: [Piece] = []
    let start = taken
    while true {
      let entry = entry(taken)
      let (id, flags) = (ram.load16(entry + 12), ram.load16(entry + 14))
      taken += 1
      if flags & 4 != 0 {
        let (table, bytes) = (ram.load64(entry), UInt64(UInt32(truncatingIfNeeded: ram.load64(entry + 8))))
        for row in stride(from: table, to: table + bytes, by: 16) {
          pieces.append(piece(row, ram.load16(row + 14)))
        }
      } else {
        pieces.append(piece(entry, flags))
      }
      if flags & 1 == 0 { return Buffer(id: id, slots: taken - start, pieces: pieces) }
    }
  }

  private func entry(_ position: Int) -> UInt64 { queue.descriptors + 16 * UInt64(position % queue.size) }

  private func piece(_ entry: UInt64, _ flags: UInt16) -> Piece {
    Piece(
      address: ram.load64(entry), length: Int(UInt32(truncatingIfNeeded: ram.load64(entry + 8))),
      isWritable: flags & 2 != 0)
  }

  /// Gives buffers back, in this order. Returns whether the driver wants to be called.
  mutating func complete(_ buffers: [(Buffer, length: UInt32)]) -> Bool {
    let old = used
    for (index, (buffer, length)) in buffers.enumerated() {
      if completesEach || index == buffers.count - 1 {
        let at = completesEach ? used : isPacked ? old : used
        if isPacked {
          let flags: UInt16 = wrap(at) ? 1 << 7 | 1 << 15 : 0
          ram.store64(
            UInt64(length) | UInt64(buffer.id) << 32 | UInt64(flags) << 48, at: entry(at) + 8)
        } else {
          let slot = queue.used + 4 + 8 * UInt64((completesEach ? used : old) % queue.size)
          let element = UInt64(buffer.id) | UInt64(length) << 32
          ram.write((0..<8).map { UInt8(truncatingIfNeeded: element >> (8 * $0)) }, at: slot)
        }
      }
      used += isPacked ? buffer.slots : 1
    }
    if !isPacked { ram.store16(UInt16(truncatingIfNeeded: used), at: queue.used + 2) }
    return wantsCall(old)
  }

  private func wantsCall(_ old: Int) -> Bool {
    guard used > old else { return false }
    if isPacked {
      let (word, flags) = (ram.load16(queue.available), ram.load16(queue.available + 2))
      if flags != 2 { return flags == 0 }
      return (old..<used).contains {
        $0 % queue.size == Int(word & 0x7FFF) && wrap($0) == (word & 1 << 15 != 0)
      }
    }
    guard queue.hasEventIndex else { return ram.load16(queue.available) & 1 == 0 }
    let event = ram.load16(queue.available + 4 + 2 * UInt64(queue.size))
    return (old..<used).contains { UInt16(truncatingIfNeeded: $0) == event }
  }

  /// Asks for a kick when the buffer after next is offered (with event index), or the next.
  func requestKick(after count: Int = 0) {
    if isPacked {
      let position = taken + count
      let word = UInt16(position % queue.size) | (wrap(position) ? 1 << 15 : 0)
      ram.store16(word, at: queue.used)
      ram.store16(queue.hasEventIndex ? 2 : 0, at: queue.used + 2)
    } else if queue.hasEventIndex {
      ram.store16(UInt16(truncatingIfNeeded: taken + count), at: queue.used + 4 + 8 * UInt64(queue.size))
    } else {
      ram.store16(0, at: queue.used)
    }
  }

  func refuseKicks() { ram.store16(1, at: isPacked ? queue.used + 2 : queue.used) }
}

/// The guest's side of both layouts against a device written from the standard.
@Suite struct GuestQueueTests {
  struct Ring: Sendable, CustomTestStringConvertible {
    var features: VirtioFeatures
    var size: Int
    var testDescription: String {
      "\(features.contains(.packedRing) ? "packed" : "split"), \(size) entries"
        + (features.contains(.eventIndex) ? ", event index" : "")
        + (features.contains(.inOrder) ? ", in order" : "")
    }
  }

  static let rings: [Ring] = [VirtioFeatures(), .packedRing].flatMap { layout in
    [VirtioFeatures(), .eventIndex, .inOrder, [.inOrder, .eventIndex]].flatMap { other in
      [2, 8, 64].map { Ring(features: layout.union(other), size: $0) }
    }
  }

  private func make(_ ring: Ring, completesEach: Bool = true) throws -> (GuestQueue, LoopDevice) {
    let queue = try GuestQueue(GuestRAM(), size: ring.size, features: ring.features)
    return (queue, LoopDevice(queue: queue, completesEach: completesEach))
  }

  private func next(_ device: inout LoopDevice) -> LoopDevice.Buffer? { device.take() }

  /// Chains of all lengths, direct and in tables, in random bursts, over many laps.
  @Test(arguments: rings, [true, false])
  func `What is offered is what a device finds, and comes back once`(ring: Ring, completesEach: Bool) throws {
    let isInOrder = ring.features.contains(.inOrder)
    if !completesEach && !isInOrder { return }
    let (queue, start) = try make(ring, completesEach: completesEach)
    var device = start
    var random = SeededRandom(seed: UInt64(ring.size))
    var expected: [LoopDevice.Buffer] = []
    var held: [LoopDevice.Buffer] = []
    var mistakes: [String] = []
    for round in 0..<2000 {
      for _ in 0..<Int.random(in: 0...4, using: &random) {
        let count = Int.random(in: 1...min(4, ring.size), using: &random)
        let isIndirect = Bool.random(using: &random)
        let buffers = (0..<count).map { index in
          GuestQueue.Buffer(
            UInt64.random(in: 0..<1 << 20, using: &random), Int.random(in: 0..<5000, using: &random),
            isWritable: index * 2 >= count)
        }
        let room = queue.freeCount
        guard let id = queue.add(buffers, indirect: isIndirect) else {
          if room >= (isIndirect ? 1 : count) { mistakes.append("round \(round): nothing was added") }
          continue
        }
        let slots = isIndirect || queue.layout == .split ? 1 : count
        expected.append(
          LoopDevice.Buffer(
            id: id, slots: slots,
            pieces: buffers.map {
              .init(address: $0.address, length: Int($0.length), isWritable: $0.isWritable)
            }))
      }
      if Bool.random(using: &random) { queue.publish() }
      while let buffer = device.take() {
        held.append(buffer)
        if buffer != expected.removeFirst() { mistakes.append("round \(round): found \(buffer)") }
      }
      if !isInOrder { held.shuffle(using: &random) }
      let batch = held.prefix(Int.random(in: 0...held.count, using: &random))
      held.removeFirst(batch.count)
      let done = batch.map { buffer in
        let skipped = !completesEach && buffer.id != batch.last?.id
        return (
          buffer, length: skipped ? UInt32(buffer.writable) : UInt32.random(in: 0..<9000, using: &random)
        )
      }
      _ = device.complete(done)
      for (buffer, length) in done {
        let back = queue.complete()
        if back?.head != buffer.id || back?.length != length {
          mistakes.append("round \(round): \(String(describing: back)) instead of \(buffer.id), \(length)")
        }
      }
      if queue.complete() != nil { mistakes.append("round \(round): something came back twice") }
      if mistakes.count > 3 { break }
    }
    #expect(mistakes == [])
    #expect(device.taken > 10 * ring.size)
  }

  /// The device takes nothing that is not published, even over the end of the ring.
  @Test(arguments: rings)
  func `Nothing is seen before it is published`(ring: Ring) throws {
    let (queue, start) = try make(ring)
    var device = start
    for _ in 0..<5 * ring.size {
      let id = try #require(queue.add([.init(64, 64, isWritable: true)]))
      let second = queue.add([.init(128, 64, isWritable: true)])
      #expect(next(&device) == nil)
      queue.publish()
      let first = try #require(next(&device))
      #expect(first.id == id)
      let other = second == nil ? nil : device.take()
      #expect(other?.id == second)
      _ = device.complete([(first, 1)] + (other.map { [($0, 2 as UInt32)] } ?? []))
      #expect(queue.complete()?.head == id)
      #expect(queue.complete()?.head == second)
    }
    #expect(queue.freeCount == ring.size)
  }

  @Test(arguments: rings)
  func `A device that asks for a kick gets one`(ring: Ring) throws {
    let (queue, start) = try make(ring)
    var device = start
    for _ in 0..<3 * ring.size {
      device.requestKick()
      queue.add([.init(64, 64, isWritable: false)])
      #expect(queue.publish())
      #expect(!queue.publish() || !ring.features.contains(.eventIndex), "nothing is new")
      let buffer = try #require(next(&device))
      _ = device.complete([(buffer, 0)])
      #expect(queue.complete() != nil)
      if ring.features.contains(.eventIndex) {
        device.requestKick(after: 1)
        queue.add([.init(64, 64, isWritable: false)])
        #expect(!queue.publish(), "not the one it asked for")
        queue.add([.init(64, 64, isWritable: false)])
        #expect(queue.publish())
      } else {
        device.refuseKicks()
        queue.add([.init(64, 64, isWritable: false)])
        #expect(!queue.publish())
      }
      while let buffer = device.take() { _ = device.complete([(buffer, 0)]) }
      while queue.complete() != nil {}
    }
  }

  @Test(arguments: rings)
  func `A driver that sleeps is called, one that polls is not`(ring: Ring) throws {
    let (queue, start) = try make(ring)
    var device = start
    func turn() throws -> Bool {
      queue.add([.init(64, 64, isWritable: false)])
      queue.publish()
      let buffer = try #require(next(&device))
      return device.complete([(buffer, 0)])
    }
    for _ in 0..<3 * ring.size {
      #expect(queue.sleep())
      #expect(try turn())
      #expect(!queue.sleep(), "something is there")
      #expect(queue.complete() != nil)
      queue.stayAwake()
      #expect(try !turn())
      #expect(queue.complete() != nil)
      guard ring.features.contains(.eventIndex) else { continue }
      #expect(queue.sleep(after: 2))
      #expect(try !turn())
      #expect(try turn())
      while queue.complete() != nil {}
    }
  }

  @Test(arguments: rings)
  func `After a reset everything begins anew`(ring: Ring) throws {
    let (queue, start) = try make(ring)
    var device = start
    for round in 0..<3 {
      for _ in 0..<ring.size + 1 {
        queue.add([.init(64, 64, isWritable: false)])
        queue.publish()
        let buffer = try #require(next(&device))
        _ = device.complete([(buffer, 0)])
        #expect(queue.complete()?.head == buffer.id)
      }
      queue.add([.init(64, 64, isWritable: false)])
      queue.publish()
      #expect(queue.base != (ring.features.contains(.packedRing) ? 0x8000_8000 : 0), "round \(round)")
      queue.reset()
      device = LoopDevice(queue: queue, completesEach: true)
      #expect(queue.freeCount == ring.size)
      #expect(queue.base == (ring.features.contains(.packedRing) ? 0x8000_8000 : 0))
      #expect(next(&device) == nil && queue.complete() == nil)
    }
  }

  /// Positions of a packed ring's device and driver are the same after a lap and a half: wrap counter 0 and slot 4.
  @Test func `A packed ring's base has slots and wrap counters`() throws {
    let (queue, start) = try make(Ring(features: .packedRing, size: 8))
    var device = start
    for _ in 0..<12 {
      queue.add([.init(64, 64, isWritable: false)])
      queue.publish()
      let buffer = try #require(next(&device))
      _ = device.complete([(buffer, 0)])
      _ = queue.complete()
    }
    #expect(queue.base == 0x0004_0004)
  }
}
