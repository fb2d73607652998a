/// Names as people type them: which one a partial name means, and which one a wrong name probably meant.
enum NearestName {
  /// The candidate within a plausible number of typing errors of `text`, ignoring case and `-` against `_`;
  /// nil when none is close. The first of equally close candidates wins.
  static func suggestion(for text: String, among candidates: some Sequence<String>) -> String? {
    let wanted = normalized(text)
    let limit = max(1, min(3, wanted.count / 3))
    var best: (name: String, distance: Int)?
    for candidate in candidates where candidate != text {
      let other = normalized(candidate)
      guard abs(other.count - wanted.count) <= limit else { continue }
      let distance = distance(wanted, other)
      if distance <= limit, distance < best?.distance ?? Int.max { best = (candidate, distance) }
    }
    return best?.name
  }

  /// ` (did you mean "X"?)`, or nothing.
  static func hint(for text: String, among candidates: some Sequence<String>) -> String {
    suggestion(for: text, among: candidates).map { " (did you mean \"\($0)\"?)" } ?? ""
  }

  /// Damerau–Levenshtein distance in its optimal string alignment form: insertions, deletions, substitutions and
  /// swaps of neighbours, each counting 1.
  static func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
    guard !a.isEmpty, !b.isEmpty else { return max(a.count, b.count) }
    var beforeLast: [Int] = []
    var last = Array(0...b.count)
    for i in 1...a.count {
      var row = [i]
      for j in 1...b.count {
        let substitution = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)
        var cost = min(last[j] + 1, row[j - 1] + 1, substitution)
        if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] {
          cost = min(cost, beforeLast[j - 2] + 1)
        }
        row.append(cost)
      }
      (beforeLast, last) = (last, row)
    }
    return last[b.count]
  }

  /// How a partial name matched.
  enum Match: Equatable {
    case one(String)
    case several([String])
    case none
  }

  /// The candidate that `text` names: an exact spelling first, then one that is equal up to case and `-` = `_`,
  /// then the one candidate that begins so.
  static func match(_ text: String, among candidates: some Sequence<String>) -> Match {
    let wanted = normalized(text)
    guard !wanted.isEmpty else { return .none }
    var partial: [String] = []
    var equal: [String] = []
    for candidate in candidates {
      if candidate == text { return .one(candidate) }
      let other = normalized(candidate)
      if other == wanted {
        equal.append(candidate)
      } else if other.starts(with: wanted) {
        partial.append(candidate)
      }
    }
    let best = equal.isEmpty ? partial : equal
    if best.count == 1 { return .one(best[0]) }
    return best.isEmpty ? .none : .several(best.sorted())
  }

  private static func normalized(_ text: String) -> [UInt8] {
    text.utf8.map { byte in
      switch byte {
      case UInt8(ascii: "-"): UInt8(ascii: "_")
      case UInt8(ascii: "A")...UInt8(ascii: "Z"): byte | 0x20
      default: byte
      }
    }
  }
}
