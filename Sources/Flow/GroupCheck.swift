// Which groups and meters make sense by themselves, whatever else there is. As Open vSwitch refuses them.

extension GroupDescription {
  /// - Throws: what is wrong with it; other groups, and meters, are not looked for.
  func check() throws(FlowError) {
    guard id <= Self.maximumID else {
      throw FlowError("Group \(id): numbers end at \(Self.maximumID)")
    }
    if kind == .indirect, buckets.count != 1 {
      throw FlowError("Group \(id) of type indirect has \(buckets.count) buckets; give it exactly one")
    }
    try checkSelection()
    var ids = Set<UInt32>()
    for bucket in buckets {
      guard ids.insert(bucket.id).inserted else {
        throw FlowError("Group \(id) has two buckets \(bucket.id); give each a bucket_id of its own")
      }
      do throws(FlowError) { try check(bucket) } catch {
        throw FlowError("Group \(id), bucket \(bucket.id): \(error.description)")
      }
    }
  }

  private func checkSelection() throws(FlowError) {
    guard kind == .select || selectionMethod.isEmpty else {
      throw FlowError("Group \(id): selection_method is for type select")
    }
    guard ["", "hash", "dp_hash"].contains(selectionMethod) else {
      throw FlowError(
        "Group \(id): there is no selection_method \(Text(selectionMethod).quoted); use hash or dp_hash")
    }
    guard selectionFields.isEmpty || selectionMethod == "hash" else {
      throw FlowError("Group \(id): fields are for selection_method=hash; add that, or leave them out")
    }
    guard selectionParameter == 0 || !selectionMethod.isEmpty else {
      throw FlowError(
        "Group \(id): selection_method_param needs a selection_method; add that, or leave it out")
    }
  }

  private func check(_ bucket: Bucket) throws(FlowError) {
    let watches = bucket.watchPort != nil || bucket.watchGroup != nil
    guard kind != .fastFailover || watches else {
      throw FlowError("type ff needs a watch_port or watch_group")
    }
    guard kind == .fastFailover || kind == .select || !watches else {
      throw FlowError("watch_port and watch_group are for types ff and select")
    }
    // Which frames come here is not known.
    try ActionCheck.check(bucket.actions, in: .bucket, match: nil)
  }
}

extension MeterDescription {
  func check() throws(FlowError) {
    guard 1...Self.maximumID ~= id else {
      throw FlowError("Meter \(id): numbers are 1 to \(Self.maximumID)")
    }
    guard !bands.isEmpty else {
      throw FlowError("Meter \(id) has no bands; end it with bands=type=drop rate=RATE")
    }
    guard bands.allSatisfy({ $0.rate > 0 }) else {
      throw FlowError("Meter \(id) has a band without a rate; add rate=RATE, 1 at least")
    }
  }
}
