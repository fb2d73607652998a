/// Writes flows as `ovs-ofctl` dumps them, in a form that `FlowParser` reads back to the same flow.
///
/// Ports are written by name where `ports` has one, else by number.
public struct FlowFormatter {
  let ports: (any PortNames)?

  public init(ports: (any PortNames)? = nil) { self.ports = ports }

  func port(_ number: PortNumber) -> String { TextPort.format(number, ports) }

  /// A flow without its counters, as `ovs-ofctl --no-stats dump-flows` prints it, without the space it begins with:
  /// `table=1, priority=5,ip actions=drop`. What has its default value is left out.
  public func flow(_ flow: FlowDescription) -> String {
    var text = ""
    if flow.cookie != 0 { text += "cookie=\(TextNumber.hexadecimal(flow.cookie)), " }
    if flow.table != 0 { text += "table=\(flow.table), " }
    return text + settings(flow) + matchAndActions(flow)
  }

  /// A flow with its counters, as `ovs-ofctl dump-flows` prints it, with the space it begins with.
  ///
  /// - Parameter now: milliseconds of the switch's clock, from which durations and ages are reckoned.
  public func rule(_ rule: FlowRule, now: UInt64) -> String {
    let flow = rule.description
    let age = elapsed(since: rule.created, now: now)
    let idle = elapsed(since: max(rule.counters.lastUsed, rule.created), now: now) / 1000
    let unmodified = elapsed(since: rule.modified, now: now) / 1000
    var text = " cookie=\(TextNumber.hexadecimal(flow.cookie, digits: 1)), duration=\(Self.seconds(age)), "
    text += "table=\(flow.table), n_packets=\(rule.counters.packets), n_bytes=\(rule.counters.bytes), "
    text += settings(flow) + "idle_age=\(idle), "
    // Said only where it is not the duration.
    if unmodified != age / 1000 { text += "hard_age=\(unmodified), " }
    return text + matchAndActions(flow)
  }

  private func elapsed(since moment: UInt64, now: UInt64) -> UInt64 { now > moment ? now - moment : 0 }

  /// `1.234s`
  static func seconds(_ milliseconds: UInt64) -> String {
    let fraction = String(milliseconds % 1000)
    return "\(milliseconds / 1000)." + String(repeating: "0", count: 3 - fraction.count) + fraction + "s"
  }

  private func settings(_ flow: FlowDescription) -> String {
    var text = ""
    if flow.idleTimeout != 0 { text += "idle_timeout=\(flow.idleTimeout), " }
    if flow.hardTimeout != 0 { text += "hard_timeout=\(flow.hardTimeout), " }
    for (name, flag) in FlowDescription.Flags.names where flow.flags.contains(flag) { text += name + " " }
    if flow.importance != 0 { text += "importance=\(flow.importance), " }
    return text
  }

  private func matchAndActions(_ flow: FlowDescription) -> String {
    let match = match(flow.match, priority: flow.priority)
    return match + (match.isEmpty ? "" : " ") + "actions=" + actions(flow.actions)
  }
}

extension FlowDescription.Flags {
  static let names: [(name: String, flag: FlowDescription.Flags)] = [
    ("send_flow_rem", .sendsFlowRemoved), ("check_overlap", .checksOverlap), ("reset_counts", .resetsCounts),
    ("no_packet_counts", .noPacketCounts), ("no_byte_counts", .noByteCounts),
  ]
}
