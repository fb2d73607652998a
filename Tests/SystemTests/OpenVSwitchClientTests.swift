import Testing

// Debian's own `ovs-vsctl`, as scripts and libvirt run it: waiting for the switch.
extension System {
  @Suite(.needs("ovs-vsctl", "ovsdb-client")) struct OpenVSwitchClients {
    @Test func `ovs-vsctl builds a bridge that forwards, and takes it down`() throws {
      try withLab(start: false) { lab in
        try lab.startSwitch()
        func vsctl(_ arguments: String...) throws -> String {
          let output = try run(["ovs-vsctl", "--timeout=10", "--db=unix:\(lab.database)"] + arguments)
          #expect(output.succeeded, "\(arguments): \(output)")
          return output.text
        }
        #expect(try vsctl("add-br", "br0").isEmpty)
        let first = try lab.makeHost("veth1")
        let second = try lab.makeHost("veth2")
        #expect(try vsctl("add-port", "br0", "veth1").isEmpty)
        #expect(try vsctl("add-port", "br0", "veth2", "tag=5", "--", "set", "Port", "veth1", "tag=5").isEmpty)
        try first.reaches(second)
        #expect(try vsctl("list-br") == "br0")
        #expect(try vsctl("list-ports", "br0") == "veth1\nveth2")
        #expect(try vsctl("port-to-br", "veth1") == "br0")
        #expect(try #require(Int(try vsctl("get", "Interface", "veth1", "ofport"))) > 0)
        let show = try vsctl("show")
        for word in ["Bridge br0", "Port veth1", "tag: 5", "type: internal"] {
          #expect(show.contains(word), "\(show)")
        }
        #expect(try vsctl("del-port", "veth1").isEmpty)
        #expect(try vsctl("del-br", "br0").isEmpty)
        #expect(try vsctl("list-br").isEmpty)
      }
    }

    @Test func `ovs-vsctl prints why a port could not be set up`() throws {
      try withLab { lab in
        let output = try lab.vsctl("add-port", "br0", "nothere")
        #expect(output.standardError.contains("Error detected while setting up 'nothere'"), "\(output)")
      }
    }

    @Test func `ovsdb-client reads the schema and dumps the tables`() throws {
      try withLab { lab in
        func client(_ arguments: String...) throws -> String {
          try must(["ovsdb-client", "--timeout=10"] + arguments)
        }
        let databases = try client("list-dbs", "unix:\(lab.database)")
        #expect(databases.contains("Open_vSwitch"))
        let schema = try client("get-schema", "unix:\(lab.database)", "Open_vSwitch")
        #expect(schema.contains("\"Interface\""))
        let bridges = try client("dump", "unix:\(lab.database)", "Open_vSwitch", "Bridge", "name")
        #expect(bridges.contains("br0"))
      }
    }

    @Test(.needs("ovs-appctl"))
    func `A switch that serves its database itself obeys the database's commands`() throws {
      try withLab { lab in
        let socket = "\(lab.directory)/switchd.\(try #require(lab.switchd).pid).ctl"
        func appctl(_ arguments: String...) throws -> String {
          try must(["ovs-appctl", "-t", socket] + arguments)
        }
        #expect(try appctl("ovsdb-server/list-dbs") == "Open_vSwitch\n_Server")
        let size = try #require(Int(try must(["stat", "-c", "%s", "\(lab.directory)/conf.db"])))
        for number in 0..<20 { try lab.ctl("--no-wait", "set", "Bridge", "br0", "external_ids:n=\(number)") }
        #expect(try appctl("ovsdb-server/compact") == "")
        let compacted = try #require(Int(try must(["stat", "-c", "%s", "\(lab.directory)/conf.db"])))
        #expect(compacted < size + 2000)
        #expect(try appctl("ovsdb-server/get-db-storage-status", "Open_vSwitch") == "status: ok")
        #expect(try lab.ctl("get", "Bridge", "br0", "external_ids:n") == "\"19\"")
      }
    }
  }
}
