import Packet
import PacketTesting
import Seeded
import Testing

/// Random packets with random requests toward random receivers: what comes out is, byte for byte, what the reference
/// makes of them.
@Suite struct OffloadPropertyTests {
  /// A packet, what its sender asks for, what its receiver can do.
  private struct Case {
    var packet: ReferencePacket
    /// nil when no segmentation is asked for.
    var size: Int?
    var request: Offload
    var receiver: OffloadCapabilities

    init(_ g: inout SeededRandom) {
      packet = .random(&g, payload: .random(in: 0...3000, using: &g))
      receiver = OffloadCapabilities(rawValue: .random(in: 0...63, using: &g))
      // What no device can do without: segmentation implies checksums (virtio 1.3 §5.1.3.1).
      if Bool.random(using: &g) { receiver.insert(.checksum) }
      if !receiver.contains(.checksum) { receiver = [] }
      packet.hasChecksum = packet.isTCP || packet.isIPv6 || .random(using: &g)
      switch Int.random(in: 0...2, using: &g) {
      case 0: request = .none
      case 1: request = packet.hasChecksum ? packet.checksumRequest : .none
      default:
        let size = Int.random(in: 3...1500, using: &g)
        request = packet.segmentationRequest(size: size)
        if packet.isTCP && Bool.random(using: &g) {
          request.word |= UInt64(Offload.GSO.ecn) << 8
        }
        if !packet.hasChecksum { request = Offload(flags: 0, gsoType: packet.gsoType, gsoSize: UInt16(size)) }
        self.size = size
      }
    }

    /// The frame as sent.
    var frame: [UInt8] { request.needsChecksum ? packet.bytes : packet.finished }

    /// Whether the receiver takes the frame unchanged, decided without the code under test.
    private var isTaken: Bool {
      if request.needsChecksum && !receiver.contains(.checksum) { return false }
      guard let size else { return true }
      if request.gsoType & Offload.GSO.ecn != 0 && !receiver.contains(.ecn) { return false }
      guard packet.isTCP else { return receiver.contains(.udp) && frame.count <= size * 128 }
      return receiver.contains(packet.isIPv6 ? .tcp6 : .tcp4)
    }

    var expected: [(bytes: [UInt8], offload: Offload)] {
      if isTaken { return [(frame, request)] }
      guard let size else { return [(packet.finished, .none)] }
      return packet.segments(size: size).map { segment in
        segment.hasChecksum && receiver.contains(.checksum)
          ? (segment.bytes, segment.checksumRequest) : (segment.finished, .none)
      }
    }
  }

  @Test func softwareDoesWhatTheReferenceDoes() {
    var g = SeededRandom(seed: 30)
    var resolved = 0
    for number in 0..<3000 {
      let example = Case(&g)
      let expected = example.expected
      let cuts = (0..<Int.random(in: 0...20, using: &g)).map { _ in Int.random(in: 1...200, using: &g) }
      let result = FrameFixture.resolve(
        example.frame, example.request, toward: example.receiver, cuts: cuts,
        snapshotLength: [14, 54, 60, 64].randomElement(using: &g)!)
      guard expected.count <= SoftwareOffload.maximumSegments else {
        #expect(result.outcome == .malformed, "case \(number)")
        continue
      }
      resolved += 1
      let isEqual = result.frames.elementsEqual(expected) { $0.bytes == $1.bytes && $0.offload == $1.offload }
      #expect(isEqual, "case \(number): \(example.request), receiver \(example.receiver)")
    }
    #expect(resolved > 2500)
  }

  @Test func theLengthAnMTULimitsIsThatOfTheLongestSegment() {
    var g = SeededRandom(seed: 31)
    for number in 0..<2000 {
      let example = Case(&g)
      let lengths = (example.size.map { example.packet.segments(size: $0) } ?? [example.packet])
        .map { $0.bytes.count - ($0.tags.isEmpty ? 14 : 18) }
      let length = FrameFixture.networkLength(
        example.frame, example.request, snapshotLength: [22, 54, 64].randomElement(using: &g)!)
      #expect(length == lengths.max(), "case \(number)")
    }
  }
}
