import Datapath
import JSONRPC
import Linux
import OVSDB
import Ports
import Testing

@testable import Configuration

/// The way from a user's transaction to the datapath and back, with a real database in between.
@Suite struct FollowerTests {
  let laboratory: Laboratory
  let datapath = FakeDatapath()
  let ports = FakePorts()

  init() throws { laboratory = try Laboratory() }

  @Test func aNewDatabaseGetsItsRow() throws {
    _ = laboratory.addSwitch(datapath, ports)
    try laboratory.wait("the row is filled in") { laboratory.root?.string("ovs_version") == productVersion }
    #expect(laboratory.root?.strings("iface_types").contains("vhost-user-client") == true)
    #expect(laboratory.root?.strings("datapath_types").contains("netdev") == true)
  }

  @Test func aConfigurationIsAnsweredInOneTransaction() throws {
    _ = laboratory.addSwitch(datapath, ports)
    ports.failures["eth9"] = "there is no network device eth9"
    try laboratory.configure(Operations.addBridge("br0"))
    try laboratory.configure(
      Operations.addPort("br0", "vm1", "vhost-user") + Operations.addPort("br0", "eth9"))

    let answer = try #require(laboratory.batches.last)
    #expect(answer.tables["Open_vSwitch"]?.isEmpty == false)
    let interfaces = answer.tables["Interface"].map { Array($0.values) } ?? []
    #expect(interfaces.count == 2)
    #expect(laboratory.row("Interface", "vm1")?.integer("ofport") == 2)
    #expect(laboratory.row("Interface", "vm1")?.string("error") == nil)
    #expect(laboratory.row("Interface", "vm1")?.string("link_state") == "up")
    #expect(laboratory.row("Interface", "vm1")?["statistics"][.string("rx_packets")] == .integer(0))
    #expect(laboratory.row("Interface", "eth9")?.integer("ofport") == -1)
    #expect(laboratory.row("Interface", "eth9")?.string("error") == "there is no network device eth9")
    #expect(laboratory.row("Interface", "br0")?.integer("ofport") == 65534)
    #expect(laboratory.row("Bridge", "br0")?.string("datapath_id")?.count == 16)

    ports.failures = [:]
    try laboratory.wait("the port is retried") { laboratory.row("Interface", "eth9")?.integer("ofport") == 1 }
    #expect(laboratory.row("Interface", "eth9")?.string("error") == nil)
  }

  /// What the switch wrote itself, and what it does not look at, is no reason to compare everything again; and what
  /// somebody else wrote into a status column is put right.
  @Test func onlyConfigurationLeadsToAComparison() throws {
    _ = laboratory.addSwitch(datapath, ports)
    try laboratory.configure(
      Operations.addBridge("br0") + Operations.addPort("br0", "t", "tap")
        + Operations.addPort("br0", "u", "tap"))
    let before = datapath.changes
    try laboratory.transact([Operations.set("Interface", "t", ["ofport": 7, "error": "nonsense"])])
    try laboratory.wait("the status is right again") {
      laboratory.row("Interface", "t")?.integer("ofport") == 1
        && laboratory.row("Interface", "t")?.string("error") == nil
    }
    #expect(datapath.changes == before)
    try laboratory.configure([Operations.set("Port", "u", ["tag": 5])])
    #expect(datapath.changes > before)
    #expect(datapath.picture.ports["u"]?.vlan.tag == 5)
    #expect(laboratory.row("Interface", "t")?.integer("ofport") == 1)
  }

