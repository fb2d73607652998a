import Glibc
import Testing

// The database dies and comes back; nothing else is touched.
extension System {
  @Suite struct Restarts {
    @Test func `Forwarding goes on while the database server is away, and follows it when it is back`() throws
    {
      try withLab(start: false) { lab in
        try lab.startDatabase()
        try lab.startSwitch(database: "unix:\(lab.database)")
        try lab.ctl("add-br", "br0")
        let first = try lab.addHost("veth1")
        let second = try lab.addHost("veth2")
        try first.reaches(second)

        lab.switchdbd?.kill()
        #expect(try first.ping(second, count: 20).succeeded)
        try lab.startDatabase()
        #expect(try first.ping(second, count: 3).succeeded)
        #expect(try lab.ctl("list-ports", "br0") == "veth1\nveth2")
        // The switch has found the new server when it serves a change again.
        let third = try lab.addHost("veth3")
        try third.reaches(first)
      }
    }

    @Test func `The switch that was started before its database waits for it`() throws {
      try withLab(start: false) { lab in
        try lab.startSwitchWithoutWaiting(database: "unix:\(lab.database)")
        try lab.startDatabase()
        try lab.ctl("add-br", "br0")
        let first = try lab.addHost("veth1")
        let second = try lab.addHost("veth2")
        try first.reaches(second)
      }
    }
  }
}
