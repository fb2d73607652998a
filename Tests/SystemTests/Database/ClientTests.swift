import Glibc
import Testing

// The clients people have, each against each database server, with a switch that follows it. `tools/matrix` makes the
// README's table of what passed.
extension System {
  @Suite(.needs("ovs-vsctl", "ovsdb-client", "ovsdb-server", "ovs-appctl")) struct DatabaseClients {
    @Test(arguments: DatabaseKind.allCases)
    func `ovs-vsctl configures and waits for the switch`(kind: DatabaseKind) throws {
      try check(kind, "ovs-vsctl", "switchd") { lab, database in
        func vsctl(_ arguments: String...) throws -> String {
          try must(["ovs-vsctl", "--timeout=20", "--db=\(database.remote)"] + arguments)
        }
        try #require(
          try vsctl("add-port", "br0", "t1", "tag=5", "--", "set", "Interface", "t1", "type=tap") == "")
        try #require(try vsctl("list-ports", "br0") == "t1")
        try #require(try vsctl("get", "Port", "t1", "tag") == "5")
        try #require(Int(try vsctl("get", "Interface", "t1", "ofport")) ?? 0 > 0)
        try #require(try vsctl("--columns=name", "--bare", "find", "Port", "tag=5") == "t1")
        try #require(try vsctl("--if-exists", "del-port", "t1") == "")
        let refused = try run(
          ["ovs-vsctl", "--timeout=20", "--db=\(database.remote)", "add-port", "br0", "nothere"])
        try #require(
          refused.standardError.contains("Error detected while setting up 'nothere'"), "\(refused)")
      }
    }

    @Test(arguments: DatabaseKind.allCases)
    func `switchctl configures and waits for the switch`(kind: DatabaseKind) throws {
      try check(kind, "switchctl", "switchd") { lab, database in
        func ctl(_ arguments: String...) throws -> String {
          try must(["\(Location.programs)/switchctl", "--timeout=20", "--db=\(database.remote)"] + arguments)
        }
        try #require(
          try ctl("add-port", "br0", "t1", "tag=5", "--", "set", "Interface", "t1", "type=tap") == "")
        try #require(try ctl("list-ports", "br0") == "t1")
        try #require(Int(try ctl("get", "Interface", "t1", "ofport")) ?? 0 > 0)
        try #require(try ctl("del-br", "br0") == "")
        try #require(try ctl("list-br") == "")
      }
    }

    /// Every command that only looks, or changes and puts back.
    @Test(arguments: DatabaseKind.allCases)
    func `ovsdb-client has all its commands answered`(kind: DatabaseKind) throws {
      try check(kind, "ovsdb-client") { lab, database in
        func client(_ arguments: String...) throws -> String {
          try must(["ovsdb-client", "--timeout=20"] + arguments)
        }
        let remote = database.firstRemote
        try #require(try client("list-dbs", remote).split(separator: "\n") == ["Open_vSwitch", "_Server"])
        try #require(try client("get-schema-version", remote) == "8.3.1")
        try #require(try client("get-schema-cksum", remote) == "3012963480 26720")
        try #require(try client("get-schema", remote).contains("\"Interface\""))
        try #require(try client("list-tables", remote).contains("Flow_Sample_Collector_Set"))
        try #require(try client("list-columns", remote, "Bridge").contains("fail_mode"))
        try #require(try client("dump", remote, "Bridge", "name").contains("br0"))
        let select = #"["Open_vSwitch",{"op":"select","table":"Bridge","where":[],"columns":["name"]}]"#
        try #require(try client("transact", remote, select) == #"[{"rows":[{"name":"br0"}]}]"#)
        let insert = #"["Open_vSwitch",{"op":"insert","table":"SSL","row":{"ca_cert":"c"}}]"#
        try #require(try client("query", remote, insert).contains("uuid"))
        try #require(try !client("dump", remote, "SSL").contains("\"c\""))
        try #require(try client("wait", remote, "Open_vSwitch", "connected") == "")
        try #require(try client("needs-conversion", remote, DatabaseKind.schema) == "no")
        try lockIsGranted(remote)
        try monitorsFollow(database)
        try backupAndRestore(database, lab)
        try convert(database, lab)
      }
    }

    private func lockIsGranted(_ remote: String) throws {
      let output = Scratch.shared.path("lock-\(Scratch.shared.number())")
      let owner = try Program(["ovsdb-client", "lock", remote, "mine"], standardOutput: output)
      try eventually("the lock is granted") { readFile(output).contains("\"locked\":true") }
      let thief = try Program(["ovsdb-client", "steal", remote, "mine"], standardOutput: output + "2")
      try eventually("the owner hears that it was stolen") { readFile(output).contains("stolen") }
      thief.kill()
      owner.kill()
    }

    /// Each flavour of monitor tells of a bridge that comes and goes.
    private func monitorsFollow(_ database: RunningDatabase) throws {
      let commands = [
        ["monitor", database.firstRemote, "Open_vSwitch", "Bridge", "name"],
        ["monitor-cond", database.firstRemote, "Open_vSwitch", #"[["name","==","br1"]]"#, "Bridge", "name"],
        [
          "monitor-cond-since", database.firstRemote, "Open_vSwitch", "00000000-0000-0000-0000-000000000000",
          #"[["name","==","br1"]]"#, "Bridge", "name",
        ],
      ]
      let outputs = commands.map { _ in Scratch.shared.path("monitor-\(Scratch.shared.number())") }
      let monitors = try zip(commands, outputs).map {
        try Program(["ovsdb-client", "--format=csv"] + $0, standardOutput: $1)
      }
      try eventually("the monitors begin") {
        readFile(outputs[0]).contains("initial,br0") && readFile(outputs[2]).contains("last_id")
      }
      func vsctl(_ arguments: String...) throws {
        try must(["ovs-vsctl", "--timeout=20", "--db=\(database.firstRemote)"] + arguments)
      }
      // The second begins without a word: it has nothing yet.
      try eventually("the monitors tell of the bridge") {
        try vsctl("--may-exist", "add-br", "br1")
        try vsctl("del-br", "br1")
        return outputs.allSatisfy { output in
          let told = readFile(output)
          return told.contains("insert,br1") && told.contains("delete,")
        }
      }
      #expect(!readFile(outputs[1]).contains("br0"))
      for monitor in monitors { monitor.kill() }
    }

    private func backupAndRestore(_ database: RunningDatabase, _ lab: Lab) throws {
      func bridges() throws -> String {
        try must(["ovs-vsctl", "--timeout=20", "--db=\(database.firstRemote)", "--no-wait", "list-br"])
      }
      let file = "\(lab.directory)/backup"
      try must(["sh", "-c", "ovsdb-client --timeout=20 backup \(database.firstRemote) >\(file)"])
      try must(["ovs-vsctl", "--timeout=20", "--db=\(database.firstRemote)", "add-br", "br2"])
      try #require(try bridges() == "br0\nbr2")
      try must(["sh", "-c", "ovsdb-client --timeout=20 restore \(database.firstRemote) <\(file)"])
      try #require(try bridges() == "br0")
    }

    private func convert(_ database: RunningDatabase, _ lab: Lab) throws {
      let newer = "\(lab.directory)/newer.ovsschema"
      try writeFile(
        newer,
        readFile(DatabaseKind.schema).replacing("\"8.3.1\"", with: "\"8.3.2\"")
          .replacing("\"3012963480 26720\"", with: "\"\"")
          .replacing(
            "\"system_type\": {", with: "\"system_kind\": {\"type\": \"integer\"}, \"system_type\": {"))
      try #require(
        try must(["ovsdb-client", "--timeout=20", "needs-conversion", database.firstRemote, newer]) == "yes")
      try must(["ovsdb-client", "--timeout=20", "convert", database.firstRemote, newer])
      try #require(
        try must(["ovsdb-client", "--timeout=20", "get-schema-version", database.firstRemote]) == "8.3.2")
      try #require(
        try must(["ovs-vsctl", "--timeout=20", "--db=\(database.firstRemote)", "--no-wait", "list-br"])
          == "br0")
    }

    @Test(.needsPython("ovs"), arguments: DatabaseKind.allCases)
    func `Python's ovs.db.idl reads, changes and hears`(kind: DatabaseKind) throws {
      try check(kind, "Python ovs", "switchd") { lab, database in
        try #require(try python(idl, database.remote, "\(DatabaseKind.schema)") == "br0 br1 -> br0 True")
      }
    }

    @Test(.needsPython("ovsdbapp"), arguments: DatabaseKind.allCases)
    func `ovsdbapp builds and takes down a bridge`(kind: DatabaseKind) throws {
      try check(kind, "ovsdbapp", "switchd") { lab, database in
        let told = try python(ovsdbapp, database.remote)
        try #require(
          told
            == "['br0', 'br1'] ['t1'] 7 {'a': 'b', 'c': 'd'}\n[{'name': 't1', 'type': 'tap'}]\n{'c': 'd'}\n['br0']"
        )
      }
    }

    /// What `body` requires is recorded for each of the clients.
    private func check(
      _ kind: DatabaseKind, _ clients: String..., body: (Lab, RunningDatabase) throws -> Void
    ) throws {
      try Matrix.check(kind.rawValue, clients, in: .databases) { try withDatabase(kind, body) }
    }

    private func python(_ script: String, _ arguments: String...) throws -> String {
      try must(["/usr/bin/python3", "-c", script] + arguments, within: 60)
    }

    private let idl = """
      import sys, ovs.db.idl, ovs.poller
      remote, schema = sys.argv[1:]
      helper = ovs.db.idl.SchemaHelper(schema)
      helper.register_columns("Open_vSwitch", ["bridges", "next_cfg"])
      helper.register_columns("Bridge", ["name", "ports"])
      helper.register_columns("Port", ["name", "interfaces"])
      helper.register_columns("Interface", ["name", "type", "ofport"])
      idl = ovs.db.idl.Idl(remote, helper)
      def until(condition):
          for _ in range(1000):
              idl.run()
              if condition():
                  return
              poller = ovs.poller.Poller()
              idl.wait(poller)
              poller.timer_wait(100)
              poller.block()
          raise SystemExit("it did not happen")
      def names():
          return sorted(row.name for row in idl.tables["Bridge"].rows.values())
      def commit(change):
          txn = ovs.db.idl.Transaction(idl)
          change(txn)
          status = txn.commit_block()
          assert status in (txn.SUCCESS, txn.UNCHANGED), (txn.status_to_string(status), txn.get_error())
      def add(txn):
          top = next(iter(idl.tables["Open_vSwitch"].rows.values()))
          interface = txn.insert(idl.tables["Interface"])
          interface.name, interface.type = "br1", "internal"
          port = txn.insert(idl.tables["Port"])
          port.name, port.interfaces = "br1", [interface]
          bridge = txn.insert(idl.tables["Bridge"])
          bridge.name, bridge.ports = "br1", [port]
          top.verify("bridges")
          top.bridges = top.bridges + [bridge]
          top.increment("next_cfg")
      def remove(txn):
          top = next(iter(idl.tables["Open_vSwitch"].rows.values()))
          top.bridges = [bridge for bridge in top.bridges if bridge.name != "br1"]
      until(lambda: names() == ["br0"])
      commit(add)
      until(lambda: names() == ["br0", "br1"])
      first = " ".join(names())
      # The switch set it up.
      until(lambda: any(r.name == "br1" and r.ofport for r in idl.tables["Interface"].rows.values()))
      commit(remove)
      until(lambda: names() == ["br0"])
      print(first, "->", " ".join(names()), not any(r.name == "br1" for r in idl.tables["Interface"].rows.values()))
      """

    private let ovsdbapp = """
      import sys
      from ovsdbapp.backend.ovs_idl import connection
      from ovsdbapp.schema.open_vswitch import impl_idl
      idl = connection.OvsdbIdl.from_server(sys.argv[1], "Open_vSwitch")
      api = impl_idl.OvsdbIdl(connection.Connection(idl=idl, timeout=20))
      with api.transaction(check_error=True) as t:
          t.add(api.add_br("br1"))
          t.add(api.add_port("br1", "t1"))
          t.add(api.db_set("Interface", "t1", ("type", "tap"), ("external_ids", {"a": "b", "c": "d"})))
          t.add(api.db_set("Port", "t1", ("tag", 7)))
      print(sorted(api.list_br().execute()), api.list_ports("br1").execute(), api.db_get("Port", "t1", "tag").execute(),
            api.db_get("Interface", "t1", "external_ids").execute())
      print(api.db_find("Interface", ("name", "=", "t1"), columns=["name", "type"]).execute())
      api.db_remove("Interface", "t1", "external_ids", "a").execute(check_error=True)
      print(api.db_get("Interface", "t1", "external_ids").execute())
      api.del_port("t1").execute(check_error=True)
      api.del_br("br1").execute(check_error=True)
      print(api.list_br().execute())
      """
  }
}

/// A dump without its UUIDs, which are random, and with the rows of each table in an order that does not depend on them.
func comparable(_ dump: String) -> String {
  let uuid = #/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/#
  let tables = dump.replacing(uuid, with: "ROW").split(separator: "\n\n")
  return tables.map { table in
    let lines = table.split(separator: "\n", omittingEmptySubsequences: false)
    return (lines.prefix(2) + lines.dropFirst(2).sorted()).joined(separator: "\n")
  }.joined(separator: "\n\n")
}
