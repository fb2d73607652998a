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

  /// Numbers 64 × `index` to 64 × `index` + 63.
  // SAFETY: callers stay below `wordCount`, for which there is room.
  @inline(__always)
  func word(_ index: Int) -> UInt64 { words[index] }

  // SAFETY: callers stay below the count of the last reset.
  @inline(__always)
  func remove(_ number: Int) {
    let word = words + (number >> 6)
    word.pointee = word.pointee & ~(1 << UInt64(truncatingIfNeeded: number & 63))
  }

  // SAFETY: callers stay below the count of the last reset.
  func insert(_ number: Int) {
    let word = words + (number >> 6)
    word.pointee = word.pointee | 1 << UInt64(truncatingIfNeeded: number & 63)
  }

  var isEmpty: Bool {
    for word in 0..<wordCount where words[word] != 0 { return false }
    return true
  }
}
