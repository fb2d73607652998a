import Linux
import OVSDB
import Ports

/// A row's columns with the values they should have.
typealias Columns = [String: Datum]

/// What the database shows of the running switch, as column values.
enum StatusColumns {
  /// The Open_vSwitch row. What an operating system's start script would write is filled in only where it is empty.
  static func root(_ row: ReplicaRow, completed: Int64, schemaVersion: String, system: SystemIdentity)
    -> Columns
  {
    var columns: Columns = [
      "cur_cfg": Datum(completed),
      // Both names mean the only datapath there is; clients ask whether theirs is among them.
      "datapath_types": Datum(strings: ["netdev", "system"]),
      "iface_types": Datum(strings: InterfaceConfiguration.typeNames),
    ]
    let identity = [
      "ovs_version": productVersion, "db_version": schemaVersion, "system_type": system.type,
      "system_version": system.version,
    ]
    for (column, value) in identity where row[column].isEmpty && !value.isEmpty {
      columns[column] = Datum(value)
    }
    return columns
  }

  static func bridge(_ bridge: DesiredBridge) -> Columns {
    [
      "datapath_id": Datum(bridge.datapathID),
      "datapath_version": Datum("<built-in>"),
      "status": Datum(bridge.warnings.isEmpty ? [:] : ["error": bridge.warnings.joined(separator: "; ")]),
    ]
  }

  /// - Parameters:
  ///   - refusal: why the row, or part of what it asks, was not accepted.
  ///   - condition: how it stands; nil when it was not accepted at all.
  static func interface(refusal: String?, _ condition: Reconciler.Condition?, _ statistics: Datum?) -> Columns
  {
    let port = condition?.attached?.port
    let status = port?.status ?? PortStatus()
    let error = condition?.error ?? status.error ?? refusal
    let attached = port != nil
    // A port that waits for its device has a number, but clients take a number to mean that it works.
    let waits = condition?.isDevice == true && status.error != nil && status.interfaceIndex == nil
    let works = attached && !waits
    return [
      "ofport": Datum(Int64(works ? condition?.number ?? -1 : -1)),
      "error": optional(error),
      "admin_state": attached ? state(status.adminUp) : .empty,
      "link_state": attached ? state(status.linkUp) : .empty,
      "link_resets": attached ? Datum(status.linkResets) : .empty,
      "link_speed": optional(status.linkSpeed),
      "duplex": optional(status.fullDuplex.map { $0 ? "full" : "half" }),
      "mtu": optional(status.mtu.map(Int64.init)),
      "mac_in_use": optional(status.macAddress),
      "ifindex": optional(status.interfaceIndex.map(Int64.init)),
      "status": Datum(status.details),
      "statistics": attached ? statistics ?? .empty : .empty,
    ]
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

  private static func state(_ up: Bool) -> Datum { Datum(up ? "up" : "down") }
  private static func optional(_ value: String?) -> Datum { value.map { Datum($0) } ?? .empty }
  private static func optional(_ value: Int64?) -> Datum { value.map { Datum($0) } ?? .empty }
}
