import Testing
import Virtio

// What a guest negotiates must not matter to those it talks to.
extension GuestSystem {
  @Suite(.needsGuests, .needs("ethtool")) struct OptionMatrix {
    @Test func `Any two options meet in all combinations`() {
      let levels = [3, 2, 2, 4]
      let rows = Pairwise.rows(levels: levels)
      let covered = Set(rows.flatMap { Pairwise.pairs(of: $0) })
      for first in levels.indices {
        for second in levels.indices.dropFirst(first + 1) {
          for level in 0..<levels[first] * levels[second] {
            let pair = Pairwise.Pair(
              factors: [first, second], levels: [level % levels[first], level / levels[first]])
            #expect(covered.contains(pair))
          }
        }
      }
      #expect(rows.count < 20, "greedy, but not a full product")
    }

    /// Two guests at a time, which boot beside each other.
    @Test(arguments: Array(stride(from: 0, to: CardOptions.rows.count, by: 2)))
    func `Guests with these options exchange frames with a host and each other`(first: Int) throws {
      let rows = Array(CardOptions.rows[first..<min(first + 2, CardOptions.rows.count)])
      try withLab { lab in
        let guests = try rows.indices.map {
          try lab.addGuest("vm\($0)", role: rows[$0].role, options: rows[$0].guest)
        }
        let host = try lab.addHost("veth1")
        for guest in guests { try guest.launch() }
        for guest in guests { try guest.waitUntilReady() }

        for (index, (row, guest)) in zip(rows, guests).enumerated() {
          try Matrix.check(Guest.frontEnd, row.matrixFeatures) {
            if row.queues > 1 { try guest.must("ethtool -L eth0 combined \(row.queues)") }
            try guest.reaches(host)
            try host.reaches(guest)
            try checkStatus(lab, "vm\(index)", row)
            try #require(try host.ping(guest, size: 1400).succeeded, "\(row)")
            try #require(try Transfer.send(megabytes: 1, from: guest, to: host).isIntact, "\(row)")
            try #require(try Transfer.send(megabytes: 1, from: host, to: guest).isIntact, "\(row)")
          }
        }
        guard guests.count == 2 else { return }
        #expect(try Transfer.send(megabytes: 1, from: guests[0], to: guests[1]).isIntact, "\(rows)")
        #expect(try Transfer.send(megabytes: 1, from: guests[1], to: guests[0]).isIntact, "\(rows)")
      }
    }

    /// The port's row says what the guest agreed to.
    private func checkStatus(_ lab: Lab, _ port: String, _ row: CardOptions) throws {
      let features = VirtioFeatures(rawValue: try lab.features(port))
      try #require(features.isSuperset(of: row.features.wanted), "\(row)")
      try #require(features.isDisjoint(with: row.features.unwanted), "\(row)")
      let size = try lab.interface(port, "status:vring_0_size").filter { $0 != "\"" }
      try #require(size == "\(row.ringSize)", "\(row)")
    }
  }
}
