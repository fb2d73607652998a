import JSONRPC
import OVSDB
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
    let columns = StatusColumns.interface(refusal: nil, condition, StatusColumns.statistics(PortStatistics()))
    #expect(columns["ofport"] == Datum(3))
    #expect(columns["error"] == .empty)
    #expect(columns["admin_state"]?.string == "up" && columns["link_state"]?.string == "down")
    #expect(columns["link_speed"]?.integer == 10_000_000_000 && columns["duplex"]?.string == "full")
    #expect(columns["mtu"]?.integer == 1500 && columns["ifindex"]?.integer == 7)
    #expect(columns["mac_in_use"]?.string == "52:54:00:00:00:01")
    #expect(columns["status"]?.stringMap == ["driver_name": "veth"])
    let keys: [String] =
      columns["statistics"]?.keys.compactMap { if case .string(let key) = $0 { key as String? } else { nil } }
      ?? []
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
    let columns = StatusColumns.interface(refusal: nil, condition, nil)
    #expect(columns["ofport"] == Datum(-1))
    #expect(columns["error"]?.string == "no such device")
    for column in columns.keys where !["ofport", "error"].contains(column) {
      #expect(columns[column]?.isEmpty == true, "\(column)")
    }
  }

  @Test func aPortWithoutItsDeviceHasNoNumber() {
    let port = FakePort(PortConfiguration(name: "eth1", kind: .system, runDirectory: "/run/test"))
    port.status.error = "there is no network device eth1"
    let condition = Reconciler.Condition(
      number: 3, error: nil, isDevice: true, attached: (PortID(index: 0), port))
    let columns = StatusColumns.interface(refusal: nil, condition, nil)
    #expect(columns["ofport"] == Datum(-1))
    #expect(columns["error"]?.string == "there is no network device eth1")
  }

  @Test func aRefusedRowShowsTheReason() {
    let columns = StatusColumns.interface(refusal: "bonding is not supported", nil, nil)
    #expect(columns["ofport"] == Datum(-1) && columns["error"]?.string == "bonding is not supported")
  }

  @Test func whatTheStartScriptWroteStays() {
    let system = SystemIdentity(osRelease: "NAME=\"Some OS\"\nID=some\nVERSION_ID=\"12\"\n")
    #expect(system.type == "some" && system.version == "12")
    let empty = ReplicaRow(uuid: .zero, columns: [:])
    let fresh = StatusColumns.root(empty, completed: 4, schemaVersion: "8.3.0", system: system)
    #expect(fresh["cur_cfg"] == Datum(4) && fresh["system_type"]?.string == "some")
    #expect(fresh["db_version"]?.string == "8.3.0" && fresh["ovs_version"]?.isEmpty == false)
    let row = ReplicaRow(uuid: .zero, columns: ["system_type": Datum("mine"), "ovs_version": Datum("3.1")])
    let kept = StatusColumns.root(row, completed: 4, schemaVersion: "8.3.0", system: system)
    #expect(
      kept["system_type"] == nil && kept["ovs_version"] == nil && kept["system_version"]?.string == "12")
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