  /// One without the table Flow_Table, and without columns of each table the switch reads and writes.
  @Test func anOlderSchemaIsEnough() throws {
    let lacking: Set<String> = [
      "flow_tables", "other_config", "system_type", "iface_types", "datapath_version", "vlan_mode",
      "mtu_request",
      "link_resets", "ifindex",
    ]
    let laboratory = try Laboratory { schema in
      let tables = schema.tables.filter { $0.name != "Flow_Table" }.map { table in
        TableSchema(
          name: table.name, columns: table.columns.filter { !lacking.contains($0.name) },
          isRoot: table.isRoot,
          maximumRows: table.maximumRows)
      }
      return DatabaseSchema(name: schema.name, version: "7.0.0", tables: tables)
    }
    _ = laboratory.addSwitch(datapath, ports)
    try laboratory.configure(Operations.addBridge("br0") + Operations.addPort("br0", "t", "tap"))
    #expect(laboratory.row("Interface", "t")?.integer("ofport") == 1)
    #expect(laboratory.row("Interface", "t")?.string("link_state") == "up")
    #expect(laboratory.row("Bridge", "br0")?.string("datapath_id")?.count == 16)
    #expect(laboratory.root?.string("db_version") == "7.0.0")
    #expect(laboratory.root?.columns["system_type"] == nil)
  }

  @Test func manyPortsAreTwoChanges() throws {
    _ = laboratory.addSwitch(datapath, ports)
    try laboratory.configure(Operations.addBridge("br0"))
    let before = datapath.changes
    try laboratory.configure((0..<100).flatMap { Operations.addPort("br0", "t\($0)", "tap") })
    #expect(datapath.changes == before + 2)
    #expect(datapath.picture.ports.count == 101)
  }

  @Test func affinityReachesTheDatapathAndTheRow() throws {
    _ = laboratory.addSwitch(datapath, ports)
    try laboratory.configure(
      Operations.addBridge("br0")
        + Operations.addPort(
          "br0", "t", "tap", ["other_config": Operations.map(["pmd-rxq-affinity": "0:1"])]))
    #expect(datapath.picture.ports["t"]?.affinity == [0: 1])
    #expect(laboratory.row("Interface", "t")?.string("error")?.contains("pmd-cpu-mask") == true)
    #expect(laboratory.row("Interface", "t")?.integer("ofport") == 1)
    try laboratory.configure([
      [
        "op": "update", "table": "Open_vSwitch", "where": [],
        "row": ["other_config": Operations.map(["pmd-cpu-mask": "2"])],
      ]
    ])
    #expect(datapath.poll.cpus == [1])
    try laboratory.wait("the error is gone") { laboratory.row("Interface", "t")?.string("error") == nil }
    try laboratory.configure([
      Operations.set("Interface", "t", ["other_config": Operations.map(["pmd-rxq-affinity": "0:1,1:x"])])
    ])
    #expect(datapath.picture.ports["t"]?.affinity == [:])
    #expect(laboratory.row("Interface", "t")?.string("error")?.contains("QUEUE:CPU") == true)
  }

  @Test func changesWithoutNextCfgAreCarriedOutToo() throws {
    _ = laboratory.addSwitch(datapath, ports)
    try laboratory.configure(Operations.addBridge("br0"))
    try laboratory.transact(Operations.addPort("br0", "t", "tap"))
    try laboratory.wait("the port has its number") {
      laboratory.row("Interface", "t")?.integer("ofport") == 1
    }
    try laboratory.transact([Operations.set("Port", "t", ["tag": 7])])
    try laboratory.wait("the VLAN is set") { datapath.picture.ports["t"]?.vlan.tag == 7 }
    let port = try #require(laboratory.row("Port", "t"))
    try laboratory.transact([Operations.deletePort("br0", port.uuid)])
    try laboratory.wait("the port is gone") { datapath.picture.ports["t"] == nil }
  }

  @Test func leftoversOfAnEarlierRunAreOverwritten() throws {
    try laboratory.transact([
      ["op": "insert", "table": "Open_vSwitch", "row": ["next_cfg": 5, "cur_cfg": 9]]
    ])
    try laboratory.transact(
      Operations.addBridge("br0")
        + Operations.addPort(
          "br0", "old", "tap", ["ofport": 8, "error": "from before", "link_state": "down"]))
    _ = laboratory.addSwitch(datapath, ports)
    try laboratory.wait("the row is corrected") { laboratory.row("Interface", "old")?.string("error") == nil }
    #expect(laboratory.root?.integer("cur_cfg") == 5)
    #expect(laboratory.row("Interface", "old")?.integer("ofport") == 8, "the number is kept")
    #expect(laboratory.row("Interface", "old")?.string("link_state") == "up")
  }

