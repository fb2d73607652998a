// Conjunctive matches
// ===================
//
// A flow with actions `conjunction(id, k/n)` is one alternative of clause k of n. When a frame matches at least one
// alternative of every clause, at one priority, the search is repeated with `conj_id` set to the id, and finds the flow
// that says what to do (`ovs-fields(7)`, "Conjunctive Match Fields"). Where it finds none, or a clause is missing, these
// flows count for nothing, and what is below them does: a flow with the same match and a lower priority, or another's.

/// A rule that is a clause, and what its match has below it.
struct ConjunctiveCandidate {
  fileprivate var rule: FlowRule
  fileprivate var below: ArraySlice<FlowRule>

  init(_ rule: FlowRule, below: ContiguousArray<FlowRule>) {
    self.rule = rule
    self.below = ArraySlice(below)
  }
}

extension Classifier {
  /// - Parameters:
  ///   - clauses: every clause that matches, of each match the one with the highest priority.
  ///   - best: the best of the other rules.
  func resolve(
    _ clauses: ContiguousArray<ConjunctiveCandidate>, _ best: FlowRule?, _ key: FlowWords,
    mask: inout FlowWords
  ) -> FlowRule? {
    var clauses = clauses
    var best = best
    while true {
      if let best { clauses.removeAll { $0.rule.priority <= best.priority } }
      guard let priority = clauses.map(\.rule.priority).max() else { return best }
      for id in Self.complete(clauses, priority) {
        if let rule = lookup(key, conjunction: id, mask: &mask) { return rule }
      }
      // Those at this priority count for nothing; what is below them may.
      for index in clauses.indices.reversed() where clauses[index].rule.priority == priority {
        guard let next = clauses[index].below.popFirst() else {
          clauses.remove(at: index)
          continue
        }
        if next.isConjunctive {
          clauses[index].rule = next
        } else {
          clauses.remove(at: index)
          if next.priority > best?.priority ?? 0 || best == nil { best = next }
        }
      }
    }
  }

  /// The conjunctions of which every clause is there at `priority`.
  private static func complete(_ clauses: ContiguousArray<ConjunctiveCandidate>, _ priority: UInt16)
    -> [UInt32]
  {
    struct Conjunction: Hashable {
      let id: UInt32
      let count: UInt8
    }
    var seen: [Conjunction: UInt64] = [:]
    for clause in clauses where clause.rule.priority == priority {
      for case .conjunction(let id, let number, let count) in clause.rule.actions where 1...64 ~= number {
        seen[Conjunction(id: id, count: count), default: 0] |= 1 << UInt64(number - 1)
      }
    }
    let complete = seen.filter { $0.value.nonzeroBitCount == Int($0.key.count) }
    return complete.keys.map(\.id).sorted()
  }

  /// The best rule for `key` with this `conj_id`, clauses left out.
  private func lookup(_ key: FlowWords, conjunction id: UInt32, mask: inout FlowWords) -> FlowRule? {
    var key = key
    key[.conjunctionID] = UInt128(id)
    return FlowWords.withViews(key, &mask) { key, mask in
      var tries = TrieWalks()
      var best: FlowRule?
      for subtable in subtables {
        if let best, subtable.highestPriority <= best.priority { break }
        guard var rule = subtable.find(key, mask: mask, tries: &tries, self) else { continue }
        if rule.isConjunctive {
          guard let other = subtable.rules(below: rule).first(where: { !$0.isConjunctive }) else { continue }
          rule = other
        }
        if rule.priority > best?.priority ?? 0 || best == nil { best = rule }
      }
      return best
    }
  }
}
