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
  }
}
