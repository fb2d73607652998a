import Flow

/// What makes one list of flows of another.
struct FlowDifference {
  /// What a flow is found by in its switch.
  private struct Place: Hashable {
    let table: UInt8
    let priority: UInt16
    let match: Match

    init(_ flow: FlowDescription) { (table, priority, match) = (flow.table, flow.priority, flow.match) }
  }

  /// Flows to be deleted, and those that take their places or are new: one of the two may be nil. By table, then priority,
  /// highest first, then as the lists have them.
  private(set) var pairs: [(old: FlowDescription?, new: FlowDescription?)] = []

  /// Of several flows with the same table, priority and match in a list the last one counts.
  init(from old: [FlowDescription], to new: [FlowDescription]) {
    let before = Dictionary(old.map { (Place($0), $0) }) { $1 }
    let after = Dictionary(new.map { (Place($0), $0) }) { $1 }
    var seen: Set<Place> = []
    for flow in old + new {
      let place = Place(flow)
      guard seen.insert(place).inserted else { continue }
      let (one, other) = (before[place], after[place])
      if let one, let other, one.isSame(as: other) { continue }
      pairs.append((one, other))
    }
    let order = pairs.indices.sorted { left, right in
      let (a, b) = (flow(left), flow(right))
      return (a.table, b.priority, left) < (b.table, a.priority, right)
    }
    pairs = order.map { pairs[$0] }
  }

  private func flow(_ index: Int) -> FlowDescription {
    pairs[index].old ?? pairs[index].new ?? FlowDescription()
  }

  var isEmpty: Bool { pairs.isEmpty }

  /// A line for each flow that differs, or two: "-" and what was, "+" and what is.
  var text: String {
    let formatter = FlowFormatter()
    return pairs.map { old, new in
      (old.map { "-\(formatter.flow($0))\n" } ?? "") + (new.map { "+\(formatter.flow($0))\n" } ?? "")
    }.joined()
  }

  /// The lines of an `add-flows` file that make the change: what goes first, so that there is room.
  ///
  /// - Parameter all: flows that are added in any case.
  func changes(readding all: [FlowDescription]?) -> [String] {
    let formatter = FlowFormatter()
    let deletions = pairs.compactMap { old, new in
      old.flatMap { old in
        new != nil
          ? nil : "delete_strict table=\(old.table),\(formatter.match(old.match, priority: old.priority))"
      }
    }
    return deletions + (all ?? pairs.compactMap(\.new)).map { "add \(formatter.flow($0))" }
  }
}

extension FlowDescription {
  /// Whether two flows in the same place do the same: as `ovs-ofctl` compares, without flags.
  fileprivate func isSame(as other: FlowDescription) -> Bool {
    cookie == other.cookie && idleTimeout == other.idleTimeout && hardTimeout == other.hardTimeout
      && importance == other.importance && actions == other.actions
  }
}
