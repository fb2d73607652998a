import Testing

// An interface that appears, disappears, is renamed or goes down under its port.
extension System {
  @Suite struct Interfaces {
    @Test func `A port waits for an interface that does not exist yet`() throws {
      try withLab { lab in
        let host = try lab.addHost("veth1")
        let output = try lab.attempt("add-port", "br0", "late")
        #expect(output.status == 1)
        #expect(output.standardError.contains("late"))
        #expect(try lab.interface("late", "error").contains("late"))
        #expect(try lab.interface("late", "ofport") == "-1")

        let late = try lab.makeHost("late")
        try late.reaches(host)
        try eventually("the row has no error") { try lab.interface("late", "error") == "[]" }
        #expect(try #require(Int(try lab.interface("late", "ofport"))) > 0)
      }
    }

    @Test func `An interface that is deleted and made again is picked up`() throws {
      try withLab { lab in
        let first = try lab.addHost("veth1")
        let second = try lab.addHost("veth2")
        try first.reaches(second)
        try lab.namespace.run(["ip", "link", "delete", "veth2"])
        try eventually("the row says that it is gone") { try lab.interface("veth2", "error") != "[]" }
        try lab.namespace.addVeth("veth2", peer: "eth0", in: second.namespace)
        try second.namespace.configure("eth0", address: "\(second.address)/24")
        // The new interface has an address of its own.
        try first.namespace.run(["ip", "neighbour", "flush", "all"])
        try first.reaches(second)
        try eventually("the row has no error") { try lab.interface("veth2", "error") == "[]" }
      }
    }

    @Test func `An interface renamed away leaves its port and comes back to it`() throws {
      try withLab { lab in
        let first = try lab.addHost("veth1")
        let second = try lab.addHost("veth2")
        try first.reaches(second)
        try lab.namespace.run(["ip", "link", "set", "veth2", "down"])
        try lab.namespace.run(["ip", "link", "set", "veth2", "name", "other"])
        try lab.namespace.run(["ip", "link", "set", "other", "up"])
        try eventually("the port is without interface") { try lab.interface("veth2", "error") != "[]" }
        #expect(!(try first.ping(second, count: 1).succeeded))
        try lab.namespace.run(["ip", "link", "set", "other", "down"])
        try lab.namespace.run(["ip", "link", "set", "other", "name", "veth2"])
        try lab.namespace.run(["ip", "link", "set", "veth2", "up"])
        try first.reaches(second)
      }
    }

    @Test func `A link that goes down is shown and forwards again when it is up`() throws {
      try withLab { lab in
        let first = try lab.addHost("veth1")
        let second = try lab.addHost("veth2")
        try first.reaches(second)
        #expect(try lab.interface("veth2", "link_state") == "up")
        try lab.namespace.run(["ip", "link", "set", "veth2", "down"])
        try eventually("the link is down") { try lab.interface("veth2", "link_state") == "down" }
        try lab.namespace.run(["ip", "link", "set", "veth2", "up"])
        try eventually("the link is up") { try lab.interface("veth2", "link_state") == "up" }
        try first.reaches(second)
      }
    }

    @Test func `The row carries the interface's address, MTU and index`() throws {
      try withLab { lab in
        _ = try lab.addHost("veth1", mtu: 1400)
        func attribute(_ name: String) throws -> String {
          try lab.namespace.run(["cat", "/sys/class/net/veth1/\(name)"])
        }
        #expect(try lab.interface("veth1", "mtu") == "1400")
        #expect(try lab.interface("veth1", "mac_in_use") == "\"\(try attribute("address"))\"")
        #expect(try lab.interface("veth1", "ifindex") == (try attribute("ifindex")))
        try lab.namespace.run(["ip", "link", "set", "veth1", "mtu", "1300"])
        try eventually("the row follows the MTU") { try lab.interface("veth1", "mtu") == "1300" }
      }
    }

    @Test func `Deleting a port leaves the interface, and a TAP goes with its port`() throws {
      try withLab { lab in
        _ = try lab.addHost("veth1")
        try lab.ctl("add-port", "br0", "tap1", "--", "set", "Interface", "tap1", "type=tap")
        #expect(try lab.namespace.attempt(["ip", "link", "show", "tap1"]).succeeded)
        try lab.ctl("del-port", "veth1")
        try lab.ctl("del-port", "tap1")
        #expect(try lab.namespace.attempt(["ip", "link", "show", "veth1"]).succeeded)
        #expect(!(try lab.namespace.attempt(["ip", "link", "show", "tap1"])).succeeded)
        #expect(try lab.ctl("list-ports", "br0").isEmpty)
      }
    }
  }
}
