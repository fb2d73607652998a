/// One step of a trace. Steps are in the order in which they were taken; `depth` says what was done because of what: a
/// step belongs to the latest one before it that has a smaller depth. (A list, not a tree: thousands of resubmits may
/// stand inside one another.)
public struct TraceStep: Sendable {
  public enum Event: Sendable {
    /// A table was looked up, with `TraceStep.key`; nil: no flow matched.
    case lookup(table: UInt8, FlowRule?)
    /// An action was executed; `TraceStep.key` is what it left, before anything it led to.
    case action(Action)
    /// A bucket of the group that the action before names was chosen; `index` is its place.
    case bucket(GroupDescription.Bucket, index: Int)
    /// The action set is executed, in this order.
    case actionSet([Action])
    /// The program goes on with this.
    case operation(FlowOperation)
    case learned(FlowModification)
    /// What else there is to say: a short English sentence.
    case note(String)
  }

  public let depth: Int
  public let event: Event
  /// The fields at this point.
  public internal(set) var key: FlowWords
}