  @Test func ownWritesAreNotAnswered() throws {
    let follower = laboratory.addSwitch(datapath, ports)
    try laboratory.configure(Operations.addBridge("br0") + Operations.addPort("br0", "t", "tap"))
    // Each round trip of the user's gives the switch the time to write, if it had anything to write.
    let before = laboratory.batches.count
    for round in 0..<5 {
      try laboratory.transact([
        Operations.set("Bridge", "br0", ["external_ids": Operations.map(["a": "\(round)"])])
      ])
      follower.statusChanged(try #require(datapath.id(of: "t")))
    }
    #expect(laboratory.batches.count == before + 5)
    #expect(datapath.commands.count == 3)
  }

  @Test func linksAndStatisticsAreReported() throws {
    let follower = laboratory.addSwitch(datapath, ports)
    try laboratory.configure(
      Operations.addBridge("br0") + Operations.addPort("br0", "t", "tap") + [
        [
          "op": "update", "table": "Open_vSwitch", "where": [],
          "row": ["other_config": Operations.map(["stats-update-interval": "100"])],
        ]
      ])
    let port = try #require(datapath.port(named: "t"))
    port.status.linkUp = false
    port.status.linkResets = 1
    port.status.mtu = 9000
    follower.statusChanged(try #require(datapath.id(of: "t")))
    try laboratory.wait("the link is down") {
      laboratory.row("Interface", "t")?.string("link_state") == "down"
    }
    #expect(laboratory.row("Interface", "t")?.integer("mtu") == 9000)
    #expect(laboratory.row("Interface", "t")?.integer("link_resets") == 1)

    let counters = PortCounters()
    defer { counters.deallocate() }
    counters.add(.receivedFrames, 3)
    counters.add(.receivedBytes, 180)
    counters.drop(.receiverFull, 2)
    datapath.counters["t"] = PortStatistics()
    datapath.counters["t"]?.add(counters)
    try laboratory.wait("the counters are there") {
      laboratory.row("Interface", "t")?["statistics"][.string("rx_packets")] == .integer(3)
    }
    let statistics = laboratory.row("Interface", "t")?["statistics"]
    #expect(statistics?[.string("rx_bytes")] == .integer(180))
    #expect(statistics?[.string("tx_dropped")] == .integer(2))
    #expect(statistics?[.string("tx_drop_receiver_full")] == .integer(2))
  }

  @Test func theSecondSwitchStandsBy() throws {
    let first = laboratory.addSwitch(datapath, ports)
    try laboratory.configure(Operations.addBridge("br0") + Operations.addPort("br0", "t", "tap"))
    let otherDatapath = FakeDatapath()
    let second = laboratory.addSwitch(otherDatapath, FakePorts())
    try laboratory.wait("the second is connected") { second.client.isSynchronized }
    try laboratory.configure(Operations.addPort("br0", "u", "tap"))
    #expect(otherDatapath.commands.isEmpty)
    first.stop()
    #expect(datapath.picture == FakeDatapath.Picture())
    try laboratory.wait("the second takes over") { otherDatapath.picture.ports.count == 3 }
  }

  @Test func forwardingOutlivesTheDatabase() throws {
    let follower = laboratory.addSwitch(datapath, ports)
    try laboratory.configure(Operations.addBridge("br0") + Operations.addPort("br0", "t", "tap"))
    let commands = datapath.commands
    laboratory.stopDatabase()
    try laboratory.wait("the session is over") { !follower.client.isSynchronized }
    #expect(datapath.commands == commands)

    try laboratory.startDatabase()
    try laboratory.wait("both are back") { follower.client.hasLock && laboratory.user.isSynchronized }
    try laboratory.configure(Operations.addPort("br0", "u", "tap"))
    #expect(datapath.commands == commands + ["addPort u"])
    // What is ephemeral was lost with the server, and is written again.
    try laboratory.wait("the status is back") {
      laboratory.row("Interface", "t")?.string("link_state") == "up"
    }
  }
}
