import Seeded
import Testing

@testable import Flow

/// The classifier against a list of rules.
@Suite struct ClassifierTests {
  private struct Table {
    var samples: ClassifierSamples
    let classifier = Classifier(seed: 7)
    var rules: [FlowRule] = []

    init(seed: UInt64) { samples = ClassifierSamples(seed: seed) }

    /// Adds a rule; where there is one with this match and priority, replaces it.
    mutating func add(_ match: Match, priority: UInt16, actions: [Action] = []) {
      let rule = FlowRule(FlowDescription(priority: priority, match: match, actions: actions), created: 0)
      if let index = rules.firstIndex(where: { $0.match == match && $0.priority == priority }) {
        classifier.replace(rules[index], with: rule)
        rules[index] = rule
      } else {
        classifier.insert(rule)
        rules.append(rule)
      }
    }

    mutating func removeOne() {
      guard !rules.isEmpty else { return }
      let rule = rules.remove(at: Int.random(in: 0..<rules.count, using: &samples.random))
      #expect(classifier.remove(rule))
    }

    /// The rules of the highest priority that match; without clauses.
    func linear(_ key: FlowWords) -> [FlowRule] {
      let matching = rules.filter { $0.matches(key) }
      let highest = matching.map(\.priority).max()
      return matching.filter { $0.priority == highest }
    }
  }

  @Test(arguments: 0..<12)
  func `A search finds what a linear search finds, and depends on no other bits than it says`(seed: UInt64) {
    var table = Table(seed: seed)
    // Few priorities, so that ties are common, or many.
    let highest: UInt16 = seed % 2 == 0 ? 20 : .max
    let size = [3, 30, 200][Int(seed) % 3]
    for _ in 0..<10 {
      for _ in 0..<size / 4 + 1 {
        table.add(
          table.samples.match(), priority: UInt16.random(in: 0...highest, using: &table.samples.random))
      }
      while table.rules.count > size { table.removeOne() }
      for _ in 0..<15 {
        let key = table.samples.key()
        var mask = FlowWords()
        let found = table.classifier.lookup(key, mask: &mask)
        let expected = table.linear(key)
        #expect(expected.isEmpty ? found == nil : expected.contains { $0 === found })
        for _ in 0..<5 {
          let other = table.samples.flipped(key, outside: mask)
          var otherMask = FlowWords()
          #expect(table.classifier.lookup(other, mask: &otherMask) === found)
          let expected = table.linear(other)
          #expect(expected.isEmpty ? found == nil : expected.contains { $0 === found })
        }
      }
    }
    while !table.rules.isEmpty { table.removeOne() }
    #expect(table.classifier.count == 0 && table.classifier.subtables.isEmpty)
  }

