// Translation
// ===========
//
// `Translator` takes one frame's key through the tables and writes down what its actions amount to: a `Translation`.
// What it does for a frame is what Open vSwitch 3.1 does for it (`ovs-actions(7)`).
//
// While it runs, every bit of the key is one of two things: as it was received, or *written*, that is, known whatever
// the frame. Whoever reads a bit says so (`Execution.read`); a bit as received is added to the mask by that, a written
// one is not. A value moved from one field to another was read before, so what is written is a constant in any case.
// Hence two frames that agree in the mask take the same way and give the same program.
//
//     file                    what is in it
//     Execution               the state, the loop, tables and limits
//     Execution+Reading       reads, writes, prerequisites: the only places that touch the mask
//     Execution+Actions       one action after the other
//     Execution+Output        outputs, in which form, and to whom
//     Execution+Groups        buckets: which, and why
//     Execution+Learning      flows made from the frame at hand
//     HeaderState             the key at this moment, and where its bits are from; the form it has on the wire
//     ActionSet               the order in which a set of actions is executed
//     TraceStep               why: every step, on request

/// How far one translation may go before it counts as an error of the pipeline.
public struct TranslationLimits: Sendable {
  /// Resubmits to the same or an earlier table, and groups, inside one another.
  public var depth = 64
  /// Tables looked up.
  public var lookups = 4096
  /// Bytes on the stack of `push` and `pop`.
  public var stackBytes = 65_536
  public var operations = 4096
  /// Forms of the frame, that as received included.
  public var rewrites = 256
  /// Actions executed, buckets looked at, and what clones inherit: what bounds the time.
  public var steps = 1 << 18
  /// Steps of a trace; the rest is left out.
  public var traceSteps = 1 << 14

  public init() {}
}

/// Takes keys through a bridge's tables. Has no state of its own: may be used by several threads if `lookup` may.
public struct Translator {
  private let lookup: any FlowLookup
  private let limits: TranslationLimits

  public init(lookup: some FlowLookup, limits: TranslationLimits = TranslationLimits()) {
    self.lookup = lookup
    self.limits = limits
  }

  /// What becomes of a frame with this key.
  ///
  /// - Parameter key: as received: metadata and registers are 0 (OpenFlow 1.5 §5.1), whatever it says of them.
  public func translate(_ key: FlowWords) -> Translation {
    var execution = Execution(key, lookup, limits, isTraced: false)
    execution.run()
    return execution.outcome
  }

  /// The same, and every step taken, in order.
  public func trace(_ key: FlowWords) -> (Translation, [TraceStep]) {
    var execution = Execution(key, lookup, limits, isTraced: true)
    execution.run()
    return (execution.outcome, execution.steps)
  }
}
