import Flow
import Linux
import Seeded
import Testing

@testable import Datapath

/// The cache of decisions by itself, against a dictionary.
@Suite struct FlowCacheTests {
  private let masks: [FlowWords] = (1..<6).map { number in
    var mask = FlowWords()
    mask[FlowWord.ipv4] = .max << UInt64(8 * number)
    mask[number % 4] = 0xFFFF
    return mask
  }

  private func program(_ tables: FlowTables) -> FlowProgram {
    FlowProgram(Translation(), key: FlowWords(), bridge: 0, tables: tables)
  }

  /// A key of one of a few thousand, with something in every word that masks look at.
  private func key(_ number: UInt64) -> [UInt64] {
    var words = [UInt64](repeating: 0, count: FlowCache.keyStride)
    for word in 0..<6 { words[word] = number &* 0x9E37_79B9_7F4A_7C15 &* UInt64(word + 1) }
    words[0] &= 0xFFFF
    return words
  }

  private func masked(_ key: [UInt64], _ mask: FlowWords) -> [UInt64] {
    key.indices.map { $0 < FlowWords.packetCount ? key[$0] & mask[$0] : 0 }
  }

  @Test(arguments: 0..<4)
  func `What is entered is found as long as there is room, and never anything else`(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let pipeline = FlowPipeline(startsWithNormal: false, clock: { 1 }, publish: { _ in })
    var cache = FlowCache(learned: try LearnedFlows(), entryCapacity: 256)
    /// What was entered under a mask and key last, and is not known to have been given up.
    var entered: [Int: [[UInt64]: FlowProgram]] = [:]
    for step in 1...6000 {
      let key = key(.random(in: 0..<900, using: &random))
      let hash = key.withUnsafeBufferPointer { cache.hash($0.baseAddress!, isShort: true) }
      let found = key.withUnsafeBufferPointer { cache.find($0.baseAddress!, hash) }
      if let found {
        // Masks overlap: any entry that agrees is right, if it is the latest of its mask.
        let program = found.pointee.program?.takeUnretainedValue()
        #expect(masks.indices.contains { entered[$0]?[masked(key, masks[$0])] === program })
        cache.count(found, packets: 1, bytes: 60, at: UInt64(step))
        if Int.random(in: 0..<20, using: &random) == 0 { cache.remove(found - cache.entries) }
      } else {
        let mask = Int.random(in: 0..<masks.count, using: &random)
        let made = program(pipeline.active)
        entered[mask, default: [:]][masked(key, masks[mask])] = made
        let entry = key.withUnsafeBufferPointer {
          cache.enter(made, $0.baseAddress!, mask: masks[mask], generation: 1, at: UInt64(step))
        }
        cache.remember(entry - cache.entries, hash)
        let again = key.withUnsafeBufferPointer { cache.find($0.baseAddress!, hash) }
        #expect(again == entry)
      }
      if step % 50 == 0 { cache.beginRound() }
      cache.work(limit: 2)
      #expect(cache.entryCount <= 256 && cache.maskCount <= masks.count)
    }
    #expect(cache.entryCount > 200)
    cache.finish()
    cache.removeAll()
    #expect(cache.entryCount == 0 && cache.maskCount == 0)
    #expect((0..<6).allSatisfy { cache.union[$0] == 0 })
  }

  @Test func `Entries that nothing goes by are forgotten`() throws {
    let pipeline = FlowPipeline(startsWithNormal: false, clock: { 1 }, publish: { _ in })
    var cache = FlowCache(learned: try LearnedFlows(), entryCapacity: 64)
    let second = TSCClock.shared.cyclesPerSecond
    for number in 0..<40 as Range<UInt64> {
      _ = key(number).withUnsafeBufferPointer {
        cache.enter(
          program(pipeline.active), $0.baseAddress!, mask: .wholePacket, generation: 1, at: number * second)
      }
    }
    cache.age(limit: 1000, at: 40 * second)
    #expect(cache.entryCount == Int(FlowCache.agedOut))
    cache.age(limit: 1000, at: 100 * second)
    #expect(cache.entryCount == 0)
  }
}
