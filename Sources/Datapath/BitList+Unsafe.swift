/// A set of small numbers, a bit each, with a bound fixed between resets.
struct BitList: ~Copyable {
  private(set) var wordCount = 0
  private var capacity = 1
  private var words = UnsafeMutablePointer<UInt64>.allocate(capacity: 1)

  deinit { words.deallocate() }

  /// Empties the set; numbers below `count` may follow.
  mutating func reset(count: Int) {
    wordCount = (count + 63) / 64
    if wordCount > capacity {
      words.deallocate()
      capacity = wordCount
      words = .allocate(capacity: capacity)
    }
    words.initialize(repeating: 0, count: wordCount)
  }

  // SAFETY: callers stay below `wordCount`, for which there is room.
  @inline(__always)
  subscript(word: Int) -> UInt64 {
    get { words[word] }
    nonmutating set { words[word] = newValue }
  }

  // SAFETY: callers stay below the count of the last reset.
  func insert(_ number: Int) { words[number >> 6] |= 1 << UInt64(number & 63) }

  var isEmpty: Bool {
    for word in 0..<wordCount where words[word] != 0 { return false }
    return true
  }
}
