// Flows that come and go by themselves.

extension FlowPipeline {
  /// Removes the flows whose time is over, and says which and why. To be called every second.
  public func expire() -> [(rule: FlowRule, reason: ExpiryReason)] {
    let expired = book.timeouts.due(at: clock())
    guard !expired.isEmpty else { return [] }
    remove(expired.map(\.0))
    commit()
    return expired.map { (rule: $0.0, reason: $0.1) }
  }

  /// Adds a flow that a learn action made, or refreshes it where it is there already: then nothing is published.
  ///
  /// - Parameter limit: the action's: at most so many flows of its table and cookie are learned; 0: any number.
  /// - Returns: whether the flow is there now. It is not when the limit is reached, the table full, or the flow refused.
  public func learn(_ modification: FlowModification, limit: UInt32 = 0) -> Bool {
    learn([(modification, limit)]) == [true]
  }

  /// Likewise with several, which poll threads see all at once.
  public func learn(_ learned: [(flow: FlowModification, limit: UInt32)]) -> [Bool] {
    defer { commit() }
    return learned.map { modification, limit in
      var flow = modification.flow
      flow.table = modification.table ?? flow.table
      return (try? attempt { () throws(FlowError) in try self.learn(flow, limit) }) ?? false
    }
  }

  private func learn(_ flow: FlowDescription, _ limit: UInt32) throws(FlowError) -> Bool {
    let old = idle.classifier(flow.table)?.rule(flow.match, priority: flow.priority)
    if let old, old.learnCookie == flow.cookie, old.description == flow {
      old.refresh(at: clock())
      return true
    }
    if old == nil, limit > 0, book.learnedCount(table: flow.table, cookie: flow.cookie) >= Int(limit) {
      return false
    }
    try validate(flow)
    try add(flow, learnCookie: flow.cookie)
    return true
  }
}
