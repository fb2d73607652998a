/// What translation asks of a bridge's tables. `FlowTables` answers from its classifiers; tests answer from a list.
public protocol FlowLookup {
  /// The rule of `table` with the highest priority that matches `key`, conjunctive flows included (`ovs-fields(7)`,
  /// "Conjunctive Match Fields"): the rule returned is then the one that matches the `conj_id`.
  ///
  /// - Parameter mask: set in addition to every bit of `key` that the answer depended on: any key that agrees with
  ///   this one in those bits has the same answer.
  func lookup(table: UInt8, key: FlowWords, mask: inout FlowWords) -> FlowRule?
  func group(_ id: UInt32) -> Group?
  func meter(_ id: UInt32) -> Meter?
  /// Whether a `learn` action with this limit (0: none) makes or refreshes `flow`: not when its table has so many
  /// learned flows with its cookie already, unless it is one of them as it is. What is learned or forgotten in any table
  /// may change the answer.
  func admits(learned flow: FlowDescription, limit: UInt32) -> Bool
  /// A port of the bridge; nil when there is none of that number.
  func port(_ number: PortNumber) -> FlowPort?
}

/// A port, as flows see it.
public struct FlowPort: Equatable, Sendable {
  /// Whether its link is up: what `watch_port` watches.
  public var isLive: Bool
  /// What the packet path knows it by: another port under an old number has another.
  public var index: Int

  public init(isLive: Bool = true, index: Int = 0) {
    self.isLive = isLive
    self.index = index
  }
}
