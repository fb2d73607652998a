/// What has words: a key, or a look at one.
protocol Words {
  subscript(_ index: Int) -> UInt64 { get }
}

extension FlowWords: Words {}

/// A key's words where they are. A search reads single words of a key at places it computes; through the value, each such
/// read would copy all of it first.
struct WordsView: Words {
  fileprivate let words: UnsafePointer<UInt64>

  @inline(__always)
  subscript(_ index: Int) -> UInt64 {
    assert(0..<FlowWords.count ~= index)
    // SAFETY: indexes are those of `WordBits` and `PrefixField`, which come from loops over `FlowWords.count` and from
    // `FlowWord`; the pointer is to a whole `FlowWords`, for as long as `withViews` runs.
    return words[index]
  }
}

/// A mask's words where they are, to have bits set.
struct MaskView {
  fileprivate let words: UnsafeMutablePointer<UInt64>

  @inline(__always)
  subscript(_ index: Int) -> UInt64 {
    assert(0..<FlowWords.count ~= index)
    // SAFETY: as in `WordsView`.
    return words[index]
  }

  @inline(__always)
  func set(_ bits: UInt64, in index: Int) {
    assert(0..<FlowWords.count ~= index)
    // SAFETY: as in `WordsView`; nobody else has the mask, which `withViews` holds `inout`.
    words[index] |= bits
  }
}

extension FlowWords {
  static func withViews<Result>(
    _ key: FlowWords, _ mask: inout FlowWords, _ body: (WordsView, MaskView) -> Result
  ) -> Result {
    // SAFETY: a `FlowWords` is 25 words of 64 bits and nothing else (`InlineArray`), and neither pointer outlives its
    // closure: views are made here only, and `body` is not given a place to keep them.
    withUnsafePointer(to: key) { key in
      withUnsafeMutablePointer(to: &mask) { mask in
        key.withMemoryRebound(to: UInt64.self, capacity: FlowWords.count) { keyWords in
          mask.withMemoryRebound(to: UInt64.self, capacity: FlowWords.count) { maskWords in
            body(WordsView(words: keyWords), MaskView(words: maskWords))
          }
        }
      }
    }
  }
}
