import Packet
import PacketTesting
import Testing
import Virtio

// Every kind of port sends to every kind of port, and each byte, checksum and header field that arrives is compared
// with what should: in the test itself, against packets built by the plainest means, and by tshark.
extension System {
  @Suite(.needs("ethtool", "tshark")) struct Offloads {
    private func withMatrix(mtu: Int = 1500, _ body: (OffloadMatrix) throws -> Void) throws {
      try withLab { lab in
        let matrix = try OffloadMatrix(OffloadLab(lab, mtu: mtu))
        try body(matrix)
        try matrix.checkWithTshark()
        for failure in matrix.failures.prefix(200) { Issue.record("\(failure)") }
        #expect(matrix.failures.count == 0)
      }
    }

    @Test func `Whatever any port leaves to be done is done or passed on by any other`() throws {
      try withMatrix { matrix in
        for tagging in Tagging.all { try matrix.run(tagging) }
        #expect(matrix.cellCount > 6000)
        #expect(matrix.mergedCells > 0, "the kernel has merged no segments")
      }
    }

    @Test func `A flooded frame reaches each port in the form that it takes`() throws {
      try withMatrix { matrix in
        try matrix.lab.prepare(.untagged)
        for source in matrix.lab.sources {
          for example in OffloadCase.all() where example.isPossible(from: source) {
            try matrix.flood(example, from: source)
          }
        }
        try matrix.findStrays()
      }
    }

    @Test func `A burst of all kinds of frames reaches all kinds of ports`() throws {
      try withMatrix { matrix in
        for tagging in Tagging.all {
          let cases = OffloadCase.all(mtu: tagging.mtu)
          try matrix.lab.prepare(tagging)
          for start in 0..<14 {
            let examples = (0..<32).map { cases[(start * 5 + $0 * 3) % cases.count] }
            try matrix.burst(examples, tagging, from: matrix.lab.sources[0])
          }
          try matrix.findStrays()
        }
      }
    }

    /// A tag that a kernel holds beside the frame has to be put back when a TAP hands the frame over.
    @Test func `Tagged frames come in whole through a Linux bridge and a TAP`() throws {
      try withMatrix { matrix in
        try matrix.lab.prepare(.trunkToTrunk)
        let source = try matrix.lab.bridgeTAP()
        for sink in matrix.lab.sinks {
          for example in OffloadCase.all() where example.isPossible(from: source) {
            try matrix.run(example, .trunkToTrunk, from: source, to: sink)
          }
        }
        try matrix.findStrays()
      }
    }

    @Test func `IPv4 fragmentation is not offered to guests and is a named drop`() throws {
      try withMatrix { matrix in
        try matrix.lab.prepare(.untagged)
        let (source, sink) = (matrix.lab.sources[0], matrix.lab.sinks[0])
        let fragmentation: UInt64 = 1 << 10 | 1 << 14  // VIRTIO_NET_F_GUEST_UFO, VIRTIO_NET_F_HOST_UFO
        #expect(try matrix.lab.offeredFeatures().rawValue & fragmentation == 0)
        let example = OffloadCase(
          name: "UFO", isIPv6: false, isTCP: false, payload: 8000, request: .segments(1480))
        let packet = example.packet(from: source, to: sink.mac, tags: [], number: matrix.nextNumber())
        var request = packet.segmentationRequest(size: 1480)
        request.word = request.word & ~0xFF00 | UInt64(Offload.GSO.udpFragment) << 8
        try source.send(packet.bytes, request)
        try eventually("it is counted") { try matrix.lab.counters(source.port)["rx_drop_bad_offload"] == 1 }
        // Nothing of it arrives before what is sent next.

        try matrix.run(OffloadCase.all()[0], .untagged, from: source, to: sink)
        try matrix.findStrays()
      }
    }
  }
}
