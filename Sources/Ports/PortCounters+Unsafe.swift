import Synchronization

/// What one poll thread did on one port. Only that thread writes, so adding is a plain load and store; any thread
/// may read, each number by itself.
@frozen
public struct PortCounters {
  /// The numbers before the drops, in this order.
  public enum Field: Int, CaseIterable, Sendable {
    case receivedFrames, receivedBytes, transmittedFrames, transmittedBytes
    /// Notifications sent to a guest (calls), and those it asked us not to send.
    case notificationsSent, notificationsSuppressed
  }

  @usableFromInline static let count = Field.allCases.count + DropReason.allCases.count

  @usableFromInline let words: UnsafeMutablePointer<Atomic<UInt64>>

  /// Zeroes. Whoever makes it calls `deallocate`.
  public init() {
    // Whole cache-line pairs: two threads' counters never share one.
    let bytes = (Self.count * 8 + 127) / 128 * 128
    let memory = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 128)
    words = memory.bindMemory(to: Atomic<UInt64>.self, capacity: Self.count)
    for index in 0..<Self.count { (words + index).initialize(to: Atomic(0)) }
  }

  public func deallocate() { UnsafeMutableRawPointer(words).deallocate() }

  @inlinable @inline(__always)
  public func add(_ field: Field, _ amount: Int) { add(word: field.rawValue, amount) }

  /// One frame, or several, dropped for `reason`.
  @inlinable @inline(__always)
  public func drop(_ reason: DropReason, _ frames: Int = 1) { add(word: 6 &+ reason.rawValue, frames) }

  public subscript(field: Field) -> UInt64 { words[field.rawValue].load(ordering: .relaxed) }
  public subscript(reason: DropReason) -> UInt64 { words[6 + reason.rawValue].load(ordering: .relaxed) }

  // SAFETY: both enumerations are dense and `count` words were allocated; a single writer makes the unlocked
  // read-modify-write exact.
  @inlinable @inline(__always)
  func add(word: Int, _ amount: Int) {
    let old = words[word].load(ordering: .relaxed)
    words[word].store(old &+ UInt64(truncatingIfNeeded: amount), ordering: .relaxed)
  }
}

/// The counters of all threads on one port, added up at one moment.
public struct PortStatistics: Equatable, Sendable {
  private var fields = [UInt64](repeating: 0, count: PortCounters.Field.allCases.count)
  private var drops = [UInt64](repeating: 0, count: DropReason.allCases.count)

  public init() {}

  public mutating func add(_ counters: PortCounters) {
    for field in PortCounters.Field.allCases { fields[field.rawValue] &+= counters[field] }
    for reason in DropReason.allCases { drops[reason.rawValue] &+= counters[reason] }
  }

  /// Drops that no poll thread saw.
  public mutating func add(_ reason: DropReason, _ frames: UInt64) { drops[reason.rawValue] &+= frames }

  public subscript(field: PortCounters.Field) -> UInt64 { fields[field.rawValue] }
  public subscript(reason: DropReason) -> UInt64 { drops[reason.rawValue] }

  public var receiveDrops: UInt64 { DropReason.allCases.filter(\.isReceive).reduce(0) { $0 &+ self[$1] } }
  public var transmitDrops: UInt64 {
    DropReason.allCases.filter { !$0.isReceive }.reduce(0) { $0 &+ self[$1] }
  }
}
