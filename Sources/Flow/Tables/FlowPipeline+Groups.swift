// Groups (OpenFlow 1.5 §6.5) and meters (§6.7).

extension FlowPipeline {
  /// Where buckets are put in among those of a group.
  public enum BucketPosition: Equatable, Sendable {
    case first, last
    case before(UInt32)
    case after(UInt32)
  }

  /// By their numbers.
  public var groups: [Group] { active.groups.sorted { $0.description.id < $1.description.id } }
  public var meters: [Meter] { active.meters.sorted { $0.description.id < $1.description.id } }

  /// How many flows use it.
  public func flowCount(usingGroup id: UInt32) -> Int { book.rules(usingGroup: id).count }
  public func flowCount(usingMeter id: UInt32) -> Int { book.rules(usingMeter: id).count }

  public func addGroup(_ description: GroupDescription) throws(FlowError) {
    try change { () throws(FlowError) in
      guard self.idle.group(description.id) == nil else {
        throw FlowError("Group \(description.id) is there already; modify it instead")
      }
      try self.validate(description)
      self.perform(.group(nil, Group(description, created: self.clock()), id: description.id))
    }
  }

  /// - Parameter mayCreate: whether it is added where it is missing; otherwise that is an error.
  public func modifyGroup(_ description: GroupDescription, mayCreate: Bool = false) throws(FlowError) {
    guard let old = idle.group(description.id) else {
      if mayCreate { return try addGroup(description) }
      throw Self.noGroup(description.id)
    }
    guard old.description != description else { return }
    try change { () throws(FlowError) in try self.replace(old, with: description) }
  }

  /// Deletes a group, and the flows that use it. One that is not there is no error (OpenFlow 1.5 §6.5).
  ///
  /// - Parameter id: nil: every group.
  public func deleteGroup(_ id: UInt32?) throws(FlowError) {
    try change { () throws(FlowError) in
      guard let id else {
        for group in self.idle.groups { self.delete(group) }
        return
      }
      guard let group = self.idle.group(id) else { return }
      let users = self.idle.groups.filter {
        $0.description.id != id && $0.description.references.groups.contains(id)
      }
      if let user = users.map(\.description.id).min() {
        throw FlowError("Group \(id) is used by group \(user); change or delete that first")
      }
      self.delete(group)
    }
  }

  private func delete(_ group: Group) {
    remove(book.rules(usingGroup: group.description.id))
    perform(.group(group, nil, id: group.description.id))
  }

  /// Puts buckets in among a group's, which keeps the counters of those it has.
  public func insertBuckets(
    _ buckets: [GroupDescription.Bucket], into id: UInt32, at position: BucketPosition = .last
  ) throws(FlowError) {
    guard let old = idle.group(id) else { throw Self.noGroup(id) }
    var description = old.description
    func place(of bucket: UInt32) throws(FlowError) -> Int {
      guard let place = description.buckets.firstIndex(where: { $0.id == bucket }) else {
        throw Self.noBucket(bucket, id)
      }
      return place
    }
    let place =
      switch position {
      case .first: 0
      case .last: description.buckets.count
      case .before(let bucket): try place(of: bucket)
      case .after(let bucket): try place(of: bucket) + 1
      }
    description.buckets.insert(contentsOf: buckets, at: place)
    try change { () throws(FlowError) in try self.replace(old, with: description) }
  }

  /// - Parameter bucket: its number; nil: all of them.
  public func removeBuckets(_ bucket: UInt32?, from id: UInt32) throws(FlowError) {
    guard let old = idle.group(id) else { throw Self.noGroup(id) }
    var description = old.description
    description.buckets.removeAll { bucket == nil || $0.id == bucket }
    if let bucket, description.buckets.count == old.description.buckets.count {
      throw Self.noBucket(bucket, id)
    }
    try change { () throws(FlowError) in try self.replace(old, with: description) }
  }

  /// The group's count goes on, and that of buckets that stay as they are.
  private func replace(_ old: Group, with description: GroupDescription) throws(FlowError) {
    try validate(description)
    let counters = description.buckets.map { bucket in
      old.description.buckets.firstIndex(of: bucket).map { old.bucketCounters[$0] } ?? FlowCounters()
    }
    let new = Group(description, created: old.created, counters: old.counters, bucketCounters: counters)
    perform(.group(old, new, id: description.id))
  }

  private static func noGroup(_ id: UInt32) -> FlowError {
    FlowError("There is no group \(id); add it first")
  }
  private static func noBucket(_ bucket: UInt32, _ id: UInt32) -> FlowError {
    FlowError("Group \(id) has no bucket \(bucket); dump-groups shows its buckets")
  }

  // MARK: Meters

  public func addMeter(_ description: MeterDescription) throws(FlowError) {
    guard idle.meter(description.id) == nil else {
      throw FlowError("Meter \(description.id) is there already; modify it instead")
    }
    try set(description)
  }

  public func modifyMeter(_ description: MeterDescription) throws(FlowError) {
    guard let old = idle.meter(description.id) else {
      throw FlowError("There is no meter \(description.id); add it first")
    }
    if old.description != description { try set(description) }
  }

  private func set(_ description: MeterDescription) throws(FlowError) {
    try change { () throws(FlowError) in
      try description.check()
      let new = Meter(description, created: self.clock())
      self.perform(.meter(self.idle.meter(description.id), new, id: description.id))
    }
  }

  /// Deletes a meter, and the flows that use it. One that is not there is no error (OpenFlow 1.5 §6.7).
  ///
  /// - Parameter id: nil: every meter.
  public func deleteMeter(_ id: UInt32?) throws(FlowError) {
    try change { () throws(FlowError) in
      for meter in id.map({ id in self.idle.meters.filter { $0.description.id == id } })
        ?? Array(self.idle.meters)
      {
        let id = meter.description.id
        let users = self.idle.groups.filter { $0.description.references.meters.contains(id) }
        if let user = users.map(\.description.id).min() {
          throw FlowError("Meter \(id) is used by group \(user); change or delete that first")
        }
        self.remove(self.book.rules(usingMeter: id))
        self.perform(.meter(meter, nil, id: id))
      }
    }
  }
}
