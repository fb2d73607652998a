import Synchronization

/// What one poll thread has done since it started. Cycles are of the time-stamp counter.
public struct PollThreadStatistics: Sendable {
  public let thread: Int
  /// The processor it is pinned to, or nil.
  public let cpu: Int?
  public let receiveQueues: Int
  /// Turns that moved frames, and the cycles they took.
  public let busyTurns: UInt64
  public let busyCycles: UInt64
  /// Turns that found nothing, and the cycles they took; sleeping is not counted.
  public let idleTurns: UInt64
  public let idleCycles: UInt64
  public let frames: UInt64
  public let sleeps: UInt64
}

/// The numbers behind `PollThreadStatistics`, written by their thread alone.
struct PollCounters {
  enum Field: Int, CaseIterable { case busyTurns, busyCycles, idleTurns, idleCycles, frames, sleeps }

  private let words: UnsafeMutablePointer<Atomic<UInt64>>

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

  subscript(field: Field) -> UInt64 { words[field.rawValue].load(ordering: .relaxed) }
}
