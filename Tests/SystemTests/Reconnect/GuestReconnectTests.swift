import Glibc
import Testing

// The same with QEMU, whose guests keep their rings when the switch goes. They are not touched: QEMU does what it does
// by itself, and the guest's driver does not notice.
extension GuestSystem {
  @Suite(.needsGuests, .needs("ethtool")) struct GuestReconnection {
    /// Guests in which any two of ring layout, number of queues and side of the socket meet in all combinations, and a
    /// host.
    private final class Network {
      let lab: Lab
      let guests: [Guest]
      let host: Host

      static let cards = [
        CardOptions(queues: 1, role: .connects), CardOptions(queues: 4, role: .listens),
        CardOptions(layout: .packed, queues: 1, role: .listens),
        CardOptions(layout: .packed, queues: 4, role: .connects),
      ]

      init(_ lab: Lab) throws {
        self.lab = lab
        guests = try Self.cards.enumerated().map { number, card in
          try lab.addGuest("vm\(number + 1)", role: card.role, options: card.guest)
        }
        host = try lab.addHost("veth1")
        try launchGuests()
        try bootGuests()
        try check()
      }

      func launchGuests() throws { for guest in guests { try guest.launch() } }

      /// A guest with one processor uses one queue, until told otherwise.
      func bootGuests() throws {
        for guest in guests {
          try guest.waitUntilReady()
          let queues = guest.options.queues
          if queues > 1 { try guest.must("ethtool -L eth0 combined \(queues)") }
        }
      }

      func killGuests() { for guest in guests { guest.kill() } }

      func killSwitch() throws {
        lab.switchd?.signal(SIGKILL)
        #expect(try lab.switchd?.wait(within: 10) == 128 + SIGKILL)
        #expect(try host.misses(guests[0]))
      }

      /// Everybody reaches the host, and bytes arrive as they were, from each guest and to it.
      func check() throws {
        for guest in guests {
          try host.reaches(guest)
          try guest.reaches(host)
        }
        for (source, sink) in zip(guests, guests.dropFirst() + guests.prefix(1)) {
          try #require(try Transfer.send(megabytes: 1, from: source, to: sink).isIntact)
        }
      }

      /// Says how long after `body`, which ends when all are up again, each guest answered the host. That is shown, and
      /// not tested.
      func measure(_ interruption: String, _ body: () throws -> Void) throws {
        let streams = try guests.map { try PingStream(from: host, to: $0) }
        try body()
        let up = PingStream.now()
        try check()
        let gaps = try zip(guests, streams).map { guest, stream in
          let answered = stream.firstAnswer(after: up).map { "\(Int(($0 - up) * 1000)) ms" } ?? "nothing"
          try stream.end()
          return "\(guest.options.role) \(answered)"
        }
        print("QEMU, \(interruption): pings answered after \(gaps.joined(separator: ", "))")
      }
    }

    @Test func `Guests go on when the switch, a connection or all is back`() throws {
      try withLab { lab in
        let network = try Network(lab)
        try Matrix.check(Guest.frontEnd, ["switch killed and back"]) {
          // Idle, and with frames under way in both directions.
          try network.killSwitch()
          try lab.startSwitch()
          try network.check()
          let floods = try network.guests.map {
            try network.host.namespace.start(["ping", "-n", "-q", "-f", "-s", "1000", $0.address])
          }
          try network.measure("switch killed") {
            try network.killSwitch()
            try lab.startSwitch()
          }
          for flood in floods { flood.kill() }
        }
        try Matrix.check(Guest.frontEnd, ["switch stopped and started"]) {
          try network.measure("switch stopped") {
            lab.switchd?.signal(SIGTERM)
            try #require(try lab.switchd?.wait(within: 10) == 0)
            try lab.startSwitch()
          }
        }
        try Matrix.check(Guest.frontEnd, ["connection dropped and back"]) {
          try network.measure("connection dropped") {
            for (number, guest) in network.guests.enumerated() {
              try lab.ctl("del-port", "vm\(number + 1)")
              try lab.addVhostPort("vm\(number + 1)", role: guest.options.role)
            }
          }
        }
        try Matrix.check(Guest.frontEnd, ["both restarted, switch first"]) {
          try network.killSwitch()
          network.killGuests()
          try lab.startSwitch()
          try network.launchGuests()
          try network.bootGuests()
          try network.check()
        }
        try Matrix.check(Guest.frontEnd, ["both restarted, front-end first"]) {
          try network.killSwitch()
          network.killGuests()
          try network.launchGuests()
          try lab.startSwitch()
          try network.bootGuests()
          try network.check()
        }
      }
    }
  }
}