  @Test func `Of rules with the same match the highest priority wins, whatever came and went`() {
    var table = Table(seed: 1)
    let match = table.samples.match()
    let key = match.value
    for _ in 0..<300 {
      if table.samples.chance(60) {
        table.add(match, priority: UInt16.random(in: 0..<40, using: &table.samples.random))
      } else {
        table.removeOne()
      }
      var mask = FlowWords()
      #expect(table.classifier.lookup(key, mask: &mask) === table.linear(key).first)
      for priority in UInt16(0)..<40 {
        #expect(
          table.classifier.rule(match, priority: priority) === table.rules.first { $0.priority == priority })
      }
    }
  }

  @Test func `A prefix far away is told by its first bits`() throws {
    let classifier = Classifier(seed: 1)
    for (address, bits) in [(0x0A00_0000, 8), (0x0A01_0000, 16), (0x0A01_0203, 32)] as [(UInt128, UInt128)] {
      var match = Match()
      match.set(.ethernetType, 0x800)
      match.set(.ipv4Destination, address, mask: ~(0xFFFF_FFFF >> bits))
      classifier.insert(FlowRule(FlowDescription(priority: UInt16(bits), match: match), created: 0))
    }
    var key = FlowWords()
    key[.ethernetType] = 0x800
    key[.ipv4Destination] = 0xC0A8_0101
    var mask = FlowWords()
    #expect(classifier.lookup(key, mask: &mask) == nil)
    #expect(mask[.ipv4Destination] == 0xF000_0000)
    #expect(mask[.ipv4Source] == 0)
    key[.ipv4Destination] = 0x0A80_0000
    mask = FlowWords()
    #expect(classifier.lookup(key, mask: &mask) != nil)
    // The bit that tells 10.128 from 10.1 is the ninth; bits are counted in fours.
    #expect(mask[.ipv4Destination] == 0xFFF0_0000)
  }

  @Test func `A frame of another protocol does not depend on addresses`() {
    let classifier = Classifier(seed: 1)
    var match = Match()
    match.set(.ethernetType, 0x800)
    match.set(.ipv4Source, 0x0A00_0001)
    match.set(.tcpDestination, 80)
    classifier.insert(FlowRule(FlowDescription(match: match), created: 0))
    var key = match.value
    key[.ethernetType] = 0x86DD
    var mask = FlowWords()
    #expect(classifier.lookup(key, mask: &mask) == nil)
    #expect(mask == Field.ethernetType.mask)
  }

  @Test func `An empty classifier depends on nothing`() {
    var mask = FlowWords()
    #expect(Classifier(seed: 1).lookup(FlowWords(), mask: &mask) == nil)
    #expect(mask.isZero)
  }

  // MARK: Conjunctive matches

  /// As `ovs-fields(7)` describes it, without a classifier.
  private static func conjunctive(_ rules: [FlowRule], _ key: FlowWords) -> FlowRule? {
    let matching = rules.filter { $0.matches(key) }.sorted { $0.priority > $1.priority }
    for priority in Set(matching.map(\.priority)).sorted(by: >) {
      let level = matching.filter { $0.priority == priority }
      if let rule = level.first(where: { !$0.isConjunctive }) { return rule }
      for id: UInt32 in 1...3 {
        let clauses = level.flatMap(\.actions).compactMap { action -> UInt8? in
          if case .conjunction(id, let clause, _) = action { clause } else { nil }
        }
        guard Set(clauses).count == Int(id % 2 + 2) else { continue }
        var key = key
        key[.conjunctionID] = UInt128(id)
        let found = rules.filter { !$0.isConjunctive && $0.matches(key) }.max {
          $0.priority < $1.priority
        }
        if let found { return found }
      }
    }
    return nil
  }

  @Test(arguments: 0..<8)
  func `Conjunctive flows are found as a list of rules finds them`(seed: UInt64) {
    var table = Table(seed: seed)
    var found = 0
    for _ in 0..<25 {
      for _ in 0..<12 {
        let style = Int.random(in: 0..<10, using: &table.samples.random)
        let id = UInt32.random(in: 1...3, using: &table.samples.random)
        var match = Match()
        switch style {
        case 0...6:
          // Clauses have odd priorities, other flows even ones: no ties between them.
          let clauses = UInt8(id % 2 + 2)
          let clause = UInt8.random(in: 1...clauses, using: &table.samples.random)
          let field: Field = [.ipv4Source, .tcpDestination, .inPort][Int(clause) - 1]
          let sample = table.samples.key()
          match.set(field, sample[field], mask: table.samples.chance(50) ? .max : 0x8001)
          table.add(
            match, priority: UInt16.random(in: 0...3, using: &table.samples.random) * 2 + 1,
            actions: [.conjunction(id: id, clause: clause, clauses: clauses)])
        case 7:
          match.set(.conjunctionID, UInt128(id))
          table.add(match, priority: 200 + UInt16(id) * 2)
        default:
          let others = table.rules.filter { $0.isConjunctive }
          match = others.isEmpty || table.samples.chance(50) ? table.samples.match() : others[0].match
          let priority = UInt16(table.rules.count % 2 == 0 ? 100 : 2)
          if !table.rules.contains(where: {
            !$0.isConjunctive && $0.priority == priority && $0.match.overlaps(match)
          }) {
            table.add(match, priority: priority)
          }
        }
      }
      while table.rules.count > 40 { table.removeOne() }
      for _ in 0..<20 {
        let key = table.samples.key()
        var mask = FlowWords()
        let rule = table.classifier.lookup(key, mask: &mask)
        #expect(rule === Self.conjunctive(table.rules, key))
        if let rule, rule.match.get(.conjunctionID) != nil { found += 1 }
        for _ in 0..<5 {
          let other = table.samples.flipped(key, outside: mask)
          #expect(Self.conjunctive(table.rules, other) === rule)
        }
      }
    }
    #expect(found > 0)
  }
}
