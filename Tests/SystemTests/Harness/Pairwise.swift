/// Picks rows so that any two factors meet in all combinations of their levels: what goes wrong with options goes wrong,
/// as a rule, with one of them or two together.
enum Pairwise {
  /// Two factors (positions in a row) at their levels.
  struct Pair: Hashable {
    let factors: [Int]
    let levels: [Int]
  }

  /// - Parameter levels: how many levels each factor has.
  /// - Returns: rows of a level for each factor; greedily few, always the same.
  static func rows(levels: [Int]) -> [[Int]] {
    let all = levels.reduce([[]]) { rows, count in rows.flatMap { row in (0..<count).map { row + [$0] } } }
    let candidates = all.map { (row: $0, pairs: pairs(of: $0)) }
    var missing = Set(candidates.flatMap(\.pairs))
    var chosen: [[Int]] = []
    while !missing.isEmpty {
      let gains = candidates.map { missing.intersection($0.pairs).count }
      let best = candidates[gains.firstIndex(of: gains.max() ?? 0) ?? 0]
      chosen.append(best.row)
      missing.subtract(best.pairs)
    }
    return chosen
  }

  /// The pairs that a row covers.
  static func pairs(of row: [Int]) -> [Pair] {
    row.indices.flatMap { first in
      row.indices.dropFirst(first + 1).map { second in
        Pair(factors: [first, second], levels: [row[first], row[second]])
      }
    }
  }
}
