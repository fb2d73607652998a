import Seeded
import Packet
import PacketTesting
import Testing

@Suite struct ChecksumTests {
  @Test func sumsPiecesWhereverTheyAreCut() {
    var g = SeededRandom(seed: 1)
    for _ in 0..<2000 {
      let bytes = g.bytes(.random(in: 0...300, using: &g))
      var pieces: [[UInt8]] = []
      var start = 0
      while start < bytes.count {
        let length = Int.random(in: 0...90, using: &g)
        let end = min(bytes.count, start + length)
        pieces.append(Array(bytes[start..<end]))
        start = end
      }
      #expect(FrameFixture.checksum(pieces) == naiveChecksum(bytes))
    }
  }

  @Test func doesNotOverflow() {
    #expect(
      FrameFixture.checksum([[UInt8]](repeating: [UInt8](repeating: 0xFF, count: 65_535), count: 50))
        == naiveChecksum([UInt8](repeating: 0xFF, count: 65_535 * 50)))
  }

  @Test func aChangedFieldUpdatesTheChecksum() {
    var g = SeededRandom(seed: 2)
    for _ in 0..<500 {
      var bytes = g.bytes(40)
      let old = naiveChecksum(bytes)
      let offset = 2 * Int.random(in: 0..<20, using: &g)
      let before = UInt16(number(bytes, offset))
      bytes.replaceSubrange(offset..<offset + 2, with: g.bytes(2))
      let updated = Checksum.updated(old, replacing: before, with: UInt16(number(bytes, offset)))
      #expect(updated == naiveChecksum(bytes))
    }
  }
}
