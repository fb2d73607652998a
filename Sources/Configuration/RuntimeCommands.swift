import Datapath
import JSONRPC
import Linux
import Packet
import Ports

/// The running switch's commands on its control socket: one table, and what each prints.
///
/// All of them take `--format=json` and then print a table as JSON.
public struct RuntimeCommands {
  let datapath: Datapath
  let reconciler: Reconciler
  let dumps: FlowDumps

  public init(_ loop: EventLoop, _ datapath: Datapath, _ reconciler: Reconciler) {
    self.datapath = datapath
    self.reconciler = reconciler
    dumps = FlowDumps(loop)
  }

  public var table: [ControlCommand] {
    [
      shows("fdb/show", "[BRIDGE]", learnedAddresses),
      ControlCommand("fdb/flush", usage: "[BRIDGE]", arguments: 0...1, flushAddresses),
      shows("ports/show", "[BRIDGE]", ports),
      shows("stats/show", "[PORT]", statistics),
      shows("stats/queues", "[PORT]", queueStatistics),
    ] + flowCommands + groupCommands + pollThreadCommands
  }

  private func shows(
    _ name: String, _ usage: String, _ body: @escaping (String?) throws(ControlError) -> TextTable
  ) -> ControlCommand {
    reports(name, usage) { object throws(ControlError) in [try body(object)] }
  }

  /// A command that prints tables. As JSON, the second and later ones are members of the first, by their names.
  func reports(
    _ name: String, _ usage: String, _ body: @escaping (String?) throws(ControlError) -> [TextTable]
  ) -> ControlCommand {
    let usageText = [usage, "[--format=table|json]"].filter { !$0.isEmpty }.joined(separator: " ")
    return ControlCommand(name, usage: usageText, arguments: 0...2) {
      arguments throws(ControlError) in
      var object: String?
      var asJSON = false
      for argument in arguments {
        switch argument {
        case "--format=json", "-fjson": asJSON = true
        case "--format=table", "-ftable": asJSON = false
        default:
          guard object == nil, !usage.isEmpty, !argument.hasPrefix("-") else {
            throw ControlError("\(name) does not understand \"\(printable(argument))\"\n")
          }
          object = argument
        }
      }
      let tables = try body(object)
      return asJSON ? TextTable.json(tables).text + "\n" : tables.map(\.text).joined(separator: "\n")
    }
  }

  /// The accepted bridges, by name; only `name` when there is one.
  private func bridges(_ name: String?) throws(ControlError) -> [(name: String, id: BridgeID)] {
    if let name {
      guard let id = reconciler.bridge(name) else {
        throw ControlError("there is no bridge \(printable(name))\n")
      }
      return [(name, id)]
    }
    return reconciler.desired.bridges.keys.sorted().compactMap { name in
      reconciler.bridge(name).map { (name, $0) }
    }
  }

  func interfaces(on bridge: String?) -> [DesiredInterface] {
    reconciler.desired.interfaces.values.filter { bridge == nil || $0.bridge == bridge }
      .sorted { ($0.bridge, $0.name) < ($1.bridge, $1.name) }
  }
}

// What the commands print.
extension RuntimeCommands {
  /// The first four columns are those of `ovs-appctl fdb/show`.
  private func learnedAddresses(_ name: String?) throws(ControlError) -> TextTable {
    var table = TextTable([
      ("port", .right), ("VLAN", .right), ("MAC", .left), ("Age", .right), ("Interface", .left),
      ("Bridge", .left),
    ])
    for bridge in try bridges(name) {
      for entry in datapath.learnedAddresses(of: bridge.id) {
        let interface = reconciler.interface(of: entry.port)?.name
        table.append([
          number(interface), .integer(Int64(entry.vlan)), .string(entry.address.description),
          .integer(Int64(entry.age)), interface.map { .string($0) } ?? .null, .string(bridge.name),
        ])
      }
    }
    return table
  }

  private func flushAddresses(_ arguments: [String]) throws(ControlError) -> String {
    for bridge in try bridges(arguments.first) { datapath.flushAddresses(of: bridge.id) }
    return "table successfully flushed\n"
  }

