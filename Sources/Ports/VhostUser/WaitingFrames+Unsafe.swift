// Frames that wait for translations
// =================================
//
// A guest's IOMMU may take its mappings back at any moment, those of its rings among them, and give them again a few
// milliseconds later. Linux does so with all of them, a hundred times a second (`iommu.strict=0`). What comes for the
// guest meanwhile is copied to a store of the switch's own and follows in order, so that a sender's buffers go back at
// once, as always. The store is bounded; what finds no room is dropped, and so is what waited in vain.
//
// It is a ring of bytes. Whoever may transmit by the pair's queue writes, one thread at a time. Who reads is the same
// thread while the gate is open, and the control thread while it is not. So either may go on while the other does.

import Linux
import Packet
import Synchronization

struct WaitingFrames: ~Copyable {
  /// Bytes kept: a power of two, some dozens of milliseconds of a fast TCP connection.
  private static var capacity: Int { 1 << 19 }

  /// What lies before each frame. Records begin at multiples of 16 bytes, and none goes round the end: an empty frame
  /// says that the next record is at the beginning.
  private struct Record {
    var offload: UInt64
    var length: UInt32
    var checksumOffset: UInt16

    static var size: Int { 16 }
    /// Bytes taken by a frame of `length` bytes.
    static func size(_ length: Int) -> Int { (size &+ length &+ 15) & ~15 }
  }

  /// Made at the first use; touched only as far as it is used.
  private var bytes: UnsafeMutableRawPointer?
  /// Bytes written and read since the beginning.
  private let written = Atomic<Int>(0)
  private let read = Atomic<Int>(0)
  private let isAnnounced = Atomic<Bool>(false)

  // SAFETY: the half that makes it frees it.
  static func make() -> UnsafeMutablePointer<WaitingFrames> {
    let address = UnsafeMutablePointer<WaitingFrames>.allocate(capacity: 1)
    address.initialize(to: WaitingFrames())
    return address
  }

  static func free(_ address: UnsafeMutablePointer<WaitingFrames>) {
    address.deinitialize(count: 1)
    address.deallocate()
  }

  deinit { bytes?.deallocate() }

  /// For the control thread: makes room, before the pair's queue is first used.
  mutating func prepare() {
    if bytes == nil { bytes = .allocate(byteCount: Self.capacity, alignment: 64) }
  }

  var isEmpty: Bool { end == read.load(ordering: .relaxed) }
  /// Where the next frame will be kept.
  var end: Int { written.load(ordering: .acquiring) }

  // MARK: for who transmits

  /// Copies frames, the first ones as far as there is room, and lets the control thread know. Returns how many.
  func keep(
    _ frames: UnsafePointer<Outgoing>, _ indices: UnsafePointer<UInt16>, _ count: Int,
    from batch: borrowing Batch, _ gate: UnsafePointer<VhostUserGate>
  ) -> Int {
    var kept = 0
    while kept < count && keep(frames[Int(indices[kept])], batch) { kept = kept &+ 1 }
    if kept > 0 && !isAnnounced.exchange(true, ordering: .acquiringAndReleasing) {
      gate.pointee.signal.signal()
    }
    return kept
  }

  // SAFETY: a record is written only where there is room for it: not before what was not read yet, and not past the
  // end.
  private func keep(_ outgoing: Outgoing, _ batch: borrowing Batch) -> Bool {
    guard let bytes, outgoing.length > 0 else { return false }
    var start = written.load(ordering: .relaxed)
    let room = Self.capacity &- (start &- read.load(ordering: .acquiring))
    let size = Record.size(outgoing.length)
    let toEnd = Self.capacity &- (start & (Self.capacity &- 1))
    let skipped = size > toEnd ? toEnd : 0
    guard size &+ skipped <= room else { return false }
    if skipped > 0 {
      store(Record(offload: 0, length: 0, checksumOffset: 0), at: bytes + (start & (Self.capacity &- 1)))
      start = start &+ skipped
    }
    let record = bytes + (start & (Self.capacity &- 1))
    store(
      Record(
        offload: outgoing.offload.word, length: UInt32(truncatingIfNeeded: outgoing.length),
        checksumOffset: outgoing.offload.checksumOffset), at: record)
    let frame = record + Record.size
    frame.copyMemory(from: outgoing.header, byteCount: Int(outgoing.headerLength))
    if outgoing.sourceLength > 0 {
      batch.copy(
        batch.frames[Int(outgoing.frame)], from: Int(outgoing.sourceOffset),
        count: Int(outgoing.sourceLength),
        to: frame + Int(outgoing.headerLength))
    }
    written.store(start &+ size, ordering: .releasing)
    return true
  }

  private func store(_ record: Record, at place: UnsafeMutableRawPointer) {
    place.storeBytes(of: record, as: Record.self)
  }

  // MARK: for who reads

  /// The oldest frame kept before `end`, all of it as its header; valid until `remove`.
  // SAFETY: records lie between `read` and `written`, each where `keep` put it.
  func first(before end: Int) -> Outgoing? {
    guard let bytes else { return nil }
    while read.load(ordering: .relaxed) != end {
      let place = read.load(ordering: .relaxed) & (Self.capacity &- 1)
      let record = (bytes + place).load(as: Record.self)
      if record.length == 0 {
        advance(Self.capacity &- place)
        continue
      }
      return Outgoing(
        header: UnsafeRawPointer(bytes + place + Record.size), headerLength: record.length, frame: 0,
        sourceOffset: 0, sourceLength: 0,
        offload: Offload(word: record.offload, checksumOffset: record.checksumOffset))
    }
    return nil
  }

  /// Forgets `frame`, which `first` returned.
  func remove(_ frame: Outgoing) { advance(Record.size(Int(frame.headerLength))) }

  private func advance(_ count: Int) {
    read.store(read.load(ordering: .relaxed) &+ count, ordering: .releasing)
  }

  /// Forgets all frames; returns how many they were.
  func removeAll() -> Int {
    var count = 0
    let end = end
    while let frame = first(before: end) {
      remove(frame)
      count = count &+ 1
    }
    return count
  }

  /// For the control thread: whether it is to be told of the next frame that is kept.
  func announceNext(_ isWanted: Bool) { isAnnounced.store(!isWanted, ordering: .releasing) }
}
