/// Some bits of one word.
struct WordBits {
  let index: Int
  let bits: UInt64
}

/// A mask, and which words it has bits in: what all rules of one sub-table share, so that each of them keeps only its
/// values of those words.
final class MatchShape: Sendable {
  let mask: FlowWords
  /// The words in which the mask has bits, in order.
  let words: ContiguousArray<WordBits>
  /// The fields of which it has a prefix, and how long that is.
  let prefixes: ContiguousArray<(field: PrefixField, length: Int)>

  init(_ mask: FlowWords) {
    self.mask = mask
    var words = ContiguousArray<WordBits>()
    for index in 0..<FlowWords.count where mask[index] != 0 {
      words.append(WordBits(index: index, bits: mask[index]))
    }
    self.words = words
    prefixes = ContiguousArray(
      PrefixField.all.compactMap { field in field.length(in: mask).map { (field, $0) } })
  }
}

/// The values a rule asks for in the words of its shape. Few need memory of their own for them.
struct PackedValues: Sendable {
  private static var inlineCount: Int { 4 }
  private var first: InlineArray<4, UInt64>
  private var others: ContiguousArray<UInt64>

  init(_ value: FlowWords, shape: MatchShape) {
    first = InlineArray(repeating: 0)
    others = []
    for (place, word) in shape.words.enumerated() {
      if place < Self.inlineCount {
        first[place] = value[word.index]
      } else {
        if others.isEmpty { others.reserveCapacity(shape.words.count - Self.inlineCount) }
        others.append(value[word.index])
      }
    }
  }

  /// The value in word `place` of the shape.
  @inline(__always)
  subscript(_ place: Int) -> UInt64 { place < 4 ? first[place] : others[place - 4] }
}
