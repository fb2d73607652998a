import Glibc
import JSONRPC
import Testing

// What a guest and its QEMU do while their port stays: nobody tells the switch about any of it.
extension GuestSystem {
  @Suite(.needsGuests, .needs("ethtool")) struct GuestChanges {
    /// The plainest card and one with everything.
    static let cards = [CardOptions(), CardOptions(layout: .packed, queues: 4, role: .listens)]

    /// One life of a guest: what happens to it, in an order in which each finds the rings as the one before left them.
    @Test(arguments: cards)
    func `A guest, its card and its QEMU stop, go and come back`(card: CardOptions) throws {
      try withGuest(card) { lab, guest, host in
        try Matrix.check(Guest.frontEnd, ["driver unbind and bind"]) {
          for _ in 0..<2 {
            try guest.rebind(meanwhile: {
              // Frames for a card without a driver are lost, and nothing else happens.
              try #require(try host.misses(guest))
            })
            try checkTraffic(guest, host, card.queues)
          }
        }
        for _ in 0..<2 {
          try guest.monitor().run("stop")
          #expect(try guest.monitor().run("query-status")["status"]?.string == "paused")
          #expect(try host.misses(guest))
          try guest.monitor().run("cont")
          try checkTraffic(guest, host, card.queues)
        }
        try Matrix.check(Guest.frontEnd, ["guest reboot"]) {
          try guest.reboot()
          try checkTraffic(guest, host, card.queues)
          try guest.reset()
          try checkTraffic(guest, host, card.queues)
        }
        try Matrix.check(Guest.frontEnd, ["front-end killed and back"]) {
          guest.kill()
          try guest.start()
          try checkTraffic(guest, host, card.queues)
        }
      }
    }

    @Test(arguments: [CardOptions.Layout.split, .packed])
    func `A guest changes the number of its queues while frames come and go`(layout: CardOptions.Layout)
      throws
    {
      try withGuest(CardOptions(layout: layout, queues: 4)) { lab, guest, host in
        try Matrix.check(Guest.frontEnd, ["queues changed at run time"]) {
          let pings = try host.namespace.start(["ping", "-n", "-q", "-i", "0.01", guest.address])
          for queues in [1, 4, 2, 3, 1, 4] {
            try guest.must("ethtool -L eth0 combined \(queues)")
            try guest.reaches(host)
          }
          try #require(pings.isRunning)
          pings.signal(SIGINT)
          try pings.wait()
          try checkTraffic(guest, host, 4)
          try checkEveryQueue(lab, guest, host)
        }
      }
    }

    @Test func `A guest changes its MTU, up to that of its port`() throws {
      try withLab { lab in
        let guest = try lab.addGuest("vm1", settings: ["mtu_request=9000"])
        let host = try lab.addHost("veth1", mtu: 9000)
        try guest.start()
        try Matrix.check(Guest.frontEnd, ["MTU changed by the guest"]) {
          for mtu in [1500, 9000, 600, 9000] {
            try guest.must("ip link set eth0 mtu \(mtu)")
            try guest.reaches(host)
            try #require(try guest.ping(host, size: mtu - 28).succeeded, "\(mtu)")
            try #require(try Transfer.send(megabytes: 1, from: host, to: guest).isIntact, "\(mtu)")
            try #require(try Transfer.send(megabytes: 1, from: guest, to: host).isIntact, "\(mtu)")
          }
        }
      }
    }

    @Test func `A QEMU that hangs holds up nobody, and goes on when it is back`() throws {
      try withGuest(CardOptions()) { lab, guest, host in
        let others = (try lab.addHost("veth2"), try lab.addHost("veth3"))
        try others.0.reaches(others.1)
        try Matrix.check(Guest.frontEnd, ["front-end suspended"]) {
          guest.signal(SIGSTOP)
          // More than its ring has buffers for.
          let flood = try host.namespace.start([
            "ping", "-n", "-q", "-f", "-c", "3000", "-s", "1400", guest.address,
          ])
          try #require(try others.0.ping(others.1, count: 100).standardOutput.contains(" 0% packet loss"))
          flood.kill()
          guest.signal(SIGCONT)
          try checkTraffic(guest, host, 1)
        }
      }
    }

    private func withGuest(_ card: CardOptions, _ body: (Lab, Guest, Host) throws -> Void) throws {
      try withLab { lab in
        let guest = try lab.addGuest("vm1", role: card.role, options: card.guest)
        let host = try lab.addHost("veth1")
        try guest.start()
        try checkTraffic(guest, host, card.queues)
        try body(lab, guest, host)
      }
    }

    /// After a boot a guest with one processor uses one queue, until told otherwise.
    private func checkTraffic(_ guest: Guest, _ host: Host, _ queues: Int) throws {
      if queues > 1 { try guest.must("ethtool -L eth0 combined \(queues)") }
      try guest.reaches(host)
      try host.reaches(guest)
      try #require(try Transfer.send(megabytes: 1, from: guest, to: host).isIntact)
      try #require(try Transfer.send(megabytes: 1, from: host, to: guest).isIntact)
    }

    /// Connections go by queues according to their ports: of so many, each of four queues gets some.
    private func checkEveryQueue(_ lab: Lab, _ guest: Guest, _ host: Host) throws {
      let listener = try host.namespace.start([
        "socat", "-u", "TCP-LISTEN:5010,fork,reuseaddr", "OPEN:/dev/null",
      ])
      defer { listener.kill() }
      try eventually("the host listens") { try guest.run("nc \(host.address) 5010 </dev/null").succeeded }
      let before = try lab.statistics("vm1")
      try guest.must(
        "i=0; while [ $i -lt 60 ]; do nc \(host.address) 5010 </dev/null || exit 1; i=$((i+1)); done",
        within: 120)
      try eventually("frames came by all four queues") {
        let now = try lab.statistics("vm1")
        return (0..<4).map { "rx_q\($0)_packets" }.allSatisfy { now[$0, default: 0] > before[$0, default: 0] }
      }
    }
  }
}
