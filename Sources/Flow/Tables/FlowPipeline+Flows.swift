// Flows added, modified and deleted (OpenFlow 1.5 §6.4), as Open vSwitch does where the specification leaves it open.

extension FlowPipeline {
  /// Makes changes, which poll threads see all at once.
  ///
  /// - Parameter atomically: whether none is made when one is refused. Otherwise those before it are.
  /// - Throws: why the first one that was refused was, with its index.
  public func apply(_ modifications: [FlowModification], atomically: Bool = false) throws(FlowError) {
    if modifications.count == 1, modifications[0].deletesEverything { return removeAllRules() }
    func applyAll() throws(FlowError) {
      for (index, modification) in modifications.enumerated() {
        do throws(FlowError) {
          try attempt { () throws(FlowError) in try self.apply(modification) }
        } catch {
          var error = error
          error.index = index
          throw error
        }
      }
    }
    defer { commit() }
    if atomically { try attempt(applyAll) } else { try applyAll() }
  }

  private func apply(_ modification: FlowModification) throws(FlowError) {
    switch modification.command {
    case .add:
      var flow = modification.flow
      flow.table = modification.table ?? flow.table
      try validate(flow)
      try add(flow)
    case .modify, .modifyStrict: try modify(modification)
    case .delete, .deleteStrict: remove(FlowSelection(modification, filtersOutputs: true).rules(of: idle))
    }
  }

  /// Adds a flow, or puts it in the place of the one with the same match and priority.
  func add(_ flow: FlowDescription, isLearned: Bool = false) throws(FlowError) {
    let now = clock()
    let classifier = idle.classifier(flow.table)
    if let old = classifier?.rule(flow.match, priority: flow.priority) {
      let counters = flow.flags.contains(.resetsCounts) ? FlowCounters() : old.counters
      replace(
        old, with: makeRule(flow, created: now, counters: counters, isLearned: isLearned, replacing: old))
      return
    }
    if flow.flags.contains(.checksOverlap),
      let other = classifier?.overlapping(flow.match, priority: flow.priority)
    {
      throw FlowError(
        "A flow of table \(flow.table) with priority \(flow.priority) and cookie 0x\(String(other.cookie, radix: 16)) "
          + "overlaps; give another priority, or leave out check_overlap")
    }
    try makeRoom(in: flow.table)
    perform(.add(makeRule(flow, created: now, isLearned: isLearned)))
  }

  private func makeRoom(in table: UInt8) throws(FlowError) {
    guard let limit = limit(table), idle.classifier(table)?.count ?? 0 >= limit.count else { return }
    if limit.evicts, limit.count > 0, let victim = book.victim(table) {
      remove([victim])
    } else {
      throw FlowError(
        "Table \(table) is full: its flow_limit is \(limit.count); raise it, delete flows, or let it evict")
    }
  }

  private func modify(_ modification: FlowModification) throws(FlowError) {
    let flow = modification.flow
    try validate(actions: flow.actions, match: flow.match, table: modification.table)
    let now = clock()
    for old in FlowSelection(modification, filtersOutputs: false).rules(of: idle) {
      if modification.table == nil { try ActionCheck.checkJumps(flow.actions, from: old.table) }
      var description = old.description
      description.actions = flow.actions
      if modification.setsCookie { description.cookie = flow.cookie }
      let resets = flow.flags.contains(.resetsCounts)
      if description.actions == old.actions && description.cookie == old.cookie && !resets {
        old.refresh(at: now)
        continue
      }
      replace(
        old,
        with: makeRule(
          description, created: old.created, modified: now, counters: resets ? FlowCounters() : old.counters,
          isLearned: old.isLearned, replacing: old))
    }
  }

  func replace(_ old: FlowRule, with new: FlowRule) {
    perform(.replace(old, new))
    removeLearned()
  }

  func remove(_ rules: [FlowRule]) {
    for rule in rules { perform(.remove(rule)) }
    removeLearned()
  }

  /// Removes flows whose learn action with `delete_learned` is gone, and theirs.
  private func removeLearned() {
    while let orphan = book.takeOrphan() {
      var selection = FlowModification(.delete, FlowDescription(table: orphan.table, cookie: orphan.cookie))
      selection.cookieMask = .max
      for rule in FlowSelection(selection, filtersOutputs: false).rules(of: idle) { perform(.remove(rule)) }
    }
  }

  /// Flows by table, then priority, highest first, then the order in which they came.
  ///
  /// - Parameter filter: as deletion selects; nil: all.
  public func flows(_ filter: FlowModification? = nil) -> [FlowRule] {
    let all = FlowModification(.delete, FlowDescription())
    var selection = FlowSelection(filter ?? all, filtersOutputs: true)
    if filter == nil { selection.table = nil }
    return selection.rules(of: active).sorted {
      ($0.table, $1.priority, $0.order) < ($1.table, $0.priority, $1.order)
    }
  }
}

extension FlowModification {
  /// Whether no flow can escape it.
  fileprivate var deletesEverything: Bool {
    guard case .delete = command else { return false }
    return table == nil && flow.match.isEverything && cookieMask == 0 && outputPort == nil
      && outputGroup == nil
  }
}
