// Which actions a list can hold, and in which order: instructions come once each and in the order of OpenFlow 1.5 §5.5,
// and only in a flow's own list (but a bucket may begin with a meter); conjunctions stand alone.

extension ActionCheck {
  /// Where a list of actions is.
  enum Place {
    case flow, bucket, clone, actionSet

    func checkOrder(_ actions: [Action]) throws(FlowError) {
      var last = Rank.meter
      for (index, action) in actions.enumerated() {
        let rank = Rank(action)
        guard allows(rank) else {
          throw FlowError(
            "\(action.name) cannot be in a list within another, only in a flow's own list")
        }
        if self == .actionSet { try checkSet(action) }
        guard rank != last || index == 0 || rank == .apply else {
          throw FlowError("\(action.name) is there twice; a flow has it once at most")
        }
        guard rank >= last else {
          throw FlowError(
            "\(action.name) comes too late: the order is meter, actions, clear_actions, write_actions, write_metadata, goto_table"
          )
        }
        last = rank
      }
      try checkConjunctions(actions)
    }

    private func allows(_ rank: Rank) -> Bool {
      rank == .apply || self == .flow || self == .bucket && rank == .meter
    }

    /// What an action set cannot hold (OpenFlow 1.5 §5.6).
    private func checkSet(_ action: Action) throws(FlowError) {
      switch action {
      case .learn, .exit, .note, .clone, .conjunction, .push, .pop, .outputField:
        throw FlowError(
          "write_actions cannot hold learn, exit, note, clone, conjunction, push, pop, or output to a field")
      default: break
      }
    }

    private func checkConjunctions(_ actions: [Action]) throws(FlowError) {
      var hasConjunction = false
      var other: Action?
      for action in actions {
        switch action {
        case .conjunction: hasConjunction = true
        case .note: break
        default: other = other ?? action
        }
      }
      guard hasConjunction, let other else { return }
      throw FlowError(
        "conjunction may be used along with note but no other action, such as \(other.name): put those in the flow that matches conj_id"
      )
    }
  }

  private enum Rank: Int, Comparable {
    case meter, apply, clear, write, metadata, goto

    init(_ action: Action) {
      switch action {
      case .meter: self = .meter
      case .clearActions: self = .clear
      case .writeActions: self = .write
      case .writeMetadata: self = .metadata
      case .gotoTable: self = .goto
      default: self = .apply
      }
    }

    static func < (left: Rank, right: Rank) -> Bool { left.rawValue < right.rawValue }
  }
}

extension Action {
  /// As it is written, without what it does it with.
  var name: String {
    String(FlowFormatter().action(self).prefix { $0 != ":" && $0 != "(" })
  }
}
