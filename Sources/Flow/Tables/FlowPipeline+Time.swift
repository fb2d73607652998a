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
  /// - Returns: whether the flow is there now. It is not when `learnLimit` is reached, the table full, or the flow refused.
  @discardableResult
  public func learn(_ modification: FlowModification) -> Bool { learn([modification]) == [true] }

  /// Likewise with several, which poll threads see all at once.
  @discardableResult
  public func learn(_ modifications: [FlowModification]) -> [Bool] {
    defer { commit() }
    return modifications.map { modification in
      let limit = modification.learnLimit ?? 0
      var flow = modification.flow
      flow.table = modification.table ?? flow.table
      return (try? attempt { () throws(FlowError) in try self.learn(flow, limit) }) ?? false
    }
  }

  private func learn(_ flow: FlowDescription, _ limit: UInt32) throws(FlowError) -> Bool {
    if let old = idle.learnedRule(flow) {
      old.refresh(at: clock())
      return true
    }
    guard idle.admits(learned: flow, limit: limit) else { return false }
    try validate(flow)
    try add(flow, isLearned: true)
    return true
  }
}
