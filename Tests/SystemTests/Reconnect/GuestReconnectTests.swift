import Glibc
import Testing

// The same with QEMU, whose guests keep their rings when the switch goes. They are not touched: QEMU does what it does
// by itself, and the guest's driver does not notice.
extension System {
  @Suite(.needsGuests, .needs("ethtool")) struct GuestReconnection {
    /// A guest on either side of its socket, with cards of the same kind, and a host that both talk to.
    private final class Network {
      let lab: Lab
      let guests: [Guest]
      let host: Host

      init(_ lab: Lab, _ card: CardOptions) throws {
        self.lab = lab
        guests = try [("vm1", Guest.Role.connects), ("vm2", .listens)].map { port, role in
          try lab.addGuest(port, role: role, options: card.guest)
        }
        host = try lab.addHost("veth1")
        for guest in guests { try guest.launch() }
        for guest in guests { try boot(guest) }
        try check()
      }

      /// A guest with one processor uses one queue, until told otherwise.
      func boot(_ guest: Guest) throws {
        try guest.waitUntilReady()
        let queues = guest.options.queues
        if queues > 1 { try guest.must("ethtool -L eth0 combined \(queues)") }
      }

      func killSwitch() throws {
        lab.switchd?.signal(SIGKILL)
        #expect(try lab.switchd?.wait(within: 10) == 128 + SIGKILL)
        #expect(!(try host.ping(guests[0], count: 1).succeeded))
      }

      /// Everybody reaches everybody, and bytes arrive as they were.
      func check() throws {
        try host.reaches(guests[0])
        try host.reaches(guests[1])
        try guests[0].reaches(guests[1])
        try guests[1].reaches(host)
        for guest in guests {
          try #require(try Transfer.send(megabytes: 1, from: guest, to: host).isIntact)
          try #require(try Transfer.send(megabytes: 1, from: host, to: guest).isIntact)
        }
      }
    }

    @Test(arguments: [CardOptions.Layout.split, .packed], [1, 4])
    func `Guests go on when the switch, a connection or all is back`(layout: CardOptions.Layout, queues: Int)
      throws
    {
      try withLab { lab in
        let network = try Network(lab, CardOptions(layout: layout, queues: queues))
        try Matrix.check(Guest.frontEnd, ["switch killed and back"]) {
          // Idle, and with frames under way in both directions.
          try network.killSwitch()
          try lab.startSwitch()
          try network.check()
          let streams = try network.guests.map {
            try network.host.namespace.start(["ping", "-n", "-q", "-f", "-s", "1000", $0.address])
          }
          try network.killSwitch()
          try lab.startSwitch()
          try network.check()
          for stream in streams { stream.kill() }
        }
        try Matrix.check(Guest.frontEnd, ["switch stopped and started"]) {
          lab.switchd?.signal(SIGTERM)
          try #require(try lab.switchd?.wait(within: 10) == 0)
          try lab.startSwitch()
          try network.check()
        }
        try Matrix.check(Guest.frontEnd, ["connection dropped and back"]) {
          for (port, guest) in zip(["vm1", "vm2"], network.guests) {
            try lab.ctl("del-port", port)
            try lab.addVhostPort(port, role: guest.options.role)
          }
          try network.check()
        }
        // A guest that boots takes its time, and begins its rings anew: once for each layout is enough.
        guard queues > 1 else { return }
        try Matrix.check(Guest.frontEnd, ["both restarted, switch first"]) {
          try network.killSwitch()
          for guest in network.guests { guest.kill() }
          try lab.startSwitch()
          for guest in network.guests { try guest.launch() }
          for guest in network.guests { try network.boot(guest) }
          try network.check()
        }
        try Matrix.check(Guest.frontEnd, ["both restarted, front-end first"]) {
          try network.killSwitch()
          for guest in network.guests { guest.kill() }
          for guest in network.guests { try guest.launch() }
          try lab.startSwitch()
          for guest in network.guests { try network.boot(guest) }
          try network.check()
        }
      }
    }
  }
}
