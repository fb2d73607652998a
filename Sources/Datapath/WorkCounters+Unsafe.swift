import Synchronization

/// Counts the work of one poll thread, or of one receive queue. Only the thread concerned writes, so adding is a plain
/// load and store; any thread may read, each number by itself. A receive queue's stay with it when it moves.
struct WorkCounters {
  enum Field: Int, CaseIterable {
    /// Frames received, and the bursts they came in.
    case frames, bursts
    /// Cycles of the time-stamp counter: of a thread's turns that moved frames, or of a queue's bursts.
    case busyCycles
    /// Threads only.
    case busyTurns, idleTurns, idleCycles, sleeps
    /// Threads only: what is in the flow cache, and how often a frame was not found as a microflow, found no entry, or
    /// an entry had to be compared with changes of flows.
    case flowEntries, flowMasks, flowSearches, flowMisses, flowRenewals
  }

  private let words: UnsafeMutablePointer<Atomic<UInt64>>

  /// Zeroes, on cache lines of their own. Whoever makes it calls `deallocate`.
  init() {
    let memory = UnsafeMutableRawPointer.allocate(byteCount: 128, alignment: 128)
    words = memory.bindMemory(to: Atomic<UInt64>.self, capacity: 16)
    for word in 0..<16 { (words + word).initialize(to: Atomic(0)) }
  }

  func deallocate() { UnsafeMutableRawPointer(words).deallocate() }

  // SAFETY: the enumeration is smaller than the 16 words allocated; a single writer makes this exact.
  @inline(__always)
  func add(_ field: Field, _ amount: UInt64) {
    let word = words + field.rawValue
    word.pointee.store(word.pointee.load(ordering: .relaxed) &+ amount, ordering: .relaxed)
  }

  // SAFETY: as above.
  func set(_ field: Field, _ value: UInt64) { words[field.rawValue].store(value, ordering: .relaxed) }

  subscript(field: Field) -> UInt64 { words[field.rawValue].load(ordering: .relaxed) }
}
