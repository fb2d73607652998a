/// A field whose prefixes a classifier keeps in a trie.
struct PrefixField {
  /// Its place among the classifier's tries.
  let trie: Int
  /// Its first word.
  let word: Int
  let width: Int
  /// Bits below it in the word; of a field of two words 0.
  let shift: Int
  /// The stage of a search in which it is looked at.
  let stage: Stage

  static let all: ContiguousArray<PrefixField> = [
    PrefixField(trie: 0, word: FlowWord.ipv4, width: 32, shift: 32, stage: .network),
    PrefixField(trie: 1, word: FlowWord.ipv4, width: 32, shift: 0, stage: .network),
    PrefixField(trie: 2, word: FlowWord.ipv6Source, width: 128, shift: 0, stage: .network),
    PrefixField(trie: 3, word: FlowWord.ipv6Destination, width: 128, shift: 0, stage: .network),
    PrefixField(trie: 4, word: FlowWord.transport, width: 16, shift: 48, stage: .transport),
    PrefixField(trie: 5, word: FlowWord.transport, width: 16, shift: 32, stage: .transport),
  ]

  /// The field's bits of `words`, at the upper end.
  @inline(__always)
  func value(in words: some Words) -> UInt128 {
    if width == 128 { return UInt128(words[word]) &<< 64 | UInt128(words[word &+ 1]) }
    return UInt128(words[word] &<< UInt64(64 &- shift &- width)) &<< 64 & ~(UInt128.max &>> UInt128(width))
  }

  /// How many leading bits `mask` has of the field, and no others; nil when it has none, or others too.
  func length(in mask: FlowWords) -> Int? {
    let bits = value(in: mask)
    let length = (~bits).leadingZeroBitCount
    guard length > 0, length == 128 || bits << UInt128(length) == 0 else { return nil }
    return length
  }

  /// The first `count` bits of the field: its first word, and its second.
  @inline(__always)
  func prefix(_ count: Int) -> (UInt64, UInt64) {
    let bits = count == 0 ? 0 : ~(count == 128 ? 0 : UInt128.max &>> UInt128(count))
    let upper = UInt64(truncatingIfNeeded: bits &>> 64)
    if width == 128 { return (upper, UInt64(truncatingIfNeeded: bits)) }
    return (upper &>> UInt64(64 &- shift &- width), 0)
  }
}

/// What a search looks at first, and next: it goes on only while some rule agrees so far.
enum Stage: Int, CaseIterable {
  case pipeline, link, network, transport

  /// The stage's bits.
  func contains(_ word: Int) -> UInt64 {
    switch (self, word) {
    case (.pipeline, FlowWord.inPort): 0xFFFF_FFFF_FFFF_0000
    case (.pipeline, FlowWord.conjunction...): .max
    case (.link, FlowWord.inPort): 0xFFFF
    case (.link, FlowWord.ethernetDestination), (.link, FlowWord.ethernetSource): 0xFFFF_FFFF_FFFF_0000
    case (.link, FlowWord.tags): .max
    case (.network, FlowWord.ethernetDestination): 0xFFFF
    case (.network, FlowWord.transport): 0xFFFF_FFFF
    case (.network, FlowWord.ipv4), (.network, FlowWord.ipv6Label..<FlowWord.ndTarget): .max
    case (.transport, FlowWord.ethernetSource): 0xFFFF
    case (.transport, FlowWord.transport): 0xFFFF_FFFF_0000_0000
    case (.transport, FlowWord.ndTarget..<FlowWord.conjunction): .max
    default: 0
    }
  }
}
