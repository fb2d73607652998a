import Datapath
import Flow
import FlowTesting

extension FuzzTarget {
  /// A rewrite, then a frame: at every length of the private bytes its key is what a plain parser says, and rewriting
  /// changes nothing but the fields and their checksums.
  static let flowFrame = FuzzTarget("flow-frame", seeds: flowFrameSeeds) { bytes in
    var script = ByteScript(bytes)
    let rewrite = script.rewrite()
    let frame = Array(script.rest)
    let reference = ReferenceParser(frame)
    var found = false
    for count in 0...min(frame.count, FlowFrame.walkedLength + 1) {
      if let key = FlowFrame.key(of: frame, private: count) {
        require(key == reference.words, "the key is the plain parser's, of \(count) bytes")
        found = true
      } else {
        require(count < min(frame.count, FlowFrame.walkedLength), "what is asked for is there")
      }
    }
    require(found, "a whole frame has a key")
    guard frame.count >= 14 else { return }
    let fields = ReferenceChecksums(frame).fields.flatMap { Array($0) }
    let expected = ReferenceRewrite(frame, rewrite).bytes
    for count in 14...min(frame.count, FlowFrame.walkedLength) {
      guard let written = FlowFrame.rewritten(frame, by: rewrite, private: count) else {
        require(count < min(frame.count, FlowFrame.walkedLength), "enough private bytes are enough")
        continue
      }
      require(written.count == expected.count, "tags change the length, nothing else")
      let shift = expected.count - frame.count
      let checksums = Set(fields.map { $0 + shift })
      for index in written.indices where written[index] != expected[index] {
        require(checksums.contains(index), "byte \(index) of \(count) private ones is what it has to be")
      }
    }
  }

  private static func flowFrameSeeds() -> [[UInt8]] {
    let neighbor: [UInt8] =
      [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xDD, 0x60, 0, 0, 0, 0, 32, 58, 255]
      + [UInt8](repeating: 0xFE, count: 32) + [135, 0, 0, 0, 0, 0, 0, 0] + [UInt8](repeating: 1, count: 16)
      + [1, 1, 2, 0, 0, 0, 0, 2]
    let arp: [UInt8] =
      [255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 2, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1]
      + [UInt8](repeating: 3, count: 20)
    return (frameHeaders.seeds() + [neighbor, arp]).flatMap { frame in
      [[0, 0] + frame, [0x15, 2, 40, 1, 2, 3, 4, 5, 6, 7, 8, 1, 41, 9, 9, 9, 9, 9, 9, 9, 9] + frame]
    }
  }
}

extension ByteScript {
  private static let fields = Field.allCases.filter {
    $0.info.isWritable && $0.info.word < FlowWords.packetCount && $0 != .inPort
      && $0.info.word != FlowWord.tags
  }

  /// One byte: tags off and on, and how many fields are written; then the tags and the fields.
  fileprivate mutating func rewrite() -> Rewrite {
    var rewrite = Rewrite()
    let kind = Int(byte())
    rewrite.poppedTags = (kind & 3) % 3
    for _ in 0..<(kind >> 2 & 3) % 3 {
      let tag = UInt32(number(2))
      rewrite.pushedTags.append((tag & 0x1000 == 0 ? 0x8100_0000 : 0x88A8_0000) | tag & 0xEFFF)
    }
    for _ in 0..<kind >> 4 {
      let field = Self.fields[Int(byte()) % Self.fields.count]
      // The same eight bytes over and over, of which some bits.
      let value = number(8)
      let wide = UInt128(value) << 64 | UInt128(value)
      rewrite.mask[field] |= value & 1 == 0 ? .max : wide &* 0x9E37_79B9_7F4A_7C15
      rewrite.value[field] = wide
    }
    rewrite.value = rewrite.value & rewrite.mask
    return rewrite
  }
}

/// A fuzzer's bytes, taken one after the other; behind the last are zeros.
struct ByteScript {
  private(set) var rest: ArraySlice<UInt8>

  init(_ bytes: [UInt8]) { rest = bytes[...] }

  var isEmpty: Bool { rest.isEmpty }
  mutating func byte() -> UInt8 { rest.popFirst() ?? 0 }
  /// `count` bytes, most significant first.
  mutating func number(_ count: Int) -> UInt64 {
    (0..<count).reduce(0) { number, _ in number << 8 | UInt64(byte()) }
  }
  mutating func below(_ bound: Int) -> Int { Int(byte()) % bound }
}
