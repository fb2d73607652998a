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
public final class FlowRule: Sendable {
  public let description: FlowDescription
  public let counters: FlowCounters
  /// When it was added, and when it was last refreshed (hard timeouts count from there), in milliseconds of the switch's
  /// clock.
  public let created: UInt64
  private let refreshTime: Atomic<UInt64>
  /// The rule this one was learned by, if any; for `delete_learned` and `limit`.
  public let learnCookie: UInt64?

  public init(
    _ description: FlowDescription, created: UInt64, modified: UInt64? = nil,
    counters: FlowCounters = FlowCounters(),
    learnCookie: UInt64? = nil
  ) {
    self.description = description
    self.created = created
    refreshTime = Atomic(modified ?? created)
    self.counters = counters
    self.learnCookie = learnCookie
  }

  public var match: Match { description.match }
  public var priority: UInt16 { description.priority }
  public var table: UInt8 { description.table }
  public var actions: [Action] { description.actions }
  public var modified: UInt64 { refreshTime.load(ordering: .relaxed) }

  /// Lets the hard timeout begin anew.
  public func refresh(at time: UInt64) { _ = refreshTime.max(time, ordering: .relaxed) }
}
