/// All rules of a table that have one mask.
///
/// A search goes in stages: the bits of one stage are hashed into what the stages before gave, and it ends as soon as no
/// rule agrees so far. Then the decision depends on the bits of these stages only.
final class Subtable {
  /// The bits of one stage, and the tries that may tell that no rule can agree in them.
  private struct Step {
    let parts: ContiguousArray<WordBits>
    let prefixes: ContiguousArray<(field: PrefixField, length: Int)>
  }

  let shape: MatchShape
  private let seed: UInt64
  private let steps: ContiguousArray<Step>
  /// The hashes of all rules after each stage but the last.
  @exclusivity(unchecked) private var early: ContiguousArray<HashCounts>
  /// Of rules with the same match the one with the highest priority.
  @exclusivity(unchecked) private var index = RuleIndex()
  /// The others with the same match, by that one, priority descending.
  private var lower: [ObjectIdentifier: ContiguousArray<FlowRule>] = [:]
  private var priorities = PriorityCounts()
  private(set) var count = 0

  init(shape: MatchShape, seed: UInt64) {
    self.shape = shape
    self.seed = seed
    var steps = ContiguousArray<Step>()
    for stage in Stage.allCases {
      var parts = ContiguousArray<WordBits>()
      for word in shape.words {
        let bits = word.bits & stage.contains(word.index)
        if bits != 0 { parts.append(WordBits(index: word.index, bits: bits)) }
      }
      guard !parts.isEmpty else { continue }
      steps.append(Step(parts: parts, prefixes: shape.prefixes.filter { $0.field.stage == stage }))
    }
    self.steps = steps
    early = ContiguousArray(repeating: HashCounts(), count: max(steps.count - 1, 0))
  }

  var highestPriority: UInt16 { priorities.highest }

  /// Whether it has a rule of this priority.
  func contains(_ priority: UInt16) -> Bool { priorities.contains(priority) }

  // MARK: Search

  /// Of the rules that match `key` the one with the highest priority.
  ///
  /// - Parameters:
  ///   - mask: set in addition to the bits of `key` that this depended on.
  ///   - tries: the tries of the whole table.
  func find(_ key: WordsView, mask: MaskView, tries: inout TrieWalks, _ classifier: Classifier)
    -> FlowRule?
  {
    var hash = seed
    for stage in 0..<steps.count {
      if isExcluded(steps[stage].prefixes, key, mask: mask, tries: &tries, classifier) {
        // No rule of the table has such a prefix: what was compared before does not matter.
        return nil
      }
      for part in steps[stage].parts { hash = Self.mix(hash, key[part.index] & part.bits) }
      if stage < early.count, !early[stage].contains(Self.fold(hash)) {
        for done in 0...stage { for part in steps[done].parts { mask.set(part.bits, in: part.index) } }
        return nil
      }
    }
    for word in shape.words { mask.set(word.bits, in: word.index) }
    return index.find(Self.fold(hash)) { $0.matches(key) }
  }

  /// Whether a trie tells that no rule can match. Of several that do, the one for which fewest bits matter newly.
  @inline(__always)
  private func isExcluded(
    _ prefixes: ContiguousArray<(field: PrefixField, length: Int)>, _ key: WordsView,
    mask: MaskView, tries: inout TrieWalks, _ classifier: Classifier
  ) -> Bool {
    var best: (word: Int, bits: (UInt64, UInt64), cost: Int)?
    for (field, length) in prefixes {
      let answer = tries.answer(field, key, classifier)
      if answer.contains(length) { continue }
      let bits = field.prefix(min(length, answer.roundedChecked))
      var cost = (bits.0 & ~mask[field.word]).nonzeroBitCount
      if bits.1 != 0 { cost += (bits.1 & ~mask[field.word + 1]).nonzeroBitCount }
      if let best, best.cost <= cost { continue }
      best = (field.word, bits, cost)
    }
    guard let best else { return false }
    mask.set(best.bits.0, in: best.word)
    if best.bits.1 != 0 { mask.set(best.bits.1, in: best.word + 1) }
    return true
  }

  /// The rules with the same match as `head`, which `find` returned, below it.
  func rules(below head: FlowRule) -> ContiguousArray<FlowRule> { lower[ObjectIdentifier(head)] ?? [] }

  /// The rule with exactly this match and priority.
  func rule(value: FlowWords, priority: UInt16) -> FlowRule? {
    guard let head = head(hashes(of: value).last, value) else { return nil }
    if head.priority == priority { return head }
    return rules(below: head).first { $0.priority == priority }
  }

  func forEach(_ body: (FlowRule) -> Void) {
    index.forEach(body)
    for rules in lower.values { rules.forEach(body) }
  }

  // MARK: Changes

