// How a table finds its rule
// ==========================
//
// Tuple space search (Srinivasan, Suri, Varghese: "Packet Classification using Tuple Space Search", 1999): rules with
// the same mask are in one hash table, a *sub-table*, and a search probes one after the other. Three things keep it
// short, and, as important, keep the bits few that an answer depends on, so that one cached decision serves many frames:
//
// * Sub-tables are in the order of their highest priority: once a rule is found, those that cannot do better are left
//   out, and with them the bits they would look at.
// * Each sub-table is searched in stages (`Stage`): in_port, metadata and registers; addresses and tags of the link;
//   of the network; of the transport. Where no rule agrees so far, later fields do not matter.
// * Tries of address prefixes and ports (`PrefixTrie`) tell from few bits that a sub-table has nothing for a frame.
//
// Rules with `conjunction` actions are clauses: see `Classifier+Conjunction.swift`.

/// The rules of one table, on one side.
final class Classifier {
  private let seed: UInt64
  /// By their highest priority, descending.
  @exclusivity(unchecked) private(set) var subtables: ContiguousArray<Subtable> = []
  private var subtablesByMask: [FlowWords: Subtable] = [:]
  /// Rules of one pipeline share their shapes, which are found sooner than masks.
  private var subtablesByShape: [ObjectIdentifier: Subtable] = [:]
  @exclusivity(unchecked) fileprivate var tries: ContiguousArray<PrefixTrie>
  private(set) var count = 0

  init(seed: UInt64) {
    self.seed = seed
    tries = ContiguousArray(repeating: PrefixTrie(), count: PrefixField.all.count)
  }

  // MARK: Search

  /// The rule with the highest priority that matches `key`; of several with the same priority any one, but always the same.
  ///
  /// - Parameter mask: set in addition to the bits of `key` that the answer depended on.
  func lookup(_ key: FlowWords, mask: inout FlowWords) -> FlowRule? {
    var clauses = ContiguousArray<ConjunctiveCandidate>()
    let best = FlowWords.withViews(key, &mask) { self.best($0, mask: $1, clauses: &clauses) }
    return clauses.isEmpty ? best : resolve(clauses, best, key, mask: &mask)
  }

  /// The best rule that is no clause, and the clauses that are better.
  private func best(
    _ key: WordsView, mask: MaskView, clauses: inout ContiguousArray<ConjunctiveCandidate>
  ) -> FlowRule? {
    var tries = TrieWalks()
    var best: FlowRule?
    var priority = -1
    for subtable in subtables {
      if Int(subtable.highestPriority) <= priority { break }
      guard let rule = subtable.find(key, mask: mask, tries: &tries, self), Int(rule.priority) > priority
      else { continue }
      if rule.isConjunctive {
        clauses.append(ConjunctiveCandidate(rule, below: subtable.rules(below: rule)))
      } else {
        best = rule
        priority = Int(rule.priority)
      }
    }
    return best
  }

  // MARK: Changes

  func insert(_ rule: FlowRule) {
    let subtable = subtable(for: rule) ?? makeSubtable(rule.shape)
    let priority = subtable.highestPriority
    count += 1
    if subtable.insert(rule) {
      changeTries(rule) { trie, value, length in trie.insert(value, length: length) }
    }
    if subtable.count == 1 || subtable.highestPriority != priority { reorder(subtable) }
  }

  /// Returns whether it was there.
  func remove(_ rule: FlowRule) -> Bool {
    guard let subtable = subtable(for: rule) else { return false }
    let priority = subtable.highestPriority
    guard let wasLast = subtable.remove(rule) else { return false }
    count -= 1
    if wasLast {
      changeTries(rule) { trie, value, length in trie.remove(value, length: length) }
    }
    if subtable.count == 0 {
      subtablesByMask[rule.shape.mask] = nil
      subtablesByShape[ObjectIdentifier(subtable.shape)] = nil
      subtables.removeAll { $0 === subtable }
    } else if subtable.highestPriority != priority {
      reorder(subtable)
    }
    return true
  }

  /// Puts `new` in the place of `old`, which has the same match and priority.
  func replace(_ old: FlowRule, with new: FlowRule) {
    subtable(for: old)?.replace(old, with: new)
  }

  /// The rule with exactly this match and priority.
  func rule(_ match: Match, priority: UInt16) -> FlowRule? {
    subtablesByMask[match.mask]?.rule(value: match.value, priority: priority)
  }

  /// The shape of rules with this mask, if there are some.
  func shape(_ mask: FlowWords) -> MatchShape? { subtablesByMask[mask]?.shape }

  var anyRule: FlowRule? {
    var found: FlowRule?
    subtables.first?.forEach { found = $0 }
    return found
  }

  private func subtable(for rule: FlowRule) -> Subtable? {
    subtablesByShape[ObjectIdentifier(rule.shape)] ?? subtablesByMask[rule.shape.mask]
  }

  private func makeSubtable(_ shape: MatchShape) -> Subtable {
    let subtable = Subtable(shape: shape, seed: seed)
    subtablesByMask[shape.mask] = subtable
    subtablesByShape[ObjectIdentifier(shape)] = subtable
    subtables.append(subtable)
    return subtable
  }

  private func changeTries(_ rule: FlowRule, _ change: (inout PrefixTrie, UInt128, Int) -> Void) {
    let value = rule.value
    for (field, length) in rule.shape.prefixes {
      change(&tries[field.trie], field.value(in: value), length)
    }
  }

  /// Puts a sub-table where its highest priority belongs.
  private func reorder(_ subtable: Subtable) {
    guard var place = subtables.firstIndex(where: { $0 === subtable }) else { return }
    let priority = subtable.highestPriority
    while place > 0, subtables[place - 1].highestPriority < priority {
      subtables.swapAt(place, place - 1)
      place -= 1
    }
    while place + 1 < subtables.count, subtables[place + 1].highestPriority > priority {
      subtables.swapAt(place, place + 1)
      place += 1
    }
  }
}

/// What the tries told during one search: each is walked once at most.
struct TrieWalks {
  private var isKnown: UInt8 = 0
  private var answers = InlineArray<6, PrefixTrie.Answer>(repeating: PrefixTrie.Answer())

  @inline(__always)
  mutating func answer(_ field: PrefixField, _ key: WordsView, _ classifier: Classifier)
    -> PrefixTrie.Answer
  {
    if isKnown &>> UInt8(field.trie) & 1 == 0 {
      answers[field.trie] = classifier.tries[field.trie].walk(field.value(in: key))
      isKnown |= 1 &<< UInt8(field.trie)
    }
    return answers[field.trie]
  }
}
