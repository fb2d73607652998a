import Glibc
import Testing

// A running guest moves from one QEMU to another, each on a port of its own.
extension GuestSystem {
  @Suite(.needsGuests, .needs("ethtool")) struct Migrations {
    static let cards = [CardOptions(), CardOptions(layout: .packed, queues: 4)]

    @Test(arguments: cards)
    func `A guest moves to another port in the middle of a transfer`(card: CardOptions) throws {
      try withLab { lab in
        try Matrix.check(Guest.frontEnd, ["live migration"]) {
          try move(card, from: lab, to: lab, name: "ports of one switch, \(card.layout)")
        }
      }
    }

    @Test func `A guest moves to another switch in the middle of a transfer`() throws {
      try withLab { lab in
        try withLab { other in
          try lab.namespace.addVeth("trunk0", peer: "trunk1", in: other.namespace)
          try other.namespace.run(["ip", "link", "set", "trunk1", "up"])
          try lab.ctl("add-port", "br0", "trunk0")
          try other.ctl("add-port", "br0", "trunk1")
          try Matrix.check(Guest.frontEnd, ["migration to another switch"]) {
            try move(CardOptions(), from: lab, to: other, name: "two switches")
          }
        }
      }
    }

    /// A guest that does not announce itself, and has nothing to say: its QEMU asks the switch to (SEND_RARP).
    @Test func `The switch announces a guest that does not do so itself`() throws {
      try withLab { lab in
        let options = GuestOptions(device: ["guest_announce=off"])
        let guest = try lab.addGuest("vm1", options: options)
        let host = try lab.addHost("veth1")
        let destination = try lab.addDestination("vm2", of: guest)
        try guest.start()
        try destination.launch()
        try host.reaches(guest)
        try eventually("the switch knows the guest at its first port") {
          try place(of: guest, in: lab) == "vm1"
        }
        try Migration.run(from: guest, to: destination)
        try eventually("the switch knows the guest at its new port") {
          try place(of: guest, in: lab) == "vm2"
        }
        try host.reaches(destination)
      }
    }

    private func move(_ card: CardOptions, from lab: Lab, to other: Lab, name: String) throws {
      let guest = try lab.addGuest("vm1", role: card.role, options: card.guest)
      let sender = try lab.addHost("veth1")
      let watcher = try lab.addHost("veth2")
      let destination = try other.addDestination("vm1b", of: guest)
      try guest.start()
      try destination.launch()
      if card.queues > 1 { try guest.must("ethtool -L eth0 combined \(card.queues)") }
      try sender.reaches(guest)
      try Migration.keepSafe(guest)

      // Slow enough to last until the guest is elsewhere.
      try sender.limit("32mbit")
      let transfer = try SlowTransfer(megabytes: 48, from: sender, to: guest)
      let pings = try PingStream(from: watcher, to: guest)
      let migration = try Migration.run(from: guest, to: destination)
      try #require(transfer.isRunning, "the transfer ended before the guest had moved")
      guest.kill()
      try watcher.reaches(destination)
      try sender.removeLimit()
      try #require(try transfer.isIntact(at: destination))
      let seen = try pings.end()
      print(
        "migration between \(name): QEMU was down \(migration.downtime) ms of \(migration.total) ms; \(seen)")
      try #require(try place(of: guest, in: other) == "vm1b")
      try #require(try Transfer.send(megabytes: 1, from: destination, to: watcher).isIntact)
    }

    /// The port behind which a switch has learned the guest.
    private func place(of guest: Guest, in lab: Lab) throws -> String? {
      let line = try lab.ctl("fdb", "br0").split(separator: "\n").first { $0.contains(guest.mac) }
      // Port, VLAN, MAC, age, interface, bridge.
      return line?.split(separator: " ").dropFirst(4).first.map(String.init)
    }
  }
}
