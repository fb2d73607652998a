import Testing

// QEMU guests on vhost-user ports, in both roles, with every other kind of port.
extension GuestSystem {
  @Suite(.needsGuests) struct Guests {
    @Test func `Guests in both socket roles ping and exchange TCP with each other, a TAP and a veth`() throws
    {
      try withLab { lab in
        let first = try lab.addGuest("vm1", role: .connects)
        let second = try lab.addGuest("vm2", role: .listens)
        let tap = try lab.addTAP("tap1")
        let veth = try lab.addHost("veth1")
        try first.launch()
        try second.launch()
        try first.waitUntilReady()
        try second.waitUntilReady()

        let stations: [any Station] = [first, second, tap, veth]
        for source in stations {
          for sink in stations where sink.address != source.address {
            try source.reaches(sink)
            #expect(try source.ping(sink, size: 1400).succeeded, "\(source.address) to \(sink.address)")
          }
        }
        #expect(try Transfer.send(megabytes: 8, from: first, to: second).isIntact)
        #expect(try Transfer.send(megabytes: 8, from: first, to: tap).isIntact)
        #expect(try Transfer.send(megabytes: 8, from: second, to: veth).isIntact)
        #expect(try Transfer.send(megabytes: 8, from: tap, to: second).isIntact)
        #expect(try Transfer.send(megabytes: 8, from: veth, to: first).isIntact)
      }
    }

    @Test(.needs("ethtool"))
    func `A guest finds what its port's options say, and the row shows it coming and going`() throws {
      try withLab { lab in
        var options = GuestOptions(device: ["host_mtu=1400"], queues: 2, programs: ["ethtool"])
        let guest = try lab.addGuest(
          "vm1", settings: ["mtu_request=1400", "options:queues=2", "options:polling=always"],
          options: options)
        let host = try lab.addHost("veth1")
        #expect(try lab.interface("vm1", "link_state") == "down")
        options.queues = 4
        let greedy = try Guest(
          socket: lab.socket("vm1"), mac: guest.mac, address: guest.address, options: options)
        try greedy.launch()
        try eventually("QEMU does not get four queue pairs") { greedy.log.contains("asking more queues") }
        greedy.kill()

        try guest.start()
        try eventually("the link is up") { try lab.interface("vm1", "link_state") == "up" }
        #expect(try guest.must("cat /sys/class/net/eth0/mtu") == "1400")
        try guest.must("ethtool -L eth0 combined 2")
        try host.reaches(guest)
        func sum(_ name: String) throws -> Int {
          let statistics = try lab.statistics("vm1")
          return (0..<2).reduce(0) { $0 + statistics["rx_q\($1)_\(name)", default: 0] }
        }
        /// Exchanges frames until the row tells of them.
        func exchange() throws {
          let before = try sum("packets")
          #expect(try host.ping(guest, count: 20).succeeded)
          try eventually("the row tells of the frames") { try sum("packets") >= before + 20 }
        }
        try exchange()
        // Nobody has to wake a switch that never sleeps.
        let kicks = try sum("kicks")
        try exchange()
        #expect(try sum("kicks") == kicks)
        #expect(try lab.interface("vm1", "status:polling") == "always")
        guest.kill()
        try eventually("the link is down") { try lab.interface("vm1", "link_state") == "down" }
      }
    }
  }
}
