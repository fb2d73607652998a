/// Which flows a modification, a deletion or a dump is about.
struct FlowSelection {
  var table: UInt8?
  private let match: Match
  /// Strictly: the match and this priority exactly; otherwise all flows the match covers.
  private let strictPriority: UInt16?
  private let cookie: UInt64
  private let cookieMask: UInt64
  private let outputPort: PortNumber?
  private let outputGroup: UInt32?

  /// - Parameter filtersOutputs: whether `outputPort` and `outputGroup` count: not for modifications (OpenFlow 1.5 §6.4).
  init(_ modification: FlowModification, filtersOutputs: Bool) {
    table = modification.table
    match = modification.flow.match
    let isStrict = modification.command == .modifyStrict || modification.command == .deleteStrict
    strictPriority = isStrict ? modification.flow.priority : nil
    cookie = modification.flow.cookie
    cookieMask = modification.cookieMask
    outputPort = filtersOutputs ? modification.outputPort : nil
    outputGroup = filtersOutputs ? modification.outputGroup : nil
  }

  func rules(of tables: FlowTables) -> [FlowRule] {
    var found: [FlowRule] = []
    for table in table.map({ $0...$0 }) ?? 0...254 {
      guard let classifier = tables.classifier(table) else { continue }
      if let strictPriority {
        if let rule = classifier.rule(match, priority: strictPriority), isWanted(rule) { found.append(rule) }
      } else {
        for subtable in classifier.subtables where match.mask.isSubset(of: subtable.shape.mask) {
          subtable.forEach { rule in
            if rule.isCovered(by: match), isWanted(rule) { found.append(rule) }
          }
        }
      }
    }
    return found
  }

  private func isWanted(_ rule: FlowRule) -> Bool {
    if (rule.cookie ^ cookie) & cookieMask != 0 { return false }
    if let outputPort, !rule.actions.contains(where: { $0.outputs(to: outputPort) }) { return false }
    if let outputGroup, !rule.actions.contains(where: { $0.refers(toGroup: outputGroup) }) { return false }
    return true
  }
}

extension FlowRule {
  /// Whether the rule's match is covered by one whose mask its own mask covers.
  fileprivate func isCovered(by other: Match) -> Bool {
    for (place, word) in shape.words.enumerated() {
      if (values[place] ^ other.value[word.index]) & other.mask[word.index] != 0 { return false }
    }
    return true
  }
}

extension Classifier {
  /// A rule of this priority that some frame matches too which matches `match`.
  func overlapping(_ match: Match, priority: UInt16) -> FlowRule? {
    for subtable in subtables where subtable.contains(priority) {
      var found: FlowRule?
      subtable.forEach { rule in
        if rule.priority == priority, rule.match.overlaps(match) { found = rule }
      }
      if let found { return found }
    }
    return nil
  }
}

extension Action {
  /// The action, and those in it.
  func forEach(_ body: (Action) -> Void) {
    body(self)
    switch self {
    case .clone(let actions), .writeActions(let actions): for action in actions { action.forEach(body) }
    default: break
    }
  }

  func outputs(to port: PortNumber) -> Bool {
    var found = false
    forEach { action in
      switch action {
      case .output(let other): found = found || other == port
      case .controller: found = found || port == .controller
      default: break
      }
    }
    return found
  }

  func refers(toGroup id: UInt32) -> Bool {
    var found = false
    forEach { action in if case .group(let other) = action { found = found || other == id } }
    return found
  }
}
