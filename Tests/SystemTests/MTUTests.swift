import Packet
import PacketTesting
import Testing

// What a port's MTU lets through, and what it does not.
extension System {
  @Suite(.needs("ethtool", "tshark")) struct MTUs {
    /// The default, then jumbo frames asked for while everything runs.
    @Test func `Frames up to a port's MTU pass, longer ones are a named drop`() throws {
      try withLab { lab in
        let matrix = try OffloadMatrix(OffloadLab(lab))
        try checkDrops(matrix, mtu: 1500)
        try matrix.lab.setMTU(9000)
        for tagging in [Tagging.trunkToTrunk, .untagged] { try matrix.run(tagging, mtu: 9000) }
        try checkDrops(matrix, mtu: 9000)
        try matrix.checkWithTshark()
        for failure in matrix.failures.prefix(100) { Issue.record("\(failure)") }
      }
    }

    /// Each sink counts each frame that is a byte too long, and gets none of them.
    private func checkDrops(_ matrix: OffloadMatrix, mtu: Int) throws {
      let source = matrix.lab.sources[0]
      try matrix.lab.prepare(.untagged)
      for sink in matrix.lab.sinks {
        let before = try matrix.lab.counters(sink.port)["tx_drop_exceeds_mtu"] ?? 0
        var sent = 0
        for tags in [[], [[UInt8].tag(0, priority: 1)]] {
          for example in OffloadCase.tooLong(mtu: mtu) {
            let packet = example.packet(from: source, to: sink.mac, tags: tags, number: matrix.nextNumber())
            try source.send(packet, example.offload(packet), size: nil)
            sent += 1
          }
        }
        try eventually("\(sink.port) has counted \(sent) frames longer than \(mtu)") {
          try matrix.lab.counters(sink.port)["tx_drop_exceeds_mtu"] ?? 0 == before + sent
        }
      }
      try matrix.findStrays()
    }
  }
}
