import JSONRPC
import OVSDB
import OpenVSwitchRows
import Ports
import Testing

@testable import Configuration
@testable import Datapath

@Suite struct StatusColumnTests {
  @Test func anAttachedPortShowsItsStatus() {
    let port = FakePort(PortConfiguration(name: "eth1", kind: .system, runDirectory: "/run/test"))
    port.status.adminUp = true
    port.status.linkSpeed = 10_000_000_000
    port.status.fullDuplex = true
    port.status.mtu = 1500
    port.status.macAddress = "52:54:00:00:00:01"
    port.status.interfaceIndex = 7
    port.status.details = ["driver_name": "veth"]
    let condition = Reconciler.Condition(
      number: 3, error: nil, isDevice: true, attached: (PortID(index: 0), port))
    let row = StatusColumns.interface(
      .zero, refusal: nil, condition, StatusColumns.statistics(PortStatistics()))
    #expect(row.ofport == 3)
    #expect(row.columns["error"] == .empty)
    #expect(row.adminState == .up && row.linkState == .down)
    #expect(row.linkSpeed == 10_000_000_000 && row.duplex == .full)
    #expect(row.mtu == 1500 && row.ifindex == 7)
    #expect(row.macInUse == "52:54:00:00:00:01")
    #expect(row.status == ["driver_name": "veth"])
    let keys = row.statistics.keys
    for key in [
      "rx_packets", "rx_bytes", "tx_packets", "tx_bytes", "rx_dropped", "tx_dropped", "rx_errors",
      "tx_errors",
    ] {
      #expect(keys.contains(key))
    }
    for reason in DropReason.allCases { #expect(keys.contains(reason.statisticName)) }
  }

  @Test func aFailedPortShowsWhyAndNothingElse() {
    let condition = Reconciler.Condition(number: nil, error: "no such device", isDevice: true, attached: nil)
    let row = StatusColumns.interface(.zero, refusal: nil, condition, nil)
    #expect(row.ofport == -1)
    #expect(row.error == "no such device")
    #expect(row.columns.count == 12)
    for (column, value) in row.columns where !["ofport", "error"].contains(column) {
      #expect(value.isEmpty, "\(column)")
    }
  }

  @Test func aPortWithoutItsDeviceHasNoNumber() {
    let port = FakePort(PortConfiguration(name: "eth1", kind: .system, runDirectory: "/run/test"))
    port.status.error = "there is no network device eth1"
    let condition = Reconciler.Condition(
      number: 3, error: nil, isDevice: true, attached: (PortID(index: 0), port))
    let row = StatusColumns.interface(.zero, refusal: nil, condition, nil)
    #expect(row.ofport == -1)
    #expect(row.error == "there is no network device eth1")
  }

  @Test func aRefusedRowShowsTheReason() {
    let row = StatusColumns.interface(.zero, refusal: "bonding is not supported", nil, nil)
    #expect(row.ofport == -1 && row.error == "bonding is not supported")
  }

  /// What is not monitored would be written again and again.
  @Test func everythingWrittenIsRead() {
    let root = StatusColumns.root(
      OpenVSwitchRow(uuid: .zero), completed: 1, schemaVersion: "8.3.0",
      system: SystemIdentity(osRelease: "ID=some\nVERSION_ID=12\n"))
    let bridge = judge(rows(bridge("br0"))).bridges["br0"].map(StatusColumns.bridge)
    let interface = StatusColumns.interface(.zero, refusal: nil, nil, nil)
    let written = [
      OpenVSwitchRow.table: root.columns, BridgeRow.table: bridge?.columns ?? [:],
      InterfaceRow.table: interface.columns,
    ]
    for (table, columns) in written {
      #expect(
        !columns.isEmpty && Set(columns.keys).isSubset(of: RowReader.monitored[table] ?? []), "\(table)")
    }
    #expect(RowReader.monitored.values.allSatisfy { Set($0).count == $0.count })
  }

  @Test func whatTheStartScriptWroteStays() {
    let system = SystemIdentity(osRelease: "NAME=\"Some OS\"\nID=some\nVERSION_ID=\"12\"\n")
    #expect(system.type == "some" && system.version == "12")
    let empty = OpenVSwitchRow(uuid: .zero)
    let fresh = StatusColumns.root(empty, completed: 4, schemaVersion: "8.3.0", system: system)
    #expect(fresh.curCfg == 4 && fresh.systemType == "some")
    #expect(fresh.dbVersion == "8.3.0" && fresh.ovsVersion?.isEmpty == false)
    var row = OpenVSwitchRow(uuid: .zero)
    row.systemType = "mine"
    row.ovsVersion = "3.1"
    let kept = StatusColumns.root(row, completed: 4, schemaVersion: "8.3.0", system: system)
    #expect(kept.columns["system_type"] == nil && kept.columns["ovs_version"] == nil)
    #expect(kept.systemVersion == "12")
  }
}

@Suite struct TextTableTests {
  @Test func columnsAreAligned() {
    var table = TextTable([("port", .right), ("VLAN", .right), ("MAC", .left), ("Age", .right)])
    table.append(["LOCAL", 0, "52:54:00:00:00:01", 12])
    table.append([1, 4095, .null, 3])
    #expect(
      table.text == """
         port  VLAN  MAC                Age
        LOCAL     0  52:54:00:00:00:01   12
            1  4095  -                    3

        """)
    #expect(table.json["headings"] == ["port", "VLAN", "MAC", "Age"])
    #expect(table.json["data"]?[1] == [1, 4095, nil, 3])
  }
}