  /// Adds a rule, of which there is none with the same match and priority. Returns whether there was none with the same
  /// match.
  func insert(_ rule: FlowRule) -> Bool {
    count += 1
    priorities.insert(rule.priority)
    let value = rule.value
    let hashes = hashes(of: value)
    guard let head = head(hashes.last, value) else {
      for stage in 0..<early.count { early[stage].insert(hashes.early[stage]) }
      index.insert(rule, hash: hashes.last)
      return true
    }
    var others = lower.removeValue(forKey: ObjectIdentifier(head)) ?? []
    if rule.priority > head.priority {
      others.insert(head, at: 0)
      index.replace(head, with: rule, hash: hashes.last)
      lower[ObjectIdentifier(rule)] = others
    } else {
      others.insert(rule, at: others.firstIndex { $0.priority < rule.priority } ?? others.count)
      lower[ObjectIdentifier(head)] = others
    }
    return false
  }

  /// Removes a rule. Returns whether there is none with the same match any longer; nil when it is not here.
  func remove(_ rule: FlowRule) -> Bool? {
    let value = rule.value
    let hashes = hashes(of: value)
    guard let head = head(hashes.last, value) else { return nil }
    var others = lower[ObjectIdentifier(head)] ?? []
    if head === rule {
      lower[ObjectIdentifier(head)] = nil
      if others.isEmpty {
        index.remove(rule, hash: hashes.last)
        for stage in 0..<early.count { early[stage].remove(hashes.early[stage]) }
      } else {
        let next = others.removeFirst()
        index.replace(head, with: next, hash: hashes.last)
        if !others.isEmpty { lower[ObjectIdentifier(next)] = others }
      }
    } else {
      guard let place = others.firstIndex(where: { $0 === rule }) else { return nil }
      others.remove(at: place)
      lower[ObjectIdentifier(head)] = others.isEmpty ? nil : others
    }
    count -= 1
    priorities.remove(rule.priority)
    return index.find(hashes.last) { $0.matches(value) } == nil
  }

  /// Puts `new` in the place of `old`, which has the same match and priority.
  func replace(_ old: FlowRule, with new: FlowRule) {
    let value = old.value
    let hash = hashes(of: value).last
    guard let head = head(hash, value) else { return }
    if head === old {
      index.replace(old, with: new, hash: hash)
      if let others = lower.removeValue(forKey: ObjectIdentifier(old)) {
        lower[ObjectIdentifier(new)] = others
      }
    } else if let place = lower[ObjectIdentifier(head)]?.firstIndex(where: { $0 === old }) {
      lower[ObjectIdentifier(head)]?[place] = new
    }
  }

  private func head(_ hash: UInt32, _ value: FlowWords) -> FlowRule? {
    index.find(hash) { $0.matches(value) }
  }

  // MARK: Hashes

  private func hashes(of value: FlowWords) -> (early: ContiguousArray<UInt32>, last: UInt32) {
    var hash = seed
    var hashes = ContiguousArray<UInt32>()
    for step in steps {
      for part in step.parts { hash = Self.mix(hash, value[part.index] & part.bits) }
      hashes.append(Self.fold(hash))
    }
    return (hashes, Self.fold(hash))
  }

  /// Takes a word into a hash: one multiplication, whose two halves both count.
  @inline(__always)
  private static func mix(_ hash: UInt64, _ word: UInt64) -> UInt64 {
    let product = (hash ^ word).multipliedFullWidth(by: 0x9E37_79B9_7F4A_7C15)
    return (product.high ^ product.low) &+ 0xD6E8_FEB8_6659_FD93
  }

  /// A hash in 32 bits that is not 0.
  @inline(__always)
  private static func fold(_ hash: UInt64) -> UInt32 {
    let folded = UInt32(truncatingIfNeeded: hash ^ hash &>> 32)
    return folded == 0 ? 1 : folded
  }
}

/// How many rules have each priority.
private struct PriorityCounts {
  /// Ascending.
  private var entries: ContiguousArray<(priority: UInt16, count: Int)> = []

  var highest: UInt16 { entries.last?.priority ?? 0 }

  mutating func insert(_ priority: UInt16) {
    let place = place(of: priority)
    if place < entries.count, entries[place].priority == priority {
      entries[place].count += 1
    } else {
      entries.insert((priority, 1), at: place)
    }
  }

  mutating func remove(_ priority: UInt16) {
    let place = place(of: priority)
    guard place < entries.count, entries[place].priority == priority else { return }
    entries[place].count -= 1
    if entries[place].count == 0 { entries.remove(at: place) }
  }

  func contains(_ priority: UInt16) -> Bool {
    let place = place(of: priority)
    return place < entries.count && entries[place].priority == priority
  }

  private func place(of priority: UInt16) -> Int {
    var low = 0
    var high = entries.count
    while low < high {
      let middle = (low + high) / 2
      if entries[middle].priority < priority { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
