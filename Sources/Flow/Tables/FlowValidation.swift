// What is refused, and why: flows, groups and meters that could not do what they say. As Open vSwitch refuses them.

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
    try ActionCheck.checkOrder(actions)
    var check = ActionCheck(tables: idle, match: match)
    for action in actions { try check.check(action) }
  }

  /// Whether a table may be continued from `table`: only later ones, so that there are no loops (OpenFlow 1.5 §5.5).
  func validateJumps(_ actions: [Action], from table: UInt8) throws(FlowError) {
    for case .gotoTable(let next) in actions where next <= table || next == 255 {
      throw FlowError(
        "goto_table:\(next) in table \(table): only a later one, 254 at most, can be gone to; use resubmit for others"
      )
    }
  }

  // MARK: Groups

  func validate(_ group: GroupDescription) throws(FlowError) {
    guard group.id <= GroupDescription.maximumID else {
      throw FlowError("Group \(group.id): numbers end at \(GroupDescription.maximumID)")
    }
    if group.kind == .indirect, group.buckets.count != 1 {
      throw FlowError(
        "Group \(group.id) of type indirect has \(group.buckets.count) buckets; give it exactly one")
    }
    if group.kind != .select, !group.selectionMethod.isEmpty {
      throw FlowError("Group \(group.id): selection_method is for type select")
    }
    guard ["", "hash", "dp_hash"].contains(group.selectionMethod) else {
      throw FlowError(
        "Group \(group.id): there is no selection_method \(group.selectionMethod); use hash or dp_hash")
    }
    var ids = Set<UInt32>()
    for bucket in group.buckets {
      guard ids.insert(bucket.id).inserted else {
        throw FlowError("Group \(group.id) has two buckets \(bucket.id); give each a bucket_id of its own")
      }
      try validate(bucket, of: group)
    }
    try validateReferences(of: group)
  }

  private func validate(_ bucket: GroupDescription.Bucket, of group: GroupDescription) throws(FlowError) {
    let place = "Group \(group.id), bucket \(bucket.id)"
    let watches = bucket.watchPort != nil || bucket.watchGroup != nil
    if group.kind == .fastFailover, !watches {
      throw FlowError("\(place): type ff needs a watch_port or watch_group")
    }
    if group.kind != .fastFailover, group.kind != .select, watches {
      throw FlowError("\(place): watch_port and watch_group are for types ff and select")
    }
    // Which frames come here is not known, so prerequisites are not asked for: what does not fit a frame does nothing.
    var check = ActionCheck(tables: nil, match: nil)
    for action in bucket.actions {
      do throws(FlowError) {
        try ActionCheck.checkNested(action, in: "a bucket")
        try check.check(action)
      } catch {
        throw FlowError("\(place): \(error.description)")
      }
    }
  }

  /// Whether the groups and meters it uses are there, and none of them leads back to it.
  private func validateReferences(of group: GroupDescription) throws(FlowError) {
    let references = group.references
    if let missing = references.meters.filter({ idle.meter($0) == nil }).min() {
      throw FlowError("Group \(group.id) uses meter \(missing), which is not there; add it first")
    }
    var seen = Set<UInt32>()
    var ahead = references.groups
    while let next = ahead.popFirst() {
      guard next != group.id else {
        throw FlowError("Group \(group.id) would lead to itself; frames would never leave it")
      }
      guard seen.insert(next).inserted else { continue }
      guard let other = idle.group(next) else {
        throw FlowError("Group \(group.id) uses group \(next), which is not there; add it first")
      }
      ahead.formUnion(other.description.references.groups)
    }
  }

  // MARK: Meters

  func validate(_ meter: MeterDescription) throws(FlowError) {
    guard 1...MeterDescription.maximumID ~= meter.id else {
      throw FlowError("Meter \(meter.id): numbers are 1 to \(MeterDescription.maximumID)")
    }
    guard !meter.bands.isEmpty else { throw FlowError("Meter \(meter.id) has no band; give it one") }
    guard meter.bands.allSatisfy({ $0.rate > 0 }) else {
      throw FlowError("Meter \(meter.id) has a band without a rate; give it one of 1 or more")
    }
  }
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
