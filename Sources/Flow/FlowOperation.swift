// What translation makes
// ======================
//
// Taking one frame through the tables yields a program for the packet path, and the exact set of bits that it depended
// on. The program is good for every frame that agrees with the first in those bits.
//
// A program does not alter the frame step by step. Every output names a *rewrite*: the finished form of the headers,
// relative to the frame as it was received. So nothing has to be undone between outputs, and each form is made once.

/// How a frame's headers look when it leaves, relative to how it was received.
public struct Rewrite: Hashable, Sendable {
  /// How many of the received tags are taken off, from the outside; 0 to 2.
  public var poppedTags = 0
  /// Tags then put on, innermost first: TPID in the upper half, TCI (without the presence bit) in the lower.
  public var pushedTags: [UInt32] = []
  /// Which bits of the key are written (words of the frame only, without those of the tags, unless `poppedTags` and
  /// `pushedTags` are 0 and empty: then the outer tag's TCI too), and with what.
  public var mask = FlowWords()
  public var value = FlowWords()

  public init() {}

  public var isNothing: Bool { poppedTags == 0 && pushedTags.isEmpty && mask.isZero }
}

/// One step of a program.
public enum FlowOperation: Sendable {
  /// To a port, in form `rewrite` (an index into `Translation.rewrites`; 0 is the frame as it was received).
  case output(PortNumber, rewrite: Int)
  /// To every port but `except` (none: nil), whatever its VLANs.
  case flood(except: PortNumber?, rewrite: Int)
  /// MAC learning, as if the frame had come in by `from` in this form.
  case normal(from: PortNumber, rewrite: Int)
  /// The rest of the program is for frames that the meter lets pass only.
  case meter(Meter)
  /// To a controller. There is none yet: counted as dropped for that reason.
  case controller(ControllerOutput, rewrite: Int)
}

/// Why a program sends a frame nowhere.
public enum FlowDrop: Sendable, Hashable {
  /// A flow says so: it has no actions, or none that output.
  case byFlow
  /// No flow of a table matched.
  case tableMiss
  /// `dec_ttl` with nothing left.
  case timeToLive
  /// Too many resubmits, outputs, forms or steps; the stack overflowed; a third tag: the pipeline is at fault.
  case pipelineError
}

/// What a program's frames are counted for.
public struct FlowCredits: Sendable {
  /// Every rule that matched, in order.
  public var rules: [FlowRule] = []
  /// Groups and buckets gone through.
  public var counters: [FlowCounters] = []
  /// Per table looked up: whether a rule was found.
  public var tables: [(table: UInt8, matched: Bool)] = []

  public init() {}
}

/// The outcome for one frame, and for all that agree with it in `wildcards`.
public struct Translation: Sendable {
  public var operations: [FlowOperation] = []
  /// Element 0 is the frame as it was received.
  public var rewrites: [Rewrite] = [Rewrite()]
  /// Set when there is no operation that sends.
  public var drop: FlowDrop?
  /// The bits depended on: words of the frame only.
  public var mask = FlowWords()
  public var credits = FlowCredits()
  /// Flows to make or refresh because of this frame, and again as long as there is traffic.
  public var learned: [FlowModification] = []
  /// What else than flows it depended on; see `Dependency`.
  public var dependencies: UInt64 = 0
  /// A bit per table looked up.
  public var tables = TableSet()
  /// Bits of the frame that had been written before some table was looked up: there, a rule's match says nothing about
  /// the frame as it was received.
  public var rewritten = FlowWords()

  public init() {}
}

/// Ports, groups and the like as bits of a word: several may share one, so that a change of one of them may concern too many
/// programs, but never too few.
public enum Dependency {
  public static func port(_ number: PortNumber) -> UInt64 { 1 << UInt64(number.value % 31) }
  /// How many flows were learned, in any table.
  public static let learnedFlows: UInt64 = 1 << 31
  public static func group(_ id: UInt32) -> UInt64 { 1 << UInt64(32 + id % 16) }
  public static func meter(_ id: UInt32) -> UInt64 { 1 << UInt64(48 + id % 16) }
}

/// A set of table numbers.
public struct TableSet: Hashable, Sendable {
  private var words: SIMD4<UInt64> = .zero

  public init() {}

  public func contains(_ table: UInt8) -> Bool { words[Int(table >> 6)] >> UInt64(table & 63) & 1 == 1 }
  public mutating func insert(_ table: UInt8) { words[Int(table >> 6)] |= 1 << UInt64(table & 63) }
}
