import Testing

extension System {
  @Suite struct Counters {
    @Test func `Counters agree with what was sent`() throws {
      try withLab { lab in
        let first = try lab.addHost("veth1")
        let second = try lab.addHost("veth2")
        try first.reaches(second)
        // With the neighbours known, nothing but echo requests and replies is sent.
        try pin(first, second)
        try pin(second, first)
        let before = try counters(lab)
        #expect(try first.ping(second, count: 40, size: 200).succeeded)
        let after = try counters(lab)
        for key in ["veth1 rx", "veth1 tx", "veth2 rx", "veth2 tx"] {
          #expect(after["\(key)_packets", default: 0] - before["\(key)_packets", default: 0] == 40, "\(key)")
          #expect(
            after["\(key)_bytes", default: 0] - before["\(key)_bytes", default: 0] == 40
              * (14 + 20 + 8 + 200),
            "\(key)")
        }
        for (counter, value) in after {
          let parts = counter.split(separator: " ").map(String.init)
          try eventually("the database has \(counter) \(value)") {
            try lab.counter(parts[0], parts[1]) == value
          }
        }
      }
    }

    @Test func `The MAC table shows who was heard where, and can be flushed`() throws {
      try withLab { lab in
        let first = try lab.addHost("veth1")
        let second = try lab.addHost("veth2")
        try first.reaches(second)
        let macs = try [first, second].map { try $0.namespace.run(["cat", "/sys/class/net/eth0/address"]) }
        let table = try lab.ctl("fdb", "br0")
        for (mac, port) in zip(macs, ["veth1", "veth2"]) {
          let row = try #require(
            table.split(separator: "\n").first { $0.contains(mac) }, "no \(mac) in:\n\(table)")
          #expect(row.contains(port))
        }
        try lab.ctl("del-port", "veth2")
        #expect(!(try lab.ctl("fdb", "br0").contains(macs[1])))
        try lab.ctl("fdb-flush", "br0")
        #expect(!(try lab.ctl("fdb", "br0").contains(macs[0])))
      }
    }

    private func pin(_ host: Host, _ peer: Host) throws {
      let mac = try peer.namespace.run(["cat", "/sys/class/net/eth0/address"])
      try host.namespace.run(
        ["ip", "neighbour", "replace", peer.address, "lladdr", mac, "nud", "permanent", "dev", "eth0"])
    }

    /// What the running switch says, by "PORT COUNTER".
    private func counters(_ lab: Lab) throws -> [String: Int] {
      var result: [String: Int] = [:]
      for port in ["veth1", "veth2"] {
        for line in try lab.ctl("--format=csv", "--no-headings", "stats", port).split(
          whereSeparator: \.isNewline)
        {
          let cells = line.split(separator: " ").map(String.init)
          if cells.count == 2, cells[0].hasSuffix("_packets") || cells[0].hasSuffix("_bytes") {
            result["\(port) \(cells[0])"] = Int(cells[1])
          }
        }
      }
      return result
    }
  }
}
