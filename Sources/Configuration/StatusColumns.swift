import Linux
import OVSDB
import OpenVSwitchRows
import Ports

/// What the database shows of the running switch: rows that have the columns it writes.
enum StatusColumns {
  /// The Open_vSwitch row. What an operating system's start script would write is filled in only where it is empty.
  static func root(_ row: OpenVSwitchRow, completed: Int64, schemaVersion: String, system: SystemIdentity)
    -> OpenVSwitchRow
  {
    var wanted = OpenVSwitchRow(uuid: row.uuid)
    wanted.curCfg = completed
    // Both names mean the only datapath there is; clients ask whether theirs is among them.
    wanted.datapathTypes = ["netdev", "system"]
    wanted.ifaceTypes = InterfaceConfiguration.typeNames
    func fill(_ column: WritableKeyPath<OpenVSwitchRow, String?>, _ value: String) {
      if row[keyPath: column] == nil, !value.isEmpty { wanted[keyPath: column] = value }
    }
    fill(\.ovsVersion, productVersion)
    fill(\.dbVersion, schemaVersion)
    fill(\.systemType, system.type)
    fill(\.systemVersion, system.version)
    return wanted
  }

  static func bridge(_ bridge: DesiredBridge) -> BridgeRow {
    var wanted = BridgeRow(uuid: bridge.row)
    wanted.datapathId = bridge.datapathID
    wanted.datapathVersion = "<built-in>"
    wanted.status = bridge.warnings.isEmpty ? [:] : ["error": bridge.warnings.joined(separator: "; ")]
    return wanted
  }

  /// - Parameters:
  ///   - refusal: why the row, or part of what it asks, was not accepted.
  ///   - condition: how it stands; nil when it was not accepted at all.
  ///   - statistics: as `statistics` makes them.
  static func interface(
    _ row: RowID, refusal: String?, _ condition: Reconciler.Condition?, _ statistics: Datum?
  ) -> InterfaceRow {
    let port = condition?.attached?.port
    let status = port?.status ?? PortStatus()
    let attached = port != nil
    // A port that waits for its device has a number, but clients take a number to mean that it works.
    let waits = condition?.isDevice == true && status.error != nil && status.interfaceIndex == nil
    let works = attached && !waits
    var wanted = InterfaceRow(uuid: row)
    wanted.ofport = Int64(works ? condition?.number ?? -1 : -1)
    wanted.error = condition?.error ?? status.error ?? refusal
    wanted.adminState = attached ? (status.adminUp ? .up : .down) : nil
    wanted.linkState = attached ? (status.linkUp ? .up : .down) : nil
    wanted.linkResets = attached ? status.linkResets : nil
    wanted.linkSpeed = status.linkSpeed
    wanted.duplex = status.fullDuplex.map { $0 ? .full : .half }
    wanted.mtu = status.mtu.map(Int64.init)
    wanted.macInUse = status.macAddress
    wanted.ifindex = status.interfaceIndex.map(Int64.init)
    wanted.status = status.details
    wanted[datum: .statistics] = attached ? statistics ?? .empty : .empty
    return wanted
  }

  /// Interface.statistics under Open vSwitch's names, each reason for a drop under its own, and what the port tells of
  /// its queues.
  static func statistics(_ statistics: PortStatistics, queues: [(name: String, value: UInt64)] = []) -> Datum
  {
    Datum(map: (counters(statistics) + queues).map { (.string($0), .integer(Int64(clamping: $1))) })
  }

  static func counters(_ statistics: PortStatistics) -> [(name: String, value: UInt64)] {
    [
      ("rx_packets", statistics[.receivedFrames]),
      ("rx_bytes", statistics[.receivedBytes]),
      ("tx_packets", statistics[.transmittedFrames]),
      ("tx_bytes", statistics[.transmittedBytes]),
      ("rx_dropped", statistics.receiveDrops),
      ("tx_dropped", statistics.transmitDrops),
      ("rx_errors", sum(statistics, [.runt, .oversized, .badDescriptor, .badOffload])),
      ("tx_errors", sum(statistics, [.badReceiveDescriptor, .deviceError])),
    ] + DropReason.allCases.map { ($0.statisticName, statistics[$0]) }
  }

  private static func sum(_ statistics: PortStatistics, _ reasons: [DropReason]) -> UInt64 {
    reasons.reduce(0) { $0 &+ statistics[$1] }
  }
}
