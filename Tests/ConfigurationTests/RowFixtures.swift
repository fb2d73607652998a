import Seeded
import OVSDB
import OpenVSwitchRows

@testable import Configuration

/// A row whose identity follows from `name`, so that the same name is the same row.
func rowID(_ kind: String, _ name: String) -> RowID {
  var high: UInt64 = 0xCBF2_9CE4_8422_2325
  for byte in "\(kind)/\(name)".utf8 { high = (high ^ UInt64(byte)) &* 0x100_0000_01B3 }
  return UUID(high: high, low: 0x8000_0000_0000_0000)
}

func interface(_ name: String, _ type: String = "", _ options: [String: String] = [:]) -> FollowedInterface {
  FollowedInterface(id: rowID("interface", name), name: name, type: type, options: options)
}

/// A port with one interface of its name.
func port(
  _ name: String, _ type: String = "", options: [String: String] = [:], tag: Int64? = nil,
  trunks: [Int64] = [],
  mode: String? = nil
) -> FollowedPort {
  var port = FollowedPort(id: rowID("port", name), name: name, interfaces: [interface(name, type, options)])
  port.tag = tag
  port.trunks = trunks
  port.vlanMode = mode.map(PortRow.VlanMode.init)
  return port
}

/// A bridge with its local port.
func bridge(_ name: String, _ ports: [FollowedPort] = [], _ otherConfig: [String: String] = [:])
  -> FollowedBridge
{
  var bridge = FollowedBridge(id: rowID("bridge", name), name: name, ports: [port(name, "internal")] + ports)
  bridge.otherConfig = otherConfig
  return bridge
}

func rows(_ bridges: FollowedBridge...) -> SwitchRows {
  var rows = SwitchRows(id: rowID("root", ""))
  rows.bridges = bridges
  return rows
}

func judge(_ rows: SwitchRows, holding held: [String: String] = [:]) -> DesiredState {
  Validation.judge(rows, runDirectory: "/run/test") { held[$0] == $1 }
}
