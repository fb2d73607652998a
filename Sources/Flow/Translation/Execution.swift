/// One translation on its way.
///
/// Lists of actions that lead to others (resubmits, buckets, clones) wait in `frames`, not on the thread's stack: a
/// pipeline may nest thousands of them.
struct Execution {
  /// A list of actions being executed.
  struct Frame {
    /// What has to be done when the list is through.
    enum Ending {
      /// The action set is executed; `isClone`: then what the clone changed is undone.
      case pipeline(isClone: Bool)
      case actionSet(isClone: Bool)
      /// Back to the table before; `deepens`: it was a later one, or the same.
      case table(previous: UInt8, deepens: Bool)
      /// What the bucket changed is undone; then the buckets from `next` on, if it is a group that uses them all.
      case bucket(Group, next: Int?)
    }

    var actions: [Action]
    var next = 0
    let ending: Ending
    /// The flow is one for what no other matches: controllers are told so.
    let isMissFlow: Bool
    /// The depth of its actions in a trace.
    let depth: Int
  }

  /// What is put back behind a clone, apart from the fields.
  struct Saved {
    let stack: Stack
    let actionSet: [Action]
  }

  /// What `push` put away.
  struct Stack {
    private var values: [UInt128] = []
    private var sizes: [UInt8] = []
    /// As Open vSwitch counts: whole bytes of each value, and one for their number.
    private(set) var bytes = 0
    var count: Int { values.count }

    mutating func push(_ value: UInt128, bits: Int) {
      values.append(value)
      sizes.append(UInt8(truncatingIfNeeded: (bits + 7) / 8 + 1))
      bytes += (bits + 7) / 8 + 1
    }

    mutating func pop() -> UInt128? {
      guard let value = values.popLast(), let size = sizes.popLast() else { return nil }
      bytes -= Int(size)
      return value
    }
  }

  let lookup: any FlowLookup
  let limits: TranslationLimits
  let received: FlowWords
  var outcome = Translation()
  var headers: HeaderState
  /// Headers as they were before the buckets and clones that are being executed.
  var savedHeaders: [HeaderState] = []
  var saved: [Saved] = []
  var frames: [Frame] = []
  var stack = Stack()
  var actionSet: [Action] = []
  var isInActionSet = false
  /// `exit` was executed: everything ends.
  var exits = false
  var hasFailed = false
  var timeToLiveExpired = false
  var table: UInt8 = 0
  var depth = 0
  var lookupCount = 0
  var stepCount = 0
  var lastLookupMissed = false
  /// The index of the form that `headers` have; nil: not known.
  var currentRewrite: Int? = 0

  let isTraced: Bool
  var steps: [TraceStep] = []

  init(_ key: FlowWords, _ lookup: any FlowLookup, _ limits: TranslationLimits, isTraced: Bool) {
    self.lookup = lookup
    self.limits = limits
    self.isTraced = isTraced
    headers = HeaderState(key)
    received = headers.key
  }

  mutating func run() {
    let rule = find(in: 0, from: nil)
    frames.append(
      Frame(
        actions: rule?.actions ?? [], ending: .pipeline(isClone: false), isMissFlow: rule?.isMissFlow == true,
        depth: 1))
    while let top = frames.indices.last, !hasFailed {
      let next = frames[top].next
      if exits || next == frames[top].actions.count {
        finish(frames.removeLast())
        continue
      }
      guard spend() else { break }
      frames[top].next = next + 1
      perform(frames[top].actions[next])
    }
    conclude()
  }

  /// Does what is due at the end of a list.
  private mutating func finish(_ frame: Frame) {
    switch frame.ending {
    case .table(let previous, let deepens):
      table = previous
      depth -= deepens ? 1 : 0
    case .bucket(let group, let next):
      depth -= 1
      restoreHeaders()
      // `exit` ends its bucket only.
      exits = false
      if let next { beginBucket(next, of: group, goesOn: true) }
    case .pipeline(let isClone):
      let set = exits ? [] : ActionSet.ordered(actionSet)
      actionSet = []
      guard !set.isEmpty else { return end(isClone: isClone) }
      isInActionSet = true
      record(.actionSet(set), depth: frame.depth - 1)
      frames.append(
        Frame(
          actions: set, ending: .actionSet(isClone: isClone), isMissFlow: frame.isMissFlow, depth: frame.depth
        ))
    case .actionSet(let isClone):
      isInActionSet = false
      end(isClone: isClone)
    }
  }

  private mutating func end(isClone: Bool) {
    guard isClone, let before = saved.popLast() else { return }
    stack = before.stack
    actionSet = before.actionSet
    restoreHeaders()
  }

  mutating func restoreHeaders() {
    guard let before = savedHeaders.popLast() else { return }
    headers = before
    currentRewrite = nil
  }

  /// Nothing more of the list that is being executed.
  mutating func endList() {
    guard let top = frames.indices.last else { return }
    frames[top].next = frames[top].actions.count
  }

  // MARK: Tables

  /// Continues with the flow of `number` that matches, and then behind the action at hand.
  ///
  /// - Parameter port: looked up in the place of the port the frame came from.
  mutating func enter(table number: UInt8, from port: PortNumber? = nil) {
    guard mayNest() else { return }
    guard let rule = find(in: number, from: port) else { return }
    let deepens = number <= table
    push(
      rule.actions, ending: .table(previous: table, deepens: deepens), isMissFlow: rule.isMissFlow,
      depthBelow: 2)
    table = number
    depth += deepens ? 1 : 0
  }