  private func ports(_ name: String?) throws(ControlError) -> TextTable {
    _ = try bridges(name)
    var table = TextTable([
      ("bridge", .left), ("port", .left), ("number", .right), ("type", .left), ("link", .left),
      ("MTU", .right),
      ("MAC", .left), ("VLAN", .left), ("error", .left),
    ])
    for interface in interfaces(on: name) {
      let condition = reconciler.condition(of: interface.name)
      let status = condition?.attached?.port.status ?? PortStatus()
      table.append([
        .string(interface.bridge), .string(interface.name), number(interface.name),
        .string(interface.configuration.kind.rawValue), .string(status.linkUp ? "up" : "down"),
        status.mtu.map { .integer(Int64($0)) } ?? .null, status.macAddress.map { .string($0) } ?? .null,
        .string(describe(interface.vlan)), (condition?.error ?? status.error).map { .string($0) } ?? "",
      ])
    }
    return table
  }

  /// All ports with their sums, or one port with every counter.
  private func statistics(_ name: String?) throws(ControlError) -> TextTable {
    if let name { return try statistics(ofPort: name) }
    var table = TextTable([
      ("port", .left), ("rx_packets", .right), ("rx_bytes", .right), ("rx_dropped", .right),
      ("tx_packets", .right), ("tx_bytes", .right), ("tx_dropped", .right), ("drops", .left),
    ])
    for interface in interfaces(on: nil) {
      guard let port = reconciler.condition(of: interface.name)?.attached?.id else { continue }
      let statistics = datapath.statistics(of: port)
      let drops = DropReason.allCases.filter { statistics[$0] > 0 }
        .map { "\($0.statisticName)=\(statistics[$0])" }.joined(separator: " ")
      table.append([
        .string(interface.name), count(statistics[.receivedFrames]), count(statistics[.receivedBytes]),
        count(statistics.receiveDrops), count(statistics[.transmittedFrames]),
        count(statistics[.transmittedBytes]), count(statistics.transmitDrops), .string(drops),
      ])
    }
    return table
  }

  /// Of all ports that tell, or of one.
  private func queueStatistics(_ name: String?) throws(ControlError) -> TextTable {
    var queues = QueueTable()
    if let name {
      queues.append(name, try attached(name).port.queueStatistics)
    } else {
      for interface in interfaces(on: nil) {
        guard let port = reconciler.condition(of: interface.name)?.attached?.port else { continue }
        queues.append(interface.name, port.queueStatistics)
      }
    }
    return queues.table
  }

  /// The port called `name`.
  private func attached(_ name: String) throws(ControlError) -> (id: PortID, port: any Port) {
    guard let condition = reconciler.condition(of: name) else {
      throw ControlError("there is no port \(printable(name))\n")
    }
    guard let attached = condition.attached else {
      throw ControlError("port \(name) is not set up: \(condition.error ?? "it has failed")\n")
    }
    return attached
  }

  private func statistics(ofPort name: String) throws(ControlError) -> TextTable {
    var table = TextTable([("counter", .left), ("value", .right)])
    let statistics = datapath.statistics(of: try attached(name).id)
    for (counter, value) in StatusColumns.counters(statistics) {
      table.append([.string(counter), count(value)])
    }
    table.append(["notifications_sent", count(statistics[.notificationsSent])])
    table.append(["notifications_suppressed", count(statistics[.notificationsSuppressed])])
    return table
  }

  private func number(_ interface: String?) -> JSON {
    guard let number = interface.flatMap({ reconciler.condition(of: $0)?.number }) else { return .null }
    return number == PortNumbers.local ? "LOCAL" : .integer(Int64(number))
  }

  private func describe(_ vlan: VLANConfiguration) -> String {
    let trunks = vlan.trunks.isEmpty ? "all" : vlan.trunks.sorted().map(String.init).joined(separator: ",")
    return switch vlan.mode {
    case .access: "\(vlan.tag)"
    case .trunk: "trunk \(trunks)"
    case .nativeTagged, .nativeUntagged: "\(vlan.mode.rawValue) \(vlan.tag) trunk \(trunks)"
    }
  }

  func count(_ value: UInt64) -> JSON { .integer(Int64(clamping: value)) }
}
