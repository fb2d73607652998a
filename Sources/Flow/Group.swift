/// A group as a user describes it (OpenFlow 1.5 §5.10).
public struct GroupDescription: Hashable, Sendable {
  public enum Kind: String, CaseIterable, Sendable {
    /// Every bucket.
    case all
    /// One, chosen by a hash of the frame, by weight.
    case select
    /// The only one.
    case indirect
    /// The first that is live.
    case fastFailover = "fast_failover"
  }

  public struct Bucket: Hashable, Sendable {
    public var id: UInt32
    /// Of `select` groups; 0 is never chosen.
    public var weight: UInt16
    /// Live while this port's link is up, or that group has a live bucket. `fast_failover` needs one of them.
    public var watchPort: PortNumber?
    public var watchGroup: UInt32?
    public var actions: [Action]

    public init(
      id: UInt32, weight: UInt16 = 1, watchPort: PortNumber? = nil, watchGroup: UInt32? = nil,
      actions: [Action] = []
    ) {
      self.id = id
      self.weight = weight
      self.watchPort = watchPort
      self.watchGroup = watchGroup
      self.actions = actions
    }
  }

  public static let maximumID: UInt32 = 0xFFFF_FF00

  public var id: UInt32
  public var kind: Kind
  public var buckets: [Bucket]
  /// `selection_method`: "hash", "dp_hash", or empty for the default.
  public var selectionMethod: String
  public var selectionParameter: UInt64
  /// The fields that are hashed, with masks; empty: addresses, protocol and ports.
  public var selectionFields: [SubField]

  public init(
    id: UInt32, kind: Kind, buckets: [Bucket] = [], selectionMethod: String = "",
    selectionParameter: UInt64 = 0,
    selectionFields: [SubField] = []
  ) {
    self.id = id
    self.kind = kind
    self.buckets = buckets
    self.selectionMethod = selectionMethod
    self.selectionParameter = selectionParameter
    self.selectionFields = selectionFields
  }
}

/// A group in use: what it is, and what went through it.
public final class Group: Sendable {
  public let description: GroupDescription
  public let counters: FlowCounters
  /// One per bucket.
  public let bucketCounters: [FlowCounters]
  /// In milliseconds of the switch's clock.
  public let created: UInt64

  public init(
    _ description: GroupDescription, created: UInt64, counters: FlowCounters = FlowCounters(),
    bucketCounters: [FlowCounters]? = nil
  ) {
    self.description = description
    self.created = created
    self.counters = counters
    self.bucketCounters = bucketCounters ?? description.buckets.map { _ in FlowCounters() }
  }
}