  /// Begins a list inside that at hand.
  ///
  /// - Parameter depthBelow: how much deeper its actions stand in a trace.
  mutating func push(
    _ actions: [Action], ending: Frame.Ending, isMissFlow: Bool? = nil, depthBelow: Int
  ) {
    frames.append(
      Frame(
        actions: actions, ending: ending, isMissFlow: isMissFlow ?? frames.last?.isMissFlow ?? false,
        depth: (frames.last?.depth ?? 0) + depthBelow))
  }

  private mutating func find(in table: UInt8, from port: PortNumber?) -> FlowRule? {
    var key = headers.key
    var constant = headers.written
    if let port {
      key[.inPort] = UInt128(port.value)
      constant[FlowWord.inPort] |= Self.inPortBits
    }
    if !headers.hasTagsInPlace { constant[FlowWord.tags] = .max }
    // No flow sees the ports of a fragment, not even those of the first (`ovs-fields(7)`, "ip_frag").
    let isFragment = key[FlowWord.ethernetDestination] & Self.anyFragment != 0
    if isFragment { key[FlowWord.transport] &= ~Self.portBits }

    lookupCount += 1
    var mask = FlowWords()
    let rule = lookup.lookup(table: table, key: key, mask: &mask)
    if port != nil { mask[FlowWord.inPort] &= ~Self.inPortBits }
    if mask[FlowWord.transport] & Self.portBits != 0 {
      depend(on: Self.anyFragment, of: FlowWord.ethernetDestination)
      if isFragment {
        mask[FlowWord.transport] &= ~Self.portBits
        constant[FlowWord.transport] |= Self.portBits
      }
    }
    for word in 0..<FlowWords.packetCount { outcome.rewritten[word] |= constant[word] }
    for word in 0..<FlowWords.packetCount where mask[word] != 0 { depend(on: mask[word], of: word) }

    outcome.tables.insert(table)
    outcome.credits.tables.append((table, rule != nil))
    if let rule { outcome.credits.rules.append(rule) }
    lastLookupMissed = rule == nil
    record(.lookup(table: table, rule), below: 1, key: key)
    return rule
  }

  private static let inPortBits: UInt64 = 0xFFFF << 16
  private static let portBits: UInt64 = 0xFFFF_FFFF << 32
  /// Of `nw_frag`: it is a fragment.
  static let anyFragment: UInt64 = 1

  // MARK: Limits

  /// Counts steps; false when there have been too many.
  mutating func spend(_ count: Int = 1) -> Bool {
    stepCount += count
    if stepCount <= limits.steps { return true }
    fail("more than \(limits.steps) steps")
    return false
  }

  /// Whether one more list may begin inside of that at hand.
  mutating func mayNest() -> Bool {
    if depth >= limits.depth {
      fail("more than \(limits.depth) resubmits or groups inside one another")
    } else if lookupCount > limits.lookups {
      fail("more than \(limits.lookups) resubmits")
    } else if stack.bytes >= limits.stackBytes {
      fail("\(limits.stackBytes) bytes on the stack")
    } else {
      return true
    }
    return false
  }

  mutating func fail(_ reason: String) {
    hasFailed = true
    note("the pipeline is at fault: \(reason)")
  }

  // MARK: The end

  private mutating func conclude() {
    if hasFailed {
      outcome.operations = []
      outcome.rewrites = [Rewrite()]
      outcome.learned = []
      outcome.drop = .pipelineError
    } else if !outcome.operations.contains(where: \.sends) {
      outcome.drop = timeToLiveExpired ? .timeToLive : lastLookupMissed ? .tableMiss : .byFlow
    }
    guard let drop = outcome.drop else { return }
    record(.note("drop: \(drop.explanation)"), depth: 0)
  }

  // MARK: The trace

  /// - Parameter below: how much deeper than the actions of the list at hand.
  mutating func record(_ event: @autoclosure () -> TraceStep.Event, below: Int, key: FlowWords? = nil) {
    guard isTraced else { return }
    record(event(), depth: (frames.last.map { $0.depth + below } ?? 0), key: key)
  }

  mutating func record(_ event: @autoclosure () -> TraceStep.Event, depth: Int, key: FlowWords? = nil) {
    guard isTraced, steps.count <= limits.traceSteps else { return }
    let isLast = steps.count == limits.traceSteps
    steps.append(
      TraceStep(
        depth: isLast ? 0 : depth, event: isLast ? .note("what follows is left out") : event(),
        key: key ?? headers.key))
  }

  /// Of the action at hand.
  mutating func note(_ text: @autoclosure () -> String) { record(.note(text()), below: 1) }
}

extension FlowRule {
  /// Whether it is the flow for frames that no other of its table matches (OpenFlow 1.5 §5.4).
  var isMissFlow: Bool { priority == 0 && match.isEverything }
}

extension FlowOperation {
  /// Whether a frame goes somewhere by it: a controller is told of an expired TTL, it is not given the frame to forward.
  fileprivate var sends: Bool {
    switch self {
    case .output, .flood, .normal: true
    case .controller(let output, _): output.reason != .invalidTTL
    case .meter: false
    }
  }
}

extension FlowDrop {
  var explanation: String {
    switch self {
    case .byFlow: "no action sends the frame"
    case .tableMiss: "no flow matched"
    case .timeToLive: "its time to live is over"
    case .pipelineError: "the pipeline is at fault"
    }
  }
}
