import Seeded
import Testing

@testable import Flow

@Suite struct PrefixTrieTests {
  private struct Prefix: Hashable {
    var value: UInt128
    var length: Int

    init(_ value: UInt128, _ length: Int) {
      self.value = value & ~(length == 128 ? 0 : UInt128.max >> UInt128(length))
      self.length = length
    }
  }

  @Test(arguments: 0..<8)
  func `A walk tells the lengths that match, by bits that decide it`(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    var trie = PrefixTrie()
    var prefixes: [Prefix] = []
    /// Few bits differ, at the places where nodes begin and end.
    func value() -> UInt128 {
      var value: UInt128 = 0
      for place in [0, 1, 2, 3, 30, 31, 32, 33, 62, 63, 64, 100, 126, 127] where Bool.random(using: &random) {
        value |= 1 << UInt128(127 - place)
      }
      return value
    }
    for step in 0..<1000 {
      if Int.random(in: 0..<100, using: &random) < (step / 250 % 2 == 0 ? 65 : 35) || prefixes.isEmpty {
        let prefix = Prefix(value(), Int.random(in: 1...128, using: &random))
        prefixes.append(prefix)
        trie.insert(prefix.value, length: prefix.length)
      } else {
        let prefix = prefixes.remove(at: Int.random(in: 0..<prefixes.count, using: &random))
        trie.remove(prefix.value, length: prefix.length)
      }
      let key = value()
      let answer = trie.walk(key)
      #expect(answer.lengths == Self.lengths(prefixes, key))
      guard answer.checked < 128 else { continue }
      // Any other bits behind those give the same answer.
      let other = key ^ (UInt128(random.next()) << 64 | UInt128(random.next())) >> UInt128(answer.checked)
      #expect(Self.lengths(prefixes, other) == answer.lengths)
    }
    for prefix in prefixes { trie.remove(prefix.value, length: prefix.length) }
    #expect(trie.isEmpty)
  }

  @Test(arguments: 0..<8)
  func `A full trie forgets no length, and stays small`(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    var trie = PrefixTrie(capacity: 20)
    var prefixes: [Prefix] = []
    func value() -> UInt128 { UInt128(random.next() & random.next()) << 64 }
    for step in 0..<2000 {
      if Int.random(in: 0..<100, using: &random) < (step / 250 % 2 == 0 ? 65 : 35) || prefixes.isEmpty {
        let prefix = Prefix(value(), Int.random(in: 1...32, using: &random))
        prefixes.append(prefix)
        trie.insert(prefix.value, length: prefix.length)
      } else {
        let prefix = prefixes.remove(at: Int.random(in: 0..<prefixes.count, using: &random))
        trie.remove(prefix.value, length: prefix.length)
      }
      let key = prefixes.isEmpty || step % 2 == 0 ? value() : prefixes[step % prefixes.count].value
      let answer = trie.walk(key)
      #expect(answer.lengths & Self.lengths(prefixes, key) == Self.lengths(prefixes, key))
      #expect(trie.nodeCount < 20 + 5)
      let other = key ^ (UInt128(random.next()) << 64) >> UInt128(answer.checked)
      #expect(answer.lengths & Self.lengths(prefixes, other) == Self.lengths(prefixes, other))
    }
    for prefix in prefixes { trie.remove(prefix.value, length: prefix.length) }
    #expect(trie.isEmpty)
  }

  private static func lengths(_ prefixes: [Prefix], _ key: UInt128) -> UInt128 {
    var lengths: UInt128 = 0
    for prefix in prefixes where Prefix(key, prefix.length) == prefix {
      lengths |= 1 << UInt128(prefix.length - 1)
    }
    return lengths
  }
}
