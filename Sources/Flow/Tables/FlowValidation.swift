// What is refused, and why: flows and groups that could not do what they say with what else there is.

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
  /// - Parameter table: where they are; nil when that is still to be seen (`ActionCheck.checkJumps`).
  func validate(actions: [Action], match: Match, table: UInt8?) throws(FlowError) {
    if let table { try ActionCheck.checkJumps(actions, from: table) }
    try ActionCheck.check(actions, match: match, tables: idle)
  }

  // MARK: Groups

  func validate(_ group: GroupDescription) throws(FlowError) {
    try group.check()
    try validateReferences(of: group)
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
