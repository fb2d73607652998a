import OVSDB

/// Reads the tree of rows the switch follows out of a replica, and again after changes: what did not change is not read
/// anew.
///
/// References to rows the replica does not have are skipped: a server may show a reference an update earlier than
/// its row.
final class RowReader {
  /// Read ports, and the port each interface was read with.
  private var ports: [RowID: PortRow] = [:]
  private var owners: [RowID: RowID] = [:]

  /// The tables and columns the switch follows or writes; everything it writes is read too, so that only what
  /// differs is written.
  static let monitored: [String: [String]] = [
    "Open_vSwitch": [
      "bridges", "next_cfg", "other_config", "cur_cfg", "ovs_version", "db_version", "system_type",
      "system_version", "datapath_types", "iface_types",
    ],
    "Bridge": [
      "name", "ports", "fail_mode", "flow_tables", "other_config", "datapath_id", "datapath_version",
      "status",
    ],
    "Flow_Table": ["flow_limit", "overflow_policy"],
    "Port": ["name", "interfaces", "tag", "trunks", "vlan_mode"],
    "Interface": [
      "name", "type", "options", "other_config", "mac", "mtu_request", "ofport_request", "ofport", "error",
      "admin_state",
      "link_state", "link_resets", "link_speed", "duplex", "mtu", "mac_in_use", "ifindex", "status",
      "statistics",
    ],
  ]

  /// The columns that say what the switch is to do; the others only tell how it stands.
  private static let configuring: [String: [String]] = [
    "Open_vSwitch": ["bridges", "next_cfg", "other_config"],
    "Bridge": ["name", "ports", "fail_mode", "flow_tables", "other_config"],
    "Flow_Table": ["flow_limit", "overflow_policy"],
    "Port": ["name", "interfaces", "tag", "trunks", "vlan_mode"],
    "Interface": ["name", "type", "options", "other_config", "mac", "mtu_request", "ofport_request"],
  ]

  /// Takes note of changes. Returns whether the switch may have to do something about them.
  func note(_ changes: ReplicaChanges) -> Bool {
    var concerns = false
    for (table, rows) in changes.tables {
      let columns = Self.configuring[table] ?? []
      for (row, change) in rows {
        switch table {
        case "Port": forget(port: row)
        case "Interface": if let port = owners[row] { forget(port: port) }
        default: break
        }
        if case .modified(let old, let new) = change, columns.allSatisfy({ old[$0] == new[$0] }) { continue }
        concerns = true
      }
    }
    return concerns
  }

  /// Forgets everything read: the replica may be of another database.
  func forgetAll() {
    ports = [:]
    owners = [:]
  }

  private func forget(port: RowID) {
    guard let old = ports.removeValue(forKey: port) else { return }
    for interface in old.interfaces where owners[interface.id] == port { owners[interface.id] = nil }
  }

  /// Nil when there is no Open_vSwitch row, or no telling which.
  func read(_ replica: Replica) -> SwitchRows? {
    guard let row = replica.onlyRow("Open_vSwitch") else { return nil }
    var rows = SwitchRows(id: row.uuid)
    rows.nextConfiguration = row.integer("next_cfg") ?? 0
    rows.otherConfig = row.map("other_config")
    rows.bridges = row.uuids("bridges").compactMap { replica.row("Bridge", $0) }.map { bridge($0, replica) }
    return rows
  }

  private func bridge(_ row: ReplicaRow, _ replica: Replica) -> BridgeRow {
    var bridge = BridgeRow(id: row.uuid, name: row.string("name") ?? "")
    bridge.failMode = row.string("fail_mode")
    bridge.otherConfig = row.map("other_config")
    bridge.flowTables = row["flow_tables"].uuidsByInteger.compactMapValues { id in
      replica.row("Flow_Table", id).map { table in
        FlowTableRow(limit: table.integer("flow_limit"), overflowPolicy: table.string("overflow_policy"))
      }
    }
    bridge.ports = row.uuids("ports").compactMap { port($0, replica) }
    return bridge
  }

  private func port(_ id: RowID, _ replica: Replica) -> PortRow? {
    if let known = ports[id] { return known }
    guard let row = replica.row("Port", id) else { return nil }
    var port = PortRow(id: row.uuid, name: row.string("name") ?? "")
    port.tag = row.integer("tag")
    port.trunks = row.integers("trunks")
    port.vlanMode = row.string("vlan_mode")
    let references = row.uuids("interfaces")
    port.interfaces = references.compactMap { replica.row("Interface", $0) }.map(interface)
    // One whose interface is still to come is read again.
    if port.interfaces.count == references.count {
      ports[id] = port
      for interface in port.interfaces { owners[interface.id] = id }
    }
    return port
  }

  private func interface(_ row: ReplicaRow) -> InterfaceRow {
    var interface = InterfaceRow(id: row.uuid, name: row.string("name") ?? "", type: row.string("type") ?? "")
    interface.options = row.map("options")
    interface.otherConfig = row.map("other_config")
    interface.mac = row.string("mac")
    interface.mtuRequest = row.integer("mtu_request")
    interface.ofportRequest = row.integer("ofport_request")
    interface.ofport = row.integer("ofport")
    return interface
  }
}
