import OVSDB

/// Reads the tree of rows the switch follows out of a replica.
///
/// References to rows the replica does not have are skipped: a server may show a reference an update earlier than
/// its row.
struct RowReader {
  private let replica: Replica

  /// The tables and columns the switch follows or writes; everything it writes is read too, so that only what
  /// differs is written.
  static let monitored: [String: [String]] = [
    "Open_vSwitch": [
      "bridges", "next_cfg", "other_config", "cur_cfg", "ovs_version", "db_version", "system_type",
      "system_version", "datapath_types", "iface_types",
    ],
    "Bridge": ["name", "ports", "other_config", "datapath_id", "datapath_version", "status"],
    "Port": ["name", "interfaces", "tag", "trunks", "vlan_mode"],
    "Interface": [
      "name", "type", "options", "other_config", "mac", "mtu_request", "ofport_request", "ofport", "error",
      "admin_state",
      "link_state", "link_resets", "link_speed", "duplex", "mtu", "mac_in_use", "ifindex", "status",
      "statistics",
    ],
  ]

  /// Nil when there is no Open_vSwitch row, or no telling which.
  static func read(_ replica: Replica) -> SwitchRows? {
    guard let row = replica.onlyRow("Open_vSwitch") else { return nil }
    return RowReader(replica: replica).read(row)
  }

  private func read(_ row: ReplicaRow) -> SwitchRows {
    var rows = SwitchRows(id: row.uuid)
    rows.nextConfiguration = row.integer("next_cfg") ?? 0
    rows.otherConfig = row.map("other_config")
    rows.bridges = children(row, "bridges", "Bridge").map(bridge)
    return rows
  }

  private func bridge(_ row: ReplicaRow) -> BridgeRow {
    var bridge = BridgeRow(id: row.uuid, name: row.string("name") ?? "")
    bridge.otherConfig = row.map("other_config")
    bridge.ports = children(row, "ports", "Port").map(port)
    return bridge
  }

  private func port(_ row: ReplicaRow) -> PortRow {
    var port = PortRow(id: row.uuid, name: row.string("name") ?? "")
    port.tag = row.integer("tag")
    port.trunks = row.integers("trunks")
    port.vlanMode = row.string("vlan_mode")
    port.interfaces = children(row, "interfaces", "Interface").map(interface)
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

  private func children(_ row: ReplicaRow, _ column: String, _ table: String) -> [ReplicaRow] {
    row.uuids(column).compactMap { replica.row(table, $0) }
  }
}
