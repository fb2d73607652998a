import Testing

// SECURITY: a bridge two of whose ports are one cable. A broadcast would go round for ever, in both directions.
extension System {
  @Suite("Row 27: storms") struct Storms {
    @Test func `Row 27: a loop stays within the storm limit, and other VLANs go on`() throws {
      try withLab { lab in
        let (limit, burst) = (200, 50)
        try lab.namespace.run(["ip", "link", "add", "loop0", "type", "veth", "peer", "name", "loop1"])
        for device in ["loop0", "loop1"] { try lab.namespace.run(["ip", "link", "set", device, "up"]) }
        let began = now()
        for device in ["loop0", "loop1"] {
          try lab.ctl(
            "add-port", "br0", device, "tag=5", "--", "set", "Interface", device,
            "other_config:storm-limit=\(limit)", "other_config:storm-limit-burst=\(burst)")
        }
        let first = try lab.addHost("veth1", columns: ["tag=6"])
        let second = try lab.addHost("veth2", columns: ["tag=6"])
        let source = try lab.addHost("veth3", columns: ["tag=5"])
        try first.reaches(second)

        // Nobody has the address: each attempt is a broadcast, and one is enough.
        try eventually("the loop exceeds its limit") {
          _ = try source.namespace.attempt(["ping", "-n", "-c", "1", "-W", "1", "10.0.0.250"])
          return try ["loop0", "loop1"].contains { try stormDrops(lab, $0) > 0 }
        }
        #expect(try first.ping(second, count: 20).succeeded)

        for device in ["loop0", "loop1"] {
          // The counters are read before the clock: this is the most the limit can have let through.
          let received = try live(lab, device, "rx_packets")
          let flooded = try received - live(lab, device, "rx_dropped")
          let most = burst + Int(Double(limit) * (now() - began)) + 1
          #expect(flooded <= most, "\(device): \(flooded) frames flooded, \(most) allowed")
        }
        #expect(try live(lab, "veth1", "rx_drop_storm_limit") == 0)
        #expect(try first.ping(second, count: 5).succeeded)
      }
    }

    private func stormDrops(_ lab: Lab, _ port: String) throws -> Int {
      try live(lab, port, "rx_drop_storm_limit")
    }

    /// A counter of the running switch, as it is now.
    private func live(_ lab: Lab, _ port: String, _ counter: String) throws -> Int {
      for line in try lab.ctl("--format=csv", "--no-headings", "stats", port).split(separator: "\n") {
        let cells = line.split { $0 == " " || $0 == "," }.map(String.init)
        if cells.count == 2, cells[0] == counter, let value = Int(cells[1]) { return value }
      }
      throw HarnessError("\(port) has no counter \(counter)")
    }
  }
}
