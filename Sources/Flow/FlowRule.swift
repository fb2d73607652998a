import Synchronization

/// Frames and bytes counted by poll threads and read by the control thread.
public final class FlowCounters: Sendable {
  private let packetCount = Atomic<UInt64>(0)
  private let byteCount = Atomic<UInt64>(0)
  /// When traffic was seen last, in milliseconds of the switch's clock; 0: never.
  private let lastUse = Atomic<UInt64>(0)

  public init() {}

  public var packets: UInt64 { packetCount.load(ordering: .relaxed) }
  public var bytes: UInt64 { byteCount.load(ordering: .relaxed) }
  public var lastUsed: UInt64 { lastUse.load(ordering: .relaxed) }

  /// - Parameter time: when the last of them came, in milliseconds of the switch's clock.
  public func add(packets: UInt64, bytes: UInt64, at time: UInt64) {
    packetCount.wrappingAdd(packets, ordering: .relaxed)
    byteCount.wrappingAdd(bytes, ordering: .relaxed)
    // Of several threads the latest counts.
    _ = lastUse.max(time, ordering: .relaxed)
  }

  /// Begins anew.
  public func reset() {
    packetCount.store(0, ordering: .relaxed)
    byteCount.store(0, ordering: .relaxed)
  }

  /// Continues where `other` is.
  public func take(_ other: FlowCounters) {
    packetCount.wrappingAdd(other.packets, ordering: .relaxed)
    byteCount.wrappingAdd(other.bytes, ordering: .relaxed)
    _ = lastUse.max(other.lastUsed, ordering: .relaxed)
  }
}

/// A flow in a table. Immutable but for its counters and moments, so that poll threads read it without locks; what
/// changes a flow otherwise (its actions, say) puts another in its place.
///
/// A table may hold a million of them: a rule keeps its match as the values of those words that it asks for, and shares
/// the mask with the rules that have the same.
public final class FlowRule: Sendable {
  let shape: MatchShape
  let values: PackedValues
  public let actions: [Action]
  public let counters: FlowCounters
  public let cookie: UInt64
  /// When it was added, in milliseconds of the switch's clock.
  public let created: UInt64
  private let refreshTime: Atomic<UInt64>
  /// Whether a learn action made it; for `limit`.
  public let isLearned: Bool
  /// Whether it is a clause of conjunctive matches.
  let isConjunctive: Bool
  public let table: UInt8
  public let flags: FlowDescription.Flags
  public let priority: UInt16
  public let idleTimeout: UInt16
  public let hardTimeout: UInt16
  public let importance: UInt16
  /// Its place among the rules of one priority in dumps: rules count up as they come, and a replacement takes the place
  /// of what it replaces.
  let order: UInt64

  /// - Parameter modified: when it was last refreshed: its hard timeout counts from there.
  public convenience init(
    _ description: FlowDescription, created: UInt64, modified: UInt64? = nil,
    counters: FlowCounters = FlowCounters(), isLearned: Bool = false
  ) {
    self.init(
      description, actions: description.actions, shape: MatchShape(description.match.mask), created: created,
      modified: modified, counters: counters, isLearned: isLearned, order: 0)
  }

  /// - Parameters:
  ///   - actions: those of the description, perhaps shared with other rules.
  ///   - shape: that of the description's match.
  init(
    _ description: FlowDescription, actions: [Action], shape: MatchShape, created: UInt64, modified: UInt64?,
    counters: FlowCounters, isLearned: Bool, order: UInt64
  ) {
    self.shape = shape
    values = PackedValues(description.match.value, shape: shape)
    self.actions = actions
    self.counters = counters
    cookie = description.cookie
    self.created = created
    refreshTime = Atomic(modified ?? created)
    self.isLearned = isLearned
    isConjunctive = actions.contains { if case .conjunction = $0 { true } else { false } }
    table = description.table
    flags = description.flags
    priority = description.priority
    idleTimeout = description.idleTimeout
    hardTimeout = description.hardTimeout
    importance = description.importance
    self.order = order
  }

  public var description: FlowDescription {
    FlowDescription(
      table: table, priority: priority, match: match, cookie: cookie, idleTimeout: idleTimeout,
      hardTimeout: hardTimeout, importance: importance, flags: flags, actions: actions)
  }

  public var match: Match { Match(value: value, mask: shape.mask) }

  var value: FlowWords {
    var value = FlowWords()
    for (place, word) in shape.words.enumerated() { value[word.index] = values[place] }
    return value
  }

  public var modified: UInt64 { refreshTime.load(ordering: .relaxed) }

  /// Lets the hard timeout begin anew.
  public func refresh(at time: UInt64) { _ = refreshTime.max(time, ordering: .relaxed) }

  /// Whether `key` has the values this rule asks for.
  @inline(__always)
  func matches(_ key: some Words) -> Bool {
    let words = shape.words
    for place in words.indices where key[words[place].index] & words[place].bits != values[place] {
      return false
    }
    return true
  }
}
