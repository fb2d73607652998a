/// A frame's fields at some point of the pipeline, and where their bits are from.
///
/// Bits stay at their place all the time, but for those of VLAN tags: a push moves the outer tag inwards, a pop moves
/// the inner one outwards. So each of the two places remembers which of the received tags is there.
struct HeaderState {
  /// The fields as they are now.
  private(set) var key: FlowWords
  /// Bits of `key` that do not depend on the frame as received.
  private(set) var written = FlowWords()
  /// Which received tag the outer place holds, and the inner one; nil: one made by actions, or nothing. Bits of it may
  /// have been written since.
  private(set) var outerTag: Int? = 0
  private(set) var innerTag: Int? = 1

  init(_ key: FlowWords) {
    self.key = key
    // The pipeline's own words begin as 0.
    for word in FlowWords.packetCount..<FlowWords.count { self.key[word] = 0 }
  }

  /// Writes `value` into the bits of `word` that are set in `mask`.
  mutating func write(_ value: UInt64, to word: Int, mask: UInt64) {
    key[word] = key[word] & ~mask | value & mask
    written[word] |= mask
  }

  /// The received bits that `bits` of `word` are.
  func received(_ bits: UInt64, of word: Int) -> UInt64 {
    let bits = bits & ~written[word]
    if word != FlowWord.tags { return bits }
    var result: UInt64 = 0
    if let outerTag { result |= outerTag == 0 ? bits & Tags.outer : bits >> 32 }
    if let innerTag { result |= innerTag == 1 ? bits & Tags.inner : bits << 32 }
    return result
  }

  /// Whether the two tags are where they were received.
  var hasTagsInPlace: Bool { outerTag == 0 && innerTag == 1 }
}

/// The word of the tags: outer tag in the upper half, inner one in the lower; each is TPID and TCI.
enum Tags {
  static let outer: UInt64 = 0xFFFF_FFFF_0000_0000
  static let inner: UInt64 = 0x0000_0000_FFFF_FFFF
  static let outerPresent: UInt64 = 0x0000_1000_0000_0000
  static let innerPresent: UInt64 = 0x0000_0000_0000_1000
  /// What can be rewritten in place: VLAN and priority of the outer tag.
  static let outerContents: UInt64 = 0x0000_EFFF_0000_0000
  static let defaultTPID: UInt32 = 0x8100
  static let presenceInTCI: UInt32 = 0x1000
}

extension HeaderState {
  /// Puts a tag outside of the others, with VLAN and priority 0. There has to be room: an inner tag is lost.
  mutating func pushTag(_ tpid: UInt16) {
    key[FlowWord.tags] = UInt64(tpid) << 48 | Tags.outerPresent | key[FlowWord.tags] >> 32
    written[FlowWord.tags] = Tags.outer | written[FlowWord.tags] >> 32
    (outerTag, innerTag) = (nil, outerTag)
  }

  /// Nothing is left, whatever was received.
  mutating func clearTags() {
    key[FlowWord.tags] = 0
    written[FlowWord.tags] = .max
    (outerTag, innerTag) = (nil, nil)
  }

  /// Takes the outer tag off.
  mutating func popTag() {
    key[FlowWord.tags] <<= 32
    written[FlowWord.tags] = written[FlowWord.tags] << 32 | Tags.inner
    (outerTag, innerTag) = (innerTag, nil)
  }
}
