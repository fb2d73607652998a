/// What `trace` tells of a frame: the way it takes through the tables, what becomes of it, and which flow decides that.
public struct TraceReport {
  /// The frame: its fields.
  public let flow: String
  /// The way through the tables, a line each, indented.
  public let steps: [String]
  /// The fields at the end; nil: as they were.
  public let finalFlow: String?
  /// The fields that the outcome depended on: frames that agree in them share one cached entry.
  public let megaflow: String
  /// What the cached entry does.
  public let actions: String
  /// The flows whose actions output the frame; if none does, the flow, or the table without one, that it ends with.
  public let decisions: [String]
  /// Why the frame goes nowhere.
  public let drop: String?

  /// - Parameters:
  ///   - key: the frame as it was received.
  ///   - formatter: with the port names to be shown.
  ///   - normal: says what MAC learning decides for a frame that came by a port, in a sentence.
  public init(
    _ key: FlowWords, _ translation: Translation, _ trace: [TraceStep], _ formatter: FlowFormatter,
    normal: (_ from: PortNumber, _ key: FlowWords) -> String
  ) {
    var builder = Builder(formatter: formatter)
    for step in trace { builder.add(step, normal) }
    flow = formatter.key(key)
    steps = builder.tree.lines + builder.remarks.map { " -> " + $0 }
    let end = trace.last?.key ?? key
    finalFlow = end == key ? nil : formatter.key(end)
    megaflow = formatter.key(key, mask: translation.mask)
    actions = ProgramText(formatter: formatter, translation: translation, key: key).text
    drop = translation.drop?.explanation
    decisions = builder.outputs.isEmpty ? [builder.latest] : builder.outputs
  }

  /// The report as it is printed.
  ///
  /// - Parameter isCached: whether frames of this bridge make cached entries.
  public func text(bridge: String, isCached: Bool = true) -> String {
    let title = "bridge(\"\(bridge)\")"
    var lines = ["Flow: \(flow)", "", title, String(repeating: "-", count: title.count)] + steps
    lines += ["", "Final flow: \(finalFlow ?? "unchanged")"]
    if isCached {
      lines += ["Megaflow: \(megaflow)", "Datapath actions: \(actions)"]
    } else {
      lines += [
        "Megaflow: none: while NORMAL is the only flow, every frame goes straight to MAC learning",
        "Datapath actions: \(actions)",
      ]
    }
    if let drop { lines.append("Dropped: \(drop)") }
    return (lines + ["Decided by: \(decisions.joined(separator: "; "))"]).map { $0 + "\n" }.joined()
  }
}

/// Takes steps one after the other.
private struct Builder {
  let formatter: FlowFormatter
  var tree = TraceTree()
  /// What is to be said of the trace itself.
  var remarks: [String] = []
  /// Flows that output, in order.
  var outputs: [String] = []
  /// The flow found last, or that there was none.
  var latest = ""
  /// Whose actions are being executed, from the outermost: a flow's, or those that flows put into the action set.
  private var rules: [(depth: Int, names: [String])] = []
  /// Flows that put actions into the action set.
  private var writers: [String] = []

  init(formatter: FlowFormatter) { self.formatter = formatter }

  mutating func add(_ step: TraceStep, _ normal: (PortNumber, FlowWords) -> String) {
    switch step.event {
    case .lookup(let table, let rule): add(table, rule, step.depth)
    case .action(let action):
      tree.add(.action, formatter.actions([action]), depth: step.depth)
      if case .writeActions = action { write(at: step.depth) }
      if case .clearActions = action { writers = [] }
    case .bucket(let bucket, _): tree.add(.bucket, "bucket \(bucket.id)", depth: step.depth)
    case .actionSet:
      tree.addWithin("--. Executing action set:", depth: step.depth)
      leave(step.depth)
      rules.append((step.depth, writers))
    case .learned(let modification):
      tree.add(.detail, "learns \(formatter.flow(modification.flow))", depth: step.depth)
    case .note(let text):
      // Of the whole; that a frame is dropped is told at the end.
      if step.depth > 0 {
        tree.add(.detail, text, depth: step.depth)
      } else if !text.hasPrefix("drop: ") {
        remarks.append(text)
      }
    case .operation(let operation):
      if case .normal(let port, _) = operation {
        tree.add(.detail, normal(port, step.key), depth: step.depth)
      }
      guard operation.isOutput else { return }
      leave(step.depth)
      for name in rules.last?.names ?? [] where !outputs.contains(name) { outputs.append(name) }
    }
  }

  /// The flow at hand puts actions into the action set.
  private mutating func write(at depth: Int) {
    leave(depth)
    for name in rules.last?.names ?? [] where !writers.contains(name) { writers.append(name) }
  }

  private mutating func leave(_ depth: Int) {
    while let last = rules.last, last.depth >= depth { rules.removeLast() }
  }

  private mutating func add(_ table: UInt8, _ rule: FlowRule?, _ depth: Int) {
    leave(depth)
    let number = table < 10 ? " \(table)" : "\(table)"
    guard let rule else {
      latest = "table \(table), in which no flow matches"
      tree.add(.list, "\(number). No match.", depth: depth)
      tree.add(.action, "drop", depth: depth + 1)
      return
    }
    let match = formatter.match(rule.match)
    var text = (match.isEmpty ? "" : match + ", ") + "priority \(rule.priority)"
    if rule.description.cookie != 0 { text += ", cookie 0x" + String(rule.description.cookie, radix: 16) }
    tree.add(.list, "\(number). \(text)", depth: depth)
    if rule.actions.isEmpty { tree.add(.action, "drop", depth: depth + 1) }
    latest = "table \(table): \(text)"
    rules.append((depth, [latest]))
  }
}

extension FlowOperation {
  /// Whether it sends the frame somewhere.
  fileprivate var isOutput: Bool {
    switch self {
    case .output, .flood, .normal, .controller: true
    case .meter: false
    }
  }
}
