/// The rules of a sub-table by the hash of what they ask for: open addressing with linear probing. The hashes are kept
/// beside the rules, so that a search touches a rule only if it is very likely the one.
struct RuleIndex {
  /// 0 where the place is empty.
  private var hashes: ContiguousArray<UInt32> = [0, 0, 0, 0]
  private var rules: ContiguousArray<FlowRule?> = [nil, nil, nil, nil]
  private(set) var count = 0

  /// The rule with this hash that `isWanted`.
  @inline(__always)
  func find(_ hash: UInt32, where isWanted: (FlowRule) -> Bool) -> FlowRule? {
    let mask = hashes.count &- 1
    var place = Int(hash) & mask
    while true {
      let found = hashes[place]
      if found == 0 { return nil }
      if found == hash, let rule = rules[place], isWanted(rule) { return rule }
      place = (place &+ 1) & mask
    }
  }

  /// - Parameter hash: not 0.
  mutating func insert(_ rule: FlowRule, hash: UInt32) {
    if (count + 1) * 4 > hashes.count * 3 { resize(to: hashes.count * 2) }
    put(rule, hash)
    count += 1
  }

  /// Puts `new` in the place of `old`, which has the same hash.
  mutating func replace(_ old: FlowRule, with new: FlowRule, hash: UInt32) {
    if let place = place(of: old, hash: hash) { rules[place] = new }
  }

  mutating func remove(_ rule: FlowRule, hash: UInt32) {
    guard let place = place(of: rule, hash: hash) else { return }
    count -= 1
    close(place)
    if hashes.count > 4 && count * 8 < hashes.count { resize(to: hashes.count / 2) }
  }

  func forEach(_ body: (FlowRule) -> Void) {
    for rule in rules { if let rule { body(rule) } }
  }

  private func place(of rule: FlowRule, hash: UInt32) -> Int? {
    let mask = hashes.count - 1
    var place = Int(hash) & mask
    while hashes[place] != 0 {
      if rules[place] === rule { return place }
      place = (place + 1) & mask
    }
    return nil
  }

  private mutating func put(_ rule: FlowRule, _ hash: UInt32) {
    let mask = hashes.count - 1
    var place = Int(hash) & mask
    while hashes[place] != 0 { place = (place + 1) & mask }
    hashes[place] = hash
    rules[place] = rule
  }

  /// Empties a place, and moves up what would not be found behind it any longer.
  private mutating func close(_ place: Int) {
    let mask = hashes.count - 1
    var hole = place
    var next = (place + 1) & mask
    while hashes[next] != 0 {
      let home = Int(hashes[next]) & mask
      if (next &- home) & mask >= (next &- hole) & mask {
        hashes[hole] = hashes[next]
        rules.swapAt(hole, next)
        hole = next
      }
      next = (next + 1) & mask
    }
    hashes[hole] = 0
    rules[hole] = nil
  }

  private mutating func resize(to capacity: Int) {
    let old = (hashes: hashes, rules: rules)
    hashes = ContiguousArray(repeating: 0, count: capacity)
    rules = ContiguousArray(repeating: nil, count: capacity)
    for (place, rule) in old.rules.enumerated() { if let rule { put(rule, old.hashes[place]) } }
  }
}
