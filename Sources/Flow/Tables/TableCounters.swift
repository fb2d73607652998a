import Synchronization

/// How often a table was asked, and how often it had an answer. Counted by poll threads; both sides share it.
public final class TableCounters: Sendable {
  private let lookupCount = Atomic<UInt64>(0)
  private let matchCount = Atomic<UInt64>(0)

  public init() {}

  public var lookups: UInt64 { lookupCount.load(ordering: .relaxed) }
  public var matches: UInt64 { matchCount.load(ordering: .relaxed) }

  public func add(lookups: UInt64, matches: UInt64) {
    lookupCount.wrappingAdd(lookups, ordering: .relaxed)
    matchCount.wrappingAdd(matches, ordering: .relaxed)
  }
}

/// A table's line of `dump-tables`.
public struct TableStatistics: Equatable, Sendable {
  public var table: UInt8
  /// Flows in it.
  public var active: Int
  public var lookups: UInt64
  public var matches: UInt64
  /// The most flows it may hold; nil: as many as memory allows.
  public var limit: Int?
}
