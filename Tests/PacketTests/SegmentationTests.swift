import Seeded
import Packet
import PacketTesting
import Testing

/// A request that a frame of TCP contradicts.
enum OffloadLie: CaseIterable {
  case checksumStartBeyondFrame, checksumStartInEthernetHeader, checksumOffsetBeyondFrame
  case checksumOffsetElsewhere, noSegmentSize, unknownType, otherVersion, fragmentation, datagram
  case datagramWithECN, onlyECN, headerLengthBeyondFrame

  func apply(to offload: inout Offload) {
    func type(_ value: UInt64) { offload.word = offload.word & ~0xFF00 | value << 8 }
    switch self {
    case .checksumStartBeyondFrame: offload.word |= 0xFFFF << 48
    case .checksumStartInEthernetHeader: offload.word = offload.word & (1 << 48 - 1) | 4 << 48
    case .checksumOffsetBeyondFrame: offload.checksumOffset = 65_535
    case .checksumOffsetElsewhere: offload.checksumOffset += 2
    case .noSegmentSize: offload.word &= ~(0xFFFF << 32)
    case .unknownType: type(0x42)
    case .otherVersion: offload.word ^= 0x0500
    case .fragmentation: type(UInt64(Offload.GSO.udpFragment))
    case .datagram: type(UInt64(Offload.GSO.udp))
    case .datagramWithECN: type(UInt64(Offload.GSO.udp | Offload.GSO.ecn))
    case .onlyECN: type(UInt64(Offload.GSO.ecn))
    case .headerLengthBeyondFrame: offload.word |= 0xFFFF << 16
    }
  }
}

@Suite struct SegmentationTests {
  private func offload(_ packet: ReferencePacket, size: Int) -> Offload {
    Offload(
      flags: Offload.Flag.needsChecksum, gsoType: packet.gsoType, headerLength: UInt16(packet.payloadOffset),
      gsoSize: UInt16(size), checksumStart: UInt16(packet.transportOffset),
      checksumOffset: packet.isTCP ? 16 : 6)
  }

  // Small values to expect about: a failure should not print frames.
  private func outcome(_ result: FrameFixture.Result) -> SoftwareOffload.Outcome {
    precondition(result.outcome == .resolved || result.frames.isEmpty, "a refused frame emits nothing")
    return result.outcome
  }
  private func isConsistent(_ result: FrameFixture.Result) -> Bool { result.isConsistent }

  private func cuts(_ g: inout SeededRandom) -> [Int] {
    (0..<Int.random(in: 0...20, using: &g)).map { _ in Int.random(in: 1...200, using: &g) }
  }

