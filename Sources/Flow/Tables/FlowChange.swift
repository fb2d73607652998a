/// What about a bridge's tables changed.
public enum FlowChange: Sendable {
  /// A flow with this match came, went or became another.
  case rule(table: UInt8, match: Match)
  case group(UInt32)
  case meter(UInt32)
  case port(PortNumber)
  case everything
}

/// What a cached decision depended on; see `Translation`.
public struct CachedDecision: Sendable {
  /// The frame's words, zero outside of `mask`.
  public var key: FlowWords
  public var mask: FlowWords
  public var tables: TableSet
  /// Bits that had been written before some table was looked up.
  public var rewritten: FlowWords
  /// See `Dependency`.
  public var dependencies: UInt64

  public init(
    key: FlowWords, mask: FlowWords, tables: TableSet, rewritten: FlowWords = FlowWords(),
    dependencies: UInt64 = 0
  ) {
    self.key = key & mask
    self.mask = mask
    self.tables = tables
    self.rewritten = rewritten
    self.dependencies = dependencies
  }

  public init(_ translation: Translation, key: FlowWords) {
    self.init(
      key: key, mask: translation.mask, tables: translation.tables, rewritten: translation.rewritten,
      dependencies: translation.dependencies)
  }
}

extension FlowChange {
  /// Whether `decision` could be another one because of this change. May say so in vain, never the other way around.
  public func concerns(_ decision: CachedDecision) -> Bool {
    switch self {
    case .rule(let table, let match):
      // The match is compared with the frame as it was received, so bits written on the way say nothing; nor do those
      // of the pipeline's own words.
      if decision.dependencies & Dependency.learnedFlows != 0 { return true }
      guard decision.tables.contains(table) else { return false }
      for index in 0..<FlowWords.packetCount {
        let bits = match.mask[index] & decision.mask[index] & ~decision.rewritten[index]
        if (match.value[index] ^ decision.key[index]) & bits != 0 { return false }
      }
      return true
    case .group(let id): return decision.dependencies & Dependency.group(id) != 0
    case .meter(let id): return decision.dependencies & Dependency.meter(id) != 0
    case .port(let number): return decision.dependencies & Dependency.port(number) != 0
    case .everything: return true
    }
  }
}

/// The last changes of a side, numbered from 1.
struct ChangeLog {
  static var capacity: Int { 256 }
  /// How many there have been.
  private(set) var count: UInt64 = 0
  /// Change n at n - 1, modulo the capacity.
  private var ring: ContiguousArray<FlowChange> = []

  /// Notes that nothing is as it was.
  mutating func appendEverything() {
    if ring.isEmpty { ring = ContiguousArray(repeating: .everything, count: Self.capacity) }
    ring[Int(truncatingIfNeeded: count) & (Self.capacity - 1)] = .everything
    count += 1
  }

  mutating func append(_ edits: ContiguousArray<TableEdit>) {
    // Of a great many only the last are worth writing down: a decision from before is out of reach anyway.
    let skipped = max(edits.count - Self.capacity, 0)
    if skipped > 0 || ring.isEmpty { ring = ContiguousArray(repeating: .everything, count: Self.capacity) }
    count += UInt64(skipped)
    for edit in edits.suffix(Self.capacity) {
      edit.forEachChange { change in
        ring[Int(truncatingIfNeeded: count) & (Self.capacity - 1)] = change
        count += 1
      }
    }
  }

  /// Whether every change after the first `since` is still there.
  func reaches(_ since: UInt64) -> Bool { since <= count && count - since <= UInt64(Self.capacity) }

  /// Change `number`, of those within reach.
  subscript(_ number: UInt64) -> FlowChange {
    ring[Int(truncatingIfNeeded: number &- 1) & (Self.capacity - 1)]
  }

  /// Whether one of those after the first `since` concerns `decision`.
  func concerns(_ decision: CachedDecision, since: UInt64) -> Bool {
    guard reaches(since) else { return true }
    var number = since
    while number < count {
      if ring[Int(truncatingIfNeeded: number) & (Self.capacity - 1)].concerns(decision) { return true }
      number += 1
    }
    return false
  }
}
