import Testing

extension System {
  @Suite struct VLANs {
    @Test func `Access ports reach their own VLAN only`() throws {
      try withLab { lab in
        let first = try lab.addHost("veth1", columns: ["tag=5"])
        let second = try lab.addHost("veth2", columns: ["tag=5"])
        let third = try lab.addHost("veth3", columns: ["tag=6"])
        try first.reaches(second)
        #expect(!(try first.ping(third, count: 1).succeeded))
        try lab.ctl("set", "Port", "veth3", "tag=5")
        try first.reaches(third)
      }
    }

    @Test(.needsGuests) func `A trunk carries tagged frames of the VLANs it names`() throws {
      try withLab { lab in
        let inside = try lab.addHost("veth1", columns: ["tag=5"])
        let outside = try lab.addHost("veth2", columns: ["tag=7"])
        let guest = try lab.addGuest("vm1", columns: ["trunks=5,6"], vlan: 5)
        try guest.start()
        try guest.reaches(inside)
        #expect(try inside.ping(guest).succeeded)
        #expect(try Transfer.send(megabytes: 2, from: guest, to: inside).isIntact)
        #expect(try Transfer.send(megabytes: 2, from: inside, to: guest).isIntact)

        // The guest moves to a VLAN the trunk does not name, until it does.
        try guest.must("vconfig add eth0 7 && ip address flush dev eth0.5 && ip link set eth0.7 up")
        try guest.must("ip address add \(guest.address)/24 dev eth0.7")
        #expect(!(try guest.ping(outside, count: 1).succeeded))
        try lab.ctl("set", "Port", "vm1", "trunks=5,7")
        try guest.reaches(outside)
      }
    }

    @Test(.needsGuests) func `A port without VLANs carries whatever tag a guest puts on`() throws {
      try withLab { lab in
        let host = try lab.addHost("veth1", columns: ["tag=5"])
        let guest = try lab.addGuest("vm1", vlan: 5)
        try guest.start()
        try guest.reaches(host)
        #expect(try Transfer.send(megabytes: 2, from: guest, to: host).isIntact)
      }
    }
  }
}