  /// Segments put together again are the packet; each is one a receiver accepts.
  private func check(_ packet: ReferencePacket, _ frames: [[UInt8]], size: Int, checkTransport: Bool = true) {
    var payload: [UInt8] = []
    for (index, frame) in frames.enumerated() {
      #expect(packet.isValid(frame, checkTransport: checkTransport))
      let length = frame.count - packet.payloadOffset
      #expect(index + 1 == frames.count ? length <= size : length == size)
      if !packet.isIPv6 {
        #expect(number(frame, packet.networkOffset + 4) == (packet.identification + index) & 0xFFFF)
      }
      if packet.isTCP {
        let sequence = (packet.sequence + payload.count) & 0xFFFF_FFFF
        #expect(number(frame, packet.transportOffset + 4, 4) == sequence)
        var flags = packet.flags
        if index > 0 { flags &= 0x7F }
        if index + 1 < frames.count { flags &= 0xF6 }
        #expect(frame[packet.transportOffset + 13] == flags)
        #expect(
          frame[(packet.transportOffset + 20)..<packet.payloadOffset]
            == packet.bytes[(packet.transportOffset + 20)..<packet.payloadOffset])
      }
      payload += frame[packet.payloadOffset...]
    }
    #expect(payload == packet.payload)
  }

  @Test func segmentsReassembleToTheFrame() {
    var g = SeededRandom(seed: 10)
    for _ in 0..<1000 {
      let packet = ReferencePacket.random(&g, payload: .random(in: 0...4000, using: &g))
      let size = Int.random(in: 4...1500, using: &g)
      let result = FrameFixture.resolve(
        packet.bytes, offload(packet, size: size), toward: [], cuts: cuts(&g),
        snapshotLength: [54, 60, 64].randomElement(using: &g)!)
      let (isConsistent, outcome) = (result.isConsistent, result.outcome)
      #expect(isConsistent && outcome == .resolved)
      #expect(result.frames.allSatisfy { $0.offload == .none })
      check(packet, result.frames.map(\.bytes), size: size)
    }
  }

  @Test func receiversThatChecksumAreLeftTheChecksum() {
    var g = SeededRandom(seed: 11)
    for _ in 0..<300 {
      let packet = ReferencePacket.random(&g, payload: .random(in: 1...4000, using: &g))
      let result = FrameFixture.resolve(
        packet.bytes, offload(packet, size: 500), toward: .checksum, cuts: cuts(&g))
      check(packet, result.frames.map(\.bytes), size: 500, checkTransport: false)
      for frame in result.frames {
        // Completing what was left gives what would have been written.
        #expect(frame.offload.needsChecksum && !frame.offload.isGSO)
        let completed = FrameFixture.resolve(frame.bytes, frame.offload, toward: [], cuts: cuts(&g))
        #expect(isConsistent(completed))
        #expect(completed.frames.count == 1 && packet.isValid(completed.frames[0].bytes))
      }
    }
  }

  @Test func partialChecksumsAreCompleted() {
    var g = SeededRandom(seed: 12)
    for _ in 0..<500 {
      let packet = ReferencePacket.random(&g, payload: .random(in: 0...1500, using: &g))
      var offload = offload(packet, size: 0)
      offload.word &= ~0xFFFF_FF00
      let result = FrameFixture.resolve(packet.bytes, offload, toward: [], cuts: cuts(&g))
      #expect(isConsistent(result))
      #expect(outcome(result) == .resolved)
      #expect(result.frames.count == 1)
      #expect(result.frames.allSatisfy { $0.offload == .none && packet.isValid($0.bytes) })
    }
  }

  @Test func aPushedTagMovesEverything() {
    var g = SeededRandom(seed: 13)
    for _ in 0..<200 {
      var packet = ReferencePacket.random(&g, payload: .random(in: 1...3000, using: &g))
      packet.tags = Array(packet.tags.prefix(1))
      let tag: [UInt8] = [0x81, 0, 0, 7]
      let result = FrameFixture.resolve(
        packet.bytes, offload(packet, size: 700), toward: [], cuts: cuts(&g), pushing: tag)
      packet.tags.insert(tag, at: 0)
      #expect(outcome(result) == .resolved)
      check(packet, result.frames.map(\.bytes), size: 700)
    }
  }

  @Test func theLargestFramesAreSegmented() {
    var g = SeededRandom(seed: 14)
    var packet = ReferencePacket.random(&g, payload: 65_000)
    packet.isTCP = true
    let result = FrameFixture.resolve(
      packet.bytes, offload(packet, size: 1448), toward: [], cuts: [64, 4096])
    check(packet, result.frames.map(\.bytes), size: 1448)
    #expect(result.frames.count == 45)
  }

  @Test func whatAReceiverTakesIsPassedOn() {
    var g = SeededRandom(seed: 15)
    let packet = ReferencePacket.random(&g, payload: 3000)
    let request = offload(packet, size: 1000)
    let result = FrameFixture.resolve(packet.bytes, request, toward: .all)
    #expect(result.frames.count == 1)
    #expect(result.frames[0].bytes == packet.bytes && result.frames[0].offload == request)
  }

  @Test func lengthsOfZeroChecksumDatagramsAreKept() {
    var g = SeededRandom(seed: 16)
    var packet = ReferencePacket.random(&g, payload: 900)
    packet.isTCP = false
    packet.isIPv6 = false
    packet.source = [10, 0, 0, 1]
    packet.destination = [10, 0, 0, 2]
    packet.networkOptions = []
    packet.firstExtension = nil
    var bytes = packet.bytes
    bytes.replaceSubrange(packet.checksumField..<packet.checksumField + 2, with: [0, 0])
    let result = FrameFixture.resolve(
      bytes, Offload(flags: 0, gsoType: Offload.GSO.udp, gsoSize: 300), toward: [])
    #expect(result.frames.count == 3)
    for frame in result.frames {
      #expect(packet.isValid(frame.bytes, checkTransport: false))
      #expect(number(frame.bytes, packet.checksumField) == 0)
    }
  }

  @Test(arguments: OffloadLie.allCases)
  func contradictionsAreRefused(_ lie: OffloadLie) {
    var g = SeededRandom(seed: 17)
    var packet = ReferencePacket.random(&g, payload: 3000)
    packet.isTCP = true
    var request = offload(packet, size: 1000)
    lie.apply(to: &request)
    let result = FrameFixture.resolve(packet.bytes, request, toward: [])
    let isConsistent = result.isConsistent
    #expect(!isConsistent)
    // hdr_len is a hint that segmentation does not use.
    if lie == .headerLengthBeyondFrame {
      #expect(outcome(result) == .resolved)
    } else {
      #expect(outcome(result) == .malformed)
    }
  }

  @Test func tooManySegmentsAreRefused() {
    var g = SeededRandom(seed: 18)
    let packet = ReferencePacket.random(&g, payload: 1025)
    let result = FrameFixture.resolve(packet.bytes, offload(packet, size: 1), toward: [])
    #expect(outcome(result) == .malformed)
  }

  @Test func fragmentsAreNotSegmented() {
    var g = SeededRandom(seed: 19)
    var packet = ReferencePacket.random(&g, payload: 1000)
    packet.isIPv6 = false
    packet.source = [10, 0, 0, 1]
    packet.destination = [10, 0, 0, 2]
    packet.networkOptions = []
    var bytes = packet.bytes
    bytes[packet.networkOffset + 6] = 0x20
    let result = FrameFixture.resolve(bytes, offload(packet, size: 100), toward: [])
    let isConsistent = result.isConsistent
    #expect(!isConsistent && outcome(result) == .malformed)
  }

  /// Whatever is asked of whatever bytes: an answer, ranges inside the frame, no more bytes than bounded.
  @Test func arbitraryRequestsStayInBounds() {
    var g = SeededRandom(seed: 20)
    for _ in 0..<5000 {
      var bytes = ReferencePacket.random(&g, payload: .random(in: 0...600, using: &g)).bytes
      for _ in 0..<Int.random(in: 0...6, using: &g) {
        bytes[Int.random(in: 12..<min(bytes.count, 150), using: &g)] = .random(in: 0...255, using: &g)
      }
      bytes = Array(bytes.prefix(.random(in: 14...bytes.count, using: &g)))
      var request = Offload(
        word: g.next(), checksumOffset: [6, 16, UInt16(g.next() & 0xFF)].randomElement(using: &g)!)
      if Bool.random(using: &g) {
        request = Offload(
          flags: 1, gsoType: [0, 1, 4, 5, 0x81].randomElement(using: &g)!,
          gsoSize: .random(in: 0...300, using: &g),
          checksumStart: [34, 38, 54, 42, 62].randomElement(using: &g)!,
          checksumOffset: request.checksumOffset)
      }
      let result = FrameFixture.resolve(bytes, request, toward: [], cuts: cuts(&g))
      if result.outcome == .resolved {
        #expect(result.frames.count <= SoftwareOffload.maximumSegments)
        #expect(result.frames.allSatisfy { $0.bytes.count <= bytes.count })
      } else {
        #expect(result.frames.isEmpty)
      }
    }
  }
}
