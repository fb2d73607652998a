import Glibc
import Testing

// Everything dies and comes back; no guest is touched, no port added again.
extension System {
  @Suite(.needsGuests) struct Restarts {
    @Test(arguments: [Guest.Role.connects, .listens])
    func `Pings resume after the guest rebooted and after QEMU was killed`(role: Guest.Role) throws {
      try withLab { lab in
        let guest = try lab.addGuest("vm1", role: role)
        let host = try lab.addHost("veth1")
        try guest.start()
        try guest.reaches(host)
        try guest.reboot()
        try guest.reaches(host)
        guest.kill()
        try guest.start()
        try host.reaches(guest)
        #expect(try Transfer.send(megabytes: 2, from: guest, to: host).isIntact)
      }
    }

    @Test(arguments: [SIGKILL, SIGTERM])
    func `Pings resume after the switch was restarted`(signal: Int32) throws {
      try withLab { lab in
        let first = try lab.addGuest("vm1", role: .connects)
        let second = try lab.addGuest("vm2", role: .listens)
        let host = try lab.addHost("veth1")
        try first.launch()
        try second.launch()
        try first.waitUntilReady()
        try second.waitUntilReady()
        try first.reaches(second)

        lab.switchd?.signal(signal)
        let status = try lab.switchd?.wait(within: 10)
        #expect(status == (signal == SIGTERM ? 0 : 128 + signal))
        #expect(!(try host.ping(first, count: 1).succeeded))
        try lab.startSwitch()

        try first.reaches(second)
        try second.reaches(first)
        try first.reaches(host)
        try host.reaches(second)
        #expect(try Transfer.send(megabytes: 2, from: first, to: host).isIntact)
      }
    }

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
