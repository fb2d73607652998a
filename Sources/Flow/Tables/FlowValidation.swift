// What is refused
// ===============

extension FlowPipeline {
  /// Whether a flow can be added.
  func validate(_ flow: FlowDescription) throws(FlowError) {
    guard flow.table < FlowTables.tableCount else {
      throw FlowError("Table \(flow.table) cannot hold flows; tables are numbered 0 to 254")
    }
    try validate(actions: flow.actions, match: flow.match, table: flow.table)
  }

  /// Whether these actions make sense for frames of `match`.
  ///
  /// - Parameter table: where they are; nil when that is still to be seen (`validateJumps`).
  func validate(actions: [Action], match: Match, table: UInt8?) throws(FlowError) {
    if let table { try validateJumps(actions, from: table) }
    for action in actions { try validate(action) }
  }

  /// Whether a table may be continued from `table`: only later ones, so that there are no loops (OpenFlow 1.5 §5.5).
  func validateJumps(_ actions: [Action], from table: UInt8) throws(FlowError) {
    for case .gotoTable(let next) in actions where next <= table || next == 255 {
      throw FlowError(
        "goto_table:\(next) in table \(table): only a later one, 254 at most, can be gone to; use resubmit for others"
      )
    }
  }

  private func validate(_ action: Action) throws(FlowError) {
    switch action {
    case .group(let id) where idle.group(id) == nil: throw FlowError("There is no group \(id); add it first")
    case .meter(let id) where idle.meter(id) == nil: throw FlowError("There is no meter \(id); add it first")
    case .clone(let actions), .writeActions(let actions): for action in actions { try validate(action) }
    default: break
    }
  }

  func validate(_ group: GroupDescription) throws(FlowError) {}
  func validate(_ meter: MeterDescription) throws(FlowError) {}
}

extension GroupDescription {
  /// The groups and meters its buckets use.
  var references: (groups: Set<UInt32>, meters: Set<UInt32>) {
    var groups = Set<UInt32>()
    var meters = Set<UInt32>()
    for bucket in buckets {
      if let watched = bucket.watchGroup { groups.insert(watched) }
      for action in bucket.actions {
        action.forEach { action in
          switch action {
          case .group(let id): groups.insert(id)
          case .meter(let id): meters.insert(id)
          default: break
          }
        }
      }
    }
    return (groups, meters)
  }
}
