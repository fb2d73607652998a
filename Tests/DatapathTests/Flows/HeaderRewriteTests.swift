import Flow
import FlowTesting
import Packet
import PacketTesting
import Seeded
import Testing

@testable import Datapath

@Suite struct HeaderRewriteTests {
  private let guarded = GuardedBytes()
  private let slots = GuardedBytes()

  struct Result {
    var frame: [UInt8]
    var offload: Offload
  }

  /// `frame` rewritten, with its first `count` bytes private; nil when those are too few.
  private func write(_ rewrite: Rewrite, _ frame: [UInt8], count: Int, offload: Offload) -> Result? {
    let slot = slots.place(
      [UInt8](repeating: 0xAA, count: HeaderArena.slotLength), count: HeaderArena.slotLength)
    let header = guarded.place(frame, count: count)
    let written = withUnsafePointer(to: PreparedRewrite(rewrite)) {
      HeaderRewrite.write(
        $0, header, count: count, frameLength: frame.count, offload: offload, to: slot)
    }
    guard written.length > 0 else { return nil }
    let private_ = UnsafeRawBufferPointer(start: slot, count: written.length)
    return Result(frame: Array(private_) + frame[count...], offload: written.offload)
  }

  /// With some of the bytes private at first, and with enough of them when those are too few.
  private func write(
    _ rewrite: Rewrite, _ frame: [UInt8], offload: Offload = .none, _ g: inout SeededRandom
  ) throws -> Result {
    let count = Int.random(in: 14...min(frame.count, HeaderRewrite.longestHeader), using: &g)
    if let result = write(rewrite, frame, count: count, offload: offload) { return result }
    let most = min(frame.count, HeaderWalk.walkedLength)
    #expect(count < most)
    return try #require(write(rewrite, frame, count: most, offload: offload))
  }

  // MARK: Random rewrites

  private static let fields = Field.allCases.filter {
    $0.info.isWritable && $0.info.word < FlowWords.packetCount && $0 != .inPort
      && $0.info.word != FlowWord.tags
  }

  /// Tags, and some of the fields, of which some bits.
  private func randomRewrite(_ g: inout SeededRandom) -> Rewrite {
    var rewrite = Rewrite()
    if Bool.random(using: &g) {
      rewrite.poppedTags = .random(in: 0...2, using: &g)
      for _ in 0..<Int.random(in: 0...2, using: &g) {
        let tpid: UInt32 = Bool.random(using: &g) ? 0x8100 : 0x88A8
        rewrite.pushedTags.append(tpid << 16 | .random(in: 0...0xEFFF, using: &g))
      }
    }
    var fields: [Field] = []
    for _ in 0..<[0, 1, 1, 2, 3, 20].randomElement(using: &g)! {
      fields.append(Self.fields.randomElement(using: &g)!)
    }
    if rewrite.poppedTags == 0, rewrite.pushedTags.isEmpty, Bool.random(using: &g) {
      fields.append([.vlanTCI, .vlanVID, .vlanPCP].randomElement(using: &g)!)
    }
    for field in fields {
      rewrite.mask[field] |= Bool.random(using: &g) ? .max : .random(in: 0 ... .max, using: &g)
      let value = UInt128.random(in: 0 ... .max, using: &g)
      rewrite.value[field] = [value, value, value, 0, .max].randomElement(using: &g)!
    }
    rewrite.value = rewrite.value & rewrite.mask
    return rewrite
  }

  // MARK: Checksums right

  @Test(arguments: 0..<8)
  func `A rewritten frame is what setting fields and summing anew makes of it`(seed: UInt64) throws {
    var g = SeededRandom(seed: seed)
    for _ in 0..<150 {
      let frame = ReferenceChecksums(RandomFrame.make(&g)).bytes
      let rewrite = randomRewrite(&g)
      let expected = ReferenceRewrite(frame, rewrite).bytes
      let result = try write(rewrite, frame, &g)
      #expect(result.frame == expected, "\(frame), \(rewrite)")
      #expect(result.offload == .none)
    }
  }

  @Test(arguments: 0..<8)
  func `A partial checksum stays the pseudo-header's sum`(seed: UInt64) throws {
    var g = SeededRandom(seed: 50 + seed)
    var count = 0
    while count < 150 {
      let made = ReferenceChecksums(RandomFrame.make(&g), isPartial: true)
      guard let field = made.transportField, let start = ReferenceParser(made.bytes).transportOffset else {
        continue
      }
      count += 1
      var offload = Offload(
        flags: Offload.Flag.needsChecksum, checksumStart: UInt16(start), checksumOffset: UInt16(field))
      if Bool.random(using: &g) {
        offload = Offload(
          flags: Offload.Flag.needsChecksum, gsoType: Offload.GSO.tcp4, headerLength: UInt16(start + 20),
          gsoSize: 1000, checksumStart: UInt16(start), checksumOffset: UInt16(field))
      }
      let rewrite = randomRewrite(&g)
      let expected = ReferenceRewrite(made.bytes, rewrite, isPartial: true).bytes
      let result = try write(rewrite, made.bytes, offload: offload, &g)
      #expect(result.frame == expected, "\(made.bytes), \(rewrite)")
      let shift = expected.count - made.bytes.count
      #expect(result.offload == offload.shifted(by: shift))
      #expect(Int(result.offload.checksumStart) == start + shift)
    }
  }

