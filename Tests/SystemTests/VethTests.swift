import Testing

// Existing kernel interfaces as ports, with the offloads Linux gives them.
extension System {
  @Suite(.needs("socat", "iperf3", "ethtool")) struct Veth {
    @Test func `TCP between two namespaces with default offloads`() throws {
      try withLab { lab in
        let first = try lab.addHost("veth1")
        let second = try lab.addHost("veth2")
        try first.reaches(second)
        #expect(try first.namespace.run(["ethtool", "-k", "eth0"]).contains("tcp-segmentation-offload: on"))
        #expect(try Transfer.send(megabytes: 64, from: first, to: second).isIntact)
        #expect(try Transfer.send(megabytes: 64, from: second, to: first).isIntact)
      }
    }

    @Test func `Sustained TCP both ways at once loses no connection`() throws {
      try withLab { lab in
        let first = try lab.addHost("veth1")
        let second = try lab.addHost("veth2")
        try first.reaches(second)
        let server = try second.namespace.start(["iperf3", "-s", "-1"])
        try eventually("iperf3 listens") {
          try !second.namespace.run(["ss", "-Hltn", "sport = :5201"]).isEmpty
        }
        try first.namespace.run(["iperf3", "-c", second.address, "-t", "2", "--bidir"], within: 30)
        try server.wait(within: 10)
      }
    }

    @Test func `TCP between a port with offloads and one without`() throws {
      try withLab { lab in
        let first = try lab.addHost("veth1")
        let second = try lab.addHost("veth2")
        try second.namespace.run([
          "ethtool", "-K", "eth0", "tx", "off", "rx", "off", "tso", "off", "gso", "off",
        ])
        try lab.namespace.run([
          "ethtool", "-K", "veth2", "tx", "off", "rx", "off", "tso", "off", "gso", "off",
        ])
        try first.reaches(second)
        #expect(try Transfer.send(megabytes: 16, from: first, to: second).isIntact)
        #expect(try Transfer.send(megabytes: 16, from: second, to: first).isIntact)
      }
    }

    @Test func `TCP between a TAP and a veth`() throws {
      try withLab { lab in
        let tap = try lab.addTAP("tap1")
        let veth = try lab.addHost("veth1")
        try tap.reaches(veth)
        #expect(try Transfer.send(megabytes: 32, from: tap, to: veth).isIntact)
        #expect(try Transfer.send(megabytes: 32, from: veth, to: tap).isIntact)
      }
    }

    @Test func `Jumbo frames pass between ports that carry them`() throws {
      try withLab { lab in
        let first = try lab.addHost("veth1", mtu: 9000)
        let second = try lab.addHost("veth2", mtu: 9000)
        try first.reaches(second)
        #expect(
          try first.namespace.attempt(["ping", "-M", "do", "-c", "2", "-s", "8972", second.address]).succeeded
        )
        #expect(try Transfer.send(megabytes: 16, from: first, to: second).isIntact)
      }
    }

    @Test func `The host reaches the bridge through its local port`() throws {
      try withLab { lab in
        let host = try lab.addHost("veth1")
        try lab.namespace.configure("br0", address: "10.0.0.100/24")
        try eventually("the host pings its own bridge port") {
          try lab.namespace.ping(host.address).succeeded
        }
        #expect(try host.namespace.ping("10.0.0.100", count: 3).succeeded)
      }
    }
  }
}
