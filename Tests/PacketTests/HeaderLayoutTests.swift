import Seeded
import Packet
import PacketTesting
import Testing

@Suite struct HeaderLayoutTests {
  @Test func findsTheHeadersOfWholeFrames() throws {
    var g = SeededRandom(seed: 3)
    for _ in 0..<1000 {
      let packet = ReferencePacket.random(&g, payload: .random(in: 0...20, using: &g))
      let layout = try #require(FrameFixture.layout(packet.bytes))
      #expect(layout.tagCount == packet.tags.count)
      #expect(layout.networkOffset == packet.networkOffset)
      #expect(layout.network == (packet.isIPv6 ? .ipv6 : .ipv4))
      #expect(layout.transportProtocol == (packet.isTCP ? 6 : 17))
      #expect(layout.transportOffset == packet.transportOffset)
      #expect(layout.payloadOffset == packet.payloadOffset)
      #expect(!layout.isTruncated && !layout.isFragment)
    }
  }

  @Test func whatIsCutOffIsNotThere() {
    var g = SeededRandom(seed: 4)
    for _ in 0..<100 {
      let packet = ReferencePacket.random(&g, payload: 0)
      for count in 0..<packet.bytes.count {
        let layout = FrameFixture.layout(Array(packet.bytes.prefix(count)))
        #expect((layout == nil) == (count < 14))
        if let layout {
          #expect(layout.isTruncated)
          #expect(layout.payloadOffset == nil)
          #expect(layout.transportOffset ?? 0 <= count)
        }
      }
    }
  }

  @Test func arbitraryBytesStayInBounds() {
    var g = SeededRandom(seed: 5)
    for _ in 0..<20_000 {
      var bytes = g.bytes(.random(in: 0...128, using: &g))
      if bytes.count > 20 {
        bytes.replaceSubrange(12..<14, with: [[8, 0], [0x86, 0xDD], [0x81, 0]].randomElement(using: &g)!)
        bytes[14] = [0x45, 0x60, 0x4F, bytes[14]].randomElement(using: &g)!
      }
      guard let layout = FrameFixture.layout(bytes) else { continue }
      #expect(layout.payloadOffset ?? 0 <= bytes.count)
      #expect(layout.transportOffset ?? 0 <= bytes.count)
    }
  }

  @Test func laterFragmentsHaveNoTransportHeader() throws {
    var g = SeededRandom(seed: 6)
    var packet = ReferencePacket.random(&g, payload: 40)
    packet.isIPv6 = false
    packet.tags = []
    packet.source = [10, 0, 0, 1]
    packet.destination = [10, 0, 0, 2]
    packet.networkOptions = []
    var bytes = packet.bytes
    bytes[20] = 0x20
    var layout = try #require(FrameFixture.layout(bytes))
    #expect(layout.isFragment && layout.transportOffset == 34)
    bytes[21] = 5
    layout = try #require(FrameFixture.layout(bytes))
    #expect(layout.isFragment && layout.transportOffset == nil)
  }

  @Test func aThirdTagIsPayload() throws {
    let tags: [UInt8] = [0x88, 0xA8, 0, 1, 0x81, 0, 0, 2, 0x81, 0, 0, 3, 8, 0]
    let layout = try #require(FrameFixture.layout([UInt8](repeating: 2, count: 12) + tags))
    #expect(layout.tagCount == 2)
    #expect(layout.etherType == VLANTag.TPID.customer)
    #expect(layout.network == nil)
  }
}
