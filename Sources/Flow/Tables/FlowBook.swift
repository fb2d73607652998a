/// What the control thread has to find: the flows that use a group or a meter, that were learned, that expire. It
/// follows every edit, and its undoing, so it always agrees with the idle side.
struct FlowBook {
  private var rulesByGroup: [UInt32: [ObjectIdentifier: FlowRule]] = [:]
  private var rulesByMeter: [UInt32: [ObjectIdentifier: FlowRule]] = [:]
  /// How many flows have a learn action with `delete_learned` for them.
  private var learners: [Learned: Int] = [:]
  private var orphans: [Learned] = []
  var timeouts = FlowTimeouts()
  private var recentActions: [[Action]] = Array(repeating: [], count: 1024)

  mutating func perform(_ edit: TableEdit) {
    switch edit {
    case .add(let rule): add(rule)
    case .remove(let rule): remove(rule)
    case .replace(let old, let new):
      // In this order, so that a learn action that stays has no moment without one.
      add(new)
      remove(old)
    case .group, .meter, .ports: break
    }
  }

  private mutating func add(_ rule: FlowRule) {
    for action in rule.actions {
      action.forEach { action in
        switch action {
        case .group(let id): rulesByGroup[id, default: [:]][ObjectIdentifier(rule)] = rule
        case .meter(let id): rulesByMeter[id, default: [:]][ObjectIdentifier(rule)] = rule
        case .learn(let learn) where learn.deletesLearned:
          learners[Learned(table: learn.table, cookie: learn.cookie), default: 0] += 1
        default: break
        }
      }
    }
    timeouts.add(rule)
  }

  private mutating func remove(_ rule: FlowRule) {
    for action in rule.actions {
      action.forEach { action in
        switch action {
        case .group(let id): rulesByGroup[id]?.remove(rule)
        case .meter(let id): rulesByMeter[id]?.remove(rule)
        case .learn(let learn) where learn.deletesLearned:
          let learned = Learned(table: learn.table, cookie: learn.cookie)
          if learners.decrement(learned) { orphans.append(learned) }
        default: break
        }
      }
    }
    timeouts.remove(rule)
  }

  func rules(usingGroup id: UInt32) -> [FlowRule] { rulesByGroup[id].map { Array($0.values) } ?? [] }
  func rules(usingMeter id: UInt32) -> [FlowRule] { rulesByMeter[id].map { Array($0.values) } ?? [] }

  /// Flows for which there is no learn action any longer.
  mutating func takeOrphan() -> Learned? {
    while let orphan = orphans.popLast() { if learners[orphan] == nil { return orphan } }
    return nil
  }

  /// The rule of `table` that goes first to make room.
  mutating func victim(_ table: UInt8) -> FlowRule? { timeouts.victim(table) }

  func allRules(of tables: FlowTables) -> [FlowRule] {
    var selection = FlowSelection(FlowModification(.delete, FlowDescription()), filtersOutputs: false)
    selection.table = nil
    return selection.rules(of: tables)
  }

  /// These actions as another rule had them lately, so that many rules with the same share one list.
  mutating func shared(_ actions: [Action]) -> [Action] {
    guard !actions.isEmpty else { return [] }
    let place = Int(UInt(bitPattern: actions.hashValue) % UInt(recentActions.count))
    if recentActions[place] == actions { return recentActions[place] }
    recentActions[place] = actions
    return actions
  }
}

extension Dictionary where Value == Int {
  /// Counts down; returns whether none is left.
  fileprivate mutating func decrement(_ key: Key) -> Bool {
    guard let count = self[key] else { return false }
    self[key] = count > 1 ? count - 1 : nil
    return count == 1
  }
}

extension Dictionary<ObjectIdentifier, FlowRule> {
  fileprivate mutating func remove(_ rule: FlowRule) { removeValue(forKey: ObjectIdentifier(rule)) }
}
