import Flow
import FlowTesting
import PacketTesting
import Seeded
import Testing

@testable import Datapath

/// SECURITY: whatever a guest sends, its key is what a plain parser says.
@Suite("Row 23: keys of frames") struct KeyExtractionTests {
  private let guarded = GuardedBytes()

  struct Extraction {
    var words = FlowWords()
    var extent: KeyExtent
  }

  /// The key found in the first `count` bytes of `frame`, which nobody can read beyond.
  private func extract(_ frame: [UInt8], count: Int) -> Extraction {
    let header = guarded.place(frame, count: count)
    var key = [UInt64](repeating: 0xDEAD_BEEF_DEAD_BEEF, count: FlowWords.packetCount)
    key[0] = 0
    let extent = key.withUnsafeMutableBufferPointer {
      KeyExtraction.extract(header, count: count, frameLength: frame.count, into: $0.baseAddress!)
    }
    var extraction = Extraction(extent: extent)
    for index in 0..<extent.words { extraction.words[index] = key[index] }
    return extraction
  }

  /// Compares at every cut; returns whether the snapshot was enough.
  private func check(_ frame: [UInt8]) {
    let expected = ReferenceParser(frame)
    for count in 0...min(frame.count, 250) {
      let found = extract(frame, count: count)
      if found.extent.needsMore {
        guard count < min(frame.count, HeaderWalk.walkedLength) else {
          Issue.record("asks for more than there is: \(frame), \(count)")
          return
        }
        continue
      }
      guard found.words == expected.words, found.extent.isCut == expected.isCut,
        found.extent.transportOffset == (expected.transportOffset ?? 0),
        frame.count < 14 || found.extent.networkOffset == expected.networkOffset
      else {
        Issue.record("\(frame), \(count) bytes: \(found), not \(expected)")
        return
      }
    }
  }

  @Test(arguments: 0..<8)
  func `Row 23: keys of random frames equal a plain parser's, at every cut`(seed: UInt64) {
    var g = SeededRandom(seed: seed)
    for _ in 0..<250 { check(RandomFrame.make(&g)) }
  }

  @Test(arguments: 0..<8)
  func `Row 23: keys of damaged frames equal a plain parser's, at every cut`(seed: UInt64) {
    var g = SeededRandom(seed: 100 + seed)
    for _ in 0..<250 { check(RandomFrame.mutated(RandomFrame.make(&g), &g)) }
  }

  @Test func `Row 23: keys of TCP and UDP packets equal a plain parser's, at every cut`() {
    var g = SeededRandom(seed: 7)
    for _ in 0..<300 {
      let frame = ReferencePacket.random(&g, payload: .random(in: 0...40, using: &g)).finished
      check(frame)
      check(RandomFrame.mutated(frame, &g))
    }
  }

  @Test func `Row 23: frames shorter than Ethernet, empty ones too, have an empty key`() {
    var g = SeededRandom(seed: 3)
    for count in 0..<14 {
      let frame = g.bytes(count)
      check(frame)
      #expect(extract(frame, count: count).words.isZero)
    }
  }

  @Test func `Row 23: a jumbo frame, and more padding than IP can have`() {
    var g = SeededRandom(seed: 4)
    for _ in 0..<20 {
      check(RandomFrame.make(&g) + [UInt8](repeating: 0, count: .random(in: 1600...65_500, using: &g)))
      check(RandomFrame.make(&g) + [UInt8](repeating: 0, count: 65_536))
    }
  }

  @Test func `Of a plain TCP or UDP frame the snapshot says everything`() {
    var g = SeededRandom(seed: 5)
    for _ in 0..<500 {
      var packet = ReferencePacket.random(&g, payload: 100)
      packet.networkOptions = []
      packet.firstExtension = nil
      if packet.isIPv6 { packet.isTCP = false }
      if packet.isIPv6 { packet.tags = [] }
      #expect(!extract(packet.finished, count: 64).extent.needsMore)
    }
  }

  @Test func `How many words a key has follows from its first six`() {
    var g = SeededRandom(seed: 6)
    for _ in 0..<4000 {
      let frame = RandomFrame.mutated(RandomFrame.make(&g), &g)
      let found = extract(frame, count: min(frame.count, 240))
      let type = found.words[.ethernetType]
      let message = found.words[.icmpv6Type]
      let isNeighbor =
        found.words[.ipProtocol] == 58 && (message == 135 || message == 136) && found.words[.icmpv6Code] == 0
      switch type {
      case 0x0806, 0x8035: #expect(found.extent.words == 15)
      case 0x86DD: #expect(found.extent.words == (isNeighbor ? 15 : 11))
      default: #expect(found.extent.words == 6)
      }
    }
  }

  @Test func `The bridge and in_port stay, also when a key is extracted again from more bytes`() {
    var g = SeededRandom(seed: 8)
    for _ in 0..<500 {
      let frame = RandomFrame.make(&g)
      var key = [UInt64](repeating: 0, count: FlowWords.packetCount)
      key[0] = 0x1234_5678_9ABC_0000
      for count in [.random(in: 0..<30, using: &g), frame.count] {
        key.withUnsafeMutableBufferPointer { key in
          frame.withUnsafeBytes {
            _ = KeyExtraction.extract(
              $0.baseAddress!, count: min(count, frame.count), frameLength: frame.count,
              into: key.baseAddress!)
          }
        }
      }
      #expect(key[0] >> 16 == 0x1234_5678_9ABC)
      #expect(UInt128(key[0] & 0xFFFF) == ReferenceParser(frame).words[.ethernetType])
    }
  }

  @Test func `A tool gets the whole key of a whole frame`() {
    var g = SeededRandom(seed: 9)
    for _ in 0..<500 {
      let frame = RandomFrame.mutated(RandomFrame.make(&g), &g)
      var expected = ReferenceParser(frame).words
      expected[.inPort] = 0xFFFE
      #expect(FlowFrame.key(of: frame, inPort: .local) == expected)
    }
  }
}
