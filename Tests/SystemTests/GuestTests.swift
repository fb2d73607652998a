import Testing

// QEMU guests on vhost-user ports, in both roles, with every other kind of port.
extension System {
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

    @Test func `A guest learns its MTU from the port`() throws {
      try withLab { lab in
        try lab.ctl(
          "add-port", "br0", "vm1", "--", "set", "Interface", "vm1", "type=vhost-user", "mtu_request=1400")
        let guest = try Guest(
          socket: lab.socket("vm1"), mac: "52:54:00:00:00:01", address: "10.0.0.1",
          options: .init(device: ["host_mtu=1400"]))
        try withExtendedLifetime(guest) {
          try guest.start()
          #expect(try guest.must("cat /sys/class/net/eth0/mtu") == "1400")
        }
      }
    }

    @Test func `The row shows a guest coming and going`() throws {
      try withLab { lab in
        let guest = try lab.addGuest("vm1")
        #expect(try lab.interface("vm1", "link_state") == "down")
        try guest.start()
        try eventually("the link is up") { try lab.interface("vm1", "link_state") == "up" }
        guest.kill()
        try eventually("the link is down") { try lab.interface("vm1", "link_state") == "down" }
      }
    }
  }
}
