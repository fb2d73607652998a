import OVSDB
import OpenVSwitchRows

/// Reads the tree of rows the switch follows out of a replica, and again after changes: what did not change is not read
/// anew.
///
/// References to rows the replica does not have are skipped: a server may show a reference an update earlier than
/// its row.
final class RowReader {
  /// Read ports, and the port each interface was read with.
  private var ports: [RowID: FollowedPort] = [:]
  private var owners: [RowID: RowID] = [:]

  /// The columns that say what the switch is to do; the others only tell how it stands.
  private static let configuring = Dictionary(uniqueKeysWithValues: [
    OpenVSwitchRow.selecting(.bridges, .nextCfg, .otherConfig),
    BridgeRow.selecting(.name, .ports, .failMode, .flowTables, .otherConfig),
    FlowTableRow.selecting(.flowLimit, .overflowPolicy),
    PortRow.selecting(.name, .interfaces, .tag, .trunks, .vlanMode),
    InterfaceRow.selecting(.name, .type, .options, .otherConfig, .mac, .mtuRequest, .ofportRequest),
  ])

  /// The columns that the switch writes. They are read too, so that only what differs is written.
  private static let status = Dictionary(uniqueKeysWithValues: [
    OpenVSwitchRow.selecting(
      .curCfg, .ovsVersion, .dbVersion, .systemType, .systemVersion, .datapathTypes, .ifaceTypes),
    BridgeRow.selecting(.datapathId, .datapathVersion, .status),
    InterfaceRow.selecting(
      .ofport, .error, .adminState, .linkState, .linkResets, .linkSpeed, .duplex, .mtu, .macInUse, .ifindex,
      .status, .statistics),
  ])

  /// The tables and columns the switch follows or writes.
  static let monitored = configuring.merging(status) { $0 + $1 }

  /// Takes note of changes. Returns whether the switch may have to do something about them.
  func note(_ changes: ReplicaChanges) -> Bool {
    var concerns = false
    for (table, rows) in changes.tables {
      let columns = Self.configuring[table] ?? []
      for (row, change) in rows {
        switch table {
        case PortRow.table: forget(port: row)
        case InterfaceRow.table: if let port = owners[row] { forget(port: port) }
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
    guard let row = replica.onlyRow(OpenVSwitchRow.self) else { return nil }
    var rows = SwitchRows(id: row.uuid)
    rows.nextConfiguration = row.nextCfg
    rows.otherConfig = row.otherConfig
    rows.bridges = row.bridges.compactMap(replica.row).map { bridge($0, replica) }
    return rows
  }

  private func bridge(_ row: BridgeRow, _ replica: Replica) -> FollowedBridge {
    var bridge = FollowedBridge(id: row.uuid, name: row.name)
    bridge.failMode = row.failMode
    bridge.otherConfig = row.otherConfig
    bridge.flowTables = row.flowTables.compactMapValues(replica.row).mapValues { table in
      FollowedFlowTable(limit: table.flowLimit, overflowPolicy: table.overflowPolicy)
    }
    bridge.ports = row.ports.compactMap { port($0, replica) }
    return bridge
  }

  private func port(_ reference: RowReference<PortRow>, _ replica: Replica) -> FollowedPort? {
    if let known = ports[reference.uuid] { return known }
    guard let row = replica.row(reference) else { return nil }
    var port = FollowedPort(id: row.uuid, name: row.name)
    port.tag = row.tag
    port.trunks = row.trunks
    port.vlanMode = row.vlanMode
    let references = row.interfaces
    port.interfaces = references.compactMap(replica.row).map(interface)
    // One whose interface is still to come is read again.
    if port.interfaces.count == references.count {
      ports[row.uuid] = port
      for interface in port.interfaces { owners[interface.id] = row.uuid }
    }
    return port
  }

  private func interface(_ row: InterfaceRow) -> FollowedInterface {
    var interface = FollowedInterface(id: row.uuid, name: row.name, type: row.type)
    interface.options = row.options
    interface.otherConfig = row.otherConfig
    interface.mac = row.mac
    interface.mtuRequest = row.mtuRequest
    interface.ofportRequest = row.ofportRequest
    interface.ofport = row.ofport
    return interface
  }
}
