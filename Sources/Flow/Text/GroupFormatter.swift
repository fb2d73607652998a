// Groups and meters as text, as `dump-groups`, `dump-group-stats`, `dump-meters` and `meter-stats` print them.

extension FlowFormatter {
  /// `group_id=1,type=select,bucket=bucket_id:0,weight:10,actions=output:1`
  public func group(_ group: GroupDescription) -> String {
    var text = "group_id=\(group.id),type=" + (group.kind == .fastFailover ? "ff" : group.kind.rawValue)
    if !group.selectionMethod.isEmpty { text += ",selection_method=" + group.selectionMethod }
    if group.selectionParameter != 0 { text += ",selection_method_param=\(group.selectionParameter)" }
    if let first = group.selectionFields.first {
      text +=
        group.selectionFields.count == 1
        ? ",fields=" + hashed(first)
        : ",fields(" + group.selectionFields.map(hashed).joined(separator: ",") + ")"
    }
    for bucket in group.buckets { text += ",bucket=" + self.bucket(bucket, hasWeight: group.kind == .select) }
    return text
  }

  private func hashed(_ bits: SubField) -> String {
    let name = bits.field.info.name
    return bits.isAllAddressable
      ? name : name + "=" + bits.field.text(bits.fieldMask, ports: ports)
  }

  private func bucket(_ bucket: GroupDescription.Bucket, hasWeight: Bool) -> String {
    var parts = ["bucket_id:\(bucket.id)"]
    if hasWeight, bucket.weight != 1 { parts.append("weight:\(bucket.weight)") }
    if let port = bucket.watchPort { parts.append("watch_port:" + self.port(port)) }
    if let group = bucket.watchGroup { parts.append("watch_group:\(group)") }
    parts.append("actions=" + actions(bucket.actions))
    return parts.joined(separator: ",")
  }

  /// `group_id=1,duration=2.178s,ref_count=0,packet_count=0,byte_count=0,bucket0:packet_count=0,byte_count=0`
  ///
  /// - Parameters:
  ///   - references: how many flows and buckets send to the group.
  ///   - now: milliseconds of the switch's clock.
  public func groupStatistics(_ group: Group, references: Int, now: UInt64) -> String {
    let age = now > group.created ? now - group.created : 0
    var text = "group_id=\(group.description.id),duration=\(Self.seconds(age)),ref_count=\(references),"
    text += "packet_count=\(group.counters.packets),byte_count=\(group.counters.bytes)"
    for (index, counters) in group.bucketCounters.enumerated() {
      text += ",bucket\(index):packet_count=\(counters.packets),byte_count=\(counters.bytes)"
    }
    return text
  }

  /// `meter=1 kbps burst stats bands=`, and a line per band: `type=drop rate=100 burst_size=10`. No newline at the end.
  public func meter(_ meter: MeterDescription) -> String {
    var text = "meter=\(meter.id) \(meter.unit.rawValue)"
    if meter.hasBurst { text += " burst" }
    if meter.wantsStatistics { text += " stats" }
    text += " bands="
    for band in meter.bands {
      text += "\ntype=drop rate=\(band.rate)" + (meter.hasBurst ? " burst_size=\(band.burstSize)" : "")
    }
    return text
  }

  /// `meter:1 flow_count:1 packet_in_count:0 byte_in_count:0 duration:27.485s bands:`, and a line per band. No newline
  /// at the end.
  ///
  /// - Parameters:
  ///   - flows: how many flows use the meter.
  ///   - now: milliseconds of the switch's clock.
  public func meterStatistics(_ meter: Meter, flows: Int, now: UInt64) -> String {
    let age = now > meter.created ? now - meter.created : 0
    var text =
      "meter:\(meter.description.id) flow_count:\(flows) packet_in_count:\(meter.bands.input.packets) "
    text += "byte_in_count:\(meter.bands.input.bytes) duration:\(Self.seconds(age)) bands:"
    for index in 0..<meter.bands.count {
      let dropped = meter.bands.dropped(index)
      text += "\n\(index): packet_count:\(dropped.packets) byte_count:\(dropped.bytes)"
    }
    return text
  }
}