  @Test func `A partial checksum that is not the transport header's says nothing of that one`() throws {
    var g = SeededRandom(seed: 70)
    for _ in 0..<1000 {
      let frame = ReferenceChecksums(RandomFrame.make(&g)).bytes
      // Of an encapsulated packet.
      let offload = Offload(flags: Offload.Flag.needsChecksum, checksumStart: 300, checksumOffset: 16)
      let rewrite = randomRewrite(&g)
      let expected = ReferenceRewrite(frame, rewrite).bytes
      #expect(try write(rewrite, frame, offload: offload, &g).frame == expected)
    }
  }

  @Test func `A large segment and its headers keep a partial checksum`() throws {
    var g = SeededRandom(seed: 71)
    for _ in 0..<100 {
      let packet = ReferencePacket.random(&g, payload: .random(in: 1500...20_000, using: &g))
      let request = packet.segmentationRequest(size: 1400)
      let rewrite = randomRewrite(&g)
      // A third tag is not looked behind.
      guard packet.tags.count - rewrite.poppedTags + rewrite.pushedTags.count <= 2 else { continue }
      let expected = ReferenceRewrite(packet.bytes, rewrite, isPartial: true).bytes
      let result = try write(rewrite, packet.bytes, offload: request, &g)
      #expect(result.frame == expected)
      #expect(
        SoftwareOffload.isConsistent(
          result.offload, frameLength: result.frame.count, header: result.frame, headerLength: 248))
    }
  }

  // MARK: Checksums wrong, frames damaged

  @Test(arguments: 0..<8)
  func `Of damaged frames nothing but fields and checksums changes`(seed: UInt64) throws {
    var g = SeededRandom(seed: 200 + seed)
    for _ in 0..<150 {
      let frame = RandomFrame.mutated(ReferenceChecksums(RandomFrame.make(&g)).bytes, &g)
      guard frame.count >= 14 else { continue }
      let rewrite = randomRewrite(&g)
      var expected = ReferenceRewrite(frame, rewrite).bytes
      var result = try write(rewrite, frame, &g)
      let shift = expected.count - frame.count
      try #require(result.frame.count == expected.count)
      for index in ReferenceChecksums(frame).fields.joined() {
        expected[index + shift] = 0
        result.frame[index + shift] = 0
      }
      #expect(result.frame == expected, "\(frame), \(rewrite)")
    }
  }

  @Test func `A checksum that was wrong is wrong by as much afterwards`() throws {
    var g = SeededRandom(seed: 72)
    for _ in 0..<1000 {
      let right = ReferenceChecksums(RandomFrame.make(&g))
      let rewrite = randomRewrite(&g)
      guard let field = right.fields.last, right.transportField != 8 else { continue }
      var wrong = right.bytes
      wrong[field.lowerBound] ^= 0x5A
      wrong[field.lowerBound + 1] ^= 0x10
      let isAbsent = number(right.bytes, field.lowerBound) == 0 || number(wrong, field.lowerBound) == 0
      if isAbsent { continue }
      let result = try write(rewrite, wrong, &g).frame
      let expected = try write(rewrite, right.bytes, &g).frame
      let moved = field.lowerBound + result.count - wrong.count
      func error(_ wrong: [UInt8], _ right: [UInt8], _ offset: Int) -> Int {
        (number(wrong, offset) - number(right, offset) + 0xFFFF) % 0xFFFF
      }
      #expect(error(result, expected, moved) == error(wrong, right.bytes, field.lowerBound))
    }
  }

  // MARK: Special cases

  @Test func `UDP without a checksum stays so, and a checksum never becomes none`() throws {
    var g = SeededRandom(seed: 73)
    var packet = ReferencePacket.random(&g, payload: 30)
    packet.isIPv6 = false
    packet.networkOptions = []
    packet.firstExtension = nil
    packet.isTCP = false
    packet.source = [10, 0, 0, 1]
    packet.destination = [10, 0, 0, 2]
    packet.tags = []
    packet.hasChecksum = false
    var rewrite = Rewrite()
    rewrite.mask[.udpSource] = .max
    rewrite.value[.udpSource] = 99
    #expect(number(try write(rewrite, packet.finished, &g).frame, packet.checksumField) == 0)
    packet.hasChecksum = true
    // With the source port 0, the checksum is what the port has to be to make it 0.
    rewrite.value[.udpSource] = 0
    let port = number(try write(rewrite, packet.finished, &g).frame, packet.checksumField)
    rewrite.value[.udpSource] = UInt128(port)
    #expect(number(try write(rewrite, packet.finished, &g).frame, packet.checksumField) == 0xFFFF)
  }

  @Test func `The CRC of SCTP follows new ports whatever the length`() {
    #expect(crc32c(Array("123456789".utf8)) == 0xE306_9283)
    var g = SeededRandom(seed: 74)
    for length in [65_515] + (4..<200) {
      let old = g.bytes(length)
      let ports = g.bytes(4)
      let difference = zip(old, ports).reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1.0 ^ $1.1) }
      let change = CRC32C.change(difference, length: length)
      #expect(crc32c(old) ^ change == crc32c(ports + old[4...]))
    }
  }

  @Test func `More private bytes than a slot has room for are refused`() {
    var g = SeededRandom(seed: 75)
    let frame = g.bytes(600)
    #expect(write(Rewrite(), frame, count: 249, offload: .none) == nil)
    #expect(write(Rewrite(), frame, count: 248, offload: .none)?.frame == frame)
  }
}
