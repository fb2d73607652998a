import Seeded
import Packet
import Testing

@testable import Datapath

/// The table against a dictionary, as long as nothing has to be evicted; then what eviction must keep.
@Suite struct MACTableTests {
  private func key(_ address: UInt64, vlan: Int = 0) -> UInt64 { MACTable.key(address, vlan: vlan) }

  @Test func forgetsNothingWithinItsCapacity() {
    let table = MACTable(capacity: 10)
    for address in 0..<10 { table.learn(key(UInt64(address)), port: UInt16(address), now: 1) }
    for address in 0..<10 { #expect(table.lookup(key(UInt64(address))) == address) }
    #expect(table.lookup(key(10)) == -1)
  }

  @Test func keepsVLANsApart() {
    let table = MACTable(capacity: 10)
    table.learn(key(0xA, vlan: 1), port: 1, now: 1)
    table.learn(key(0xA, vlan: 4095), port: 2, now: 1)
    #expect(table.lookup(key(0xA, vlan: 1)) == 1)
    #expect(table.lookup(key(0xA, vlan: 4095)) == 2)
    #expect(table.lookup(key(0xA)) == -1)
  }

  @Test func equalsADictionaryUnderRandomUse() {
    var random = SeededRandom(seed: 1)
    for capacity in [1, 2, 16, 100] {
      let table = MACTable(capacity: capacity)
      var model: [UInt64: (port: UInt16, seen: UInt32)] = [:]
      var now: UInt32 = 0
      for _ in 0..<20_000 {
        let address = UInt64.random(in: 0..<UInt64(capacity), using: &random) | 0x0200_0000_0000
        switch Int.random(in: 0..<100, using: &random) {
        case 0:
          let port = UInt16.random(in: 0..<5, using: &random)
          table.flush(port: port)
          model = model.filter { $0.value.port != port }
        case 1:
          table.expire(olderThan: 3, now: now)
          model = model.filter { now - $0.value.seen < 3 }
        case 2: now += 1
        case 3:
          table.flushAll()
          model.removeAll()
        default:
          let port = UInt16.random(in: 0..<5, using: &random)
          table.learn(key(address, vlan: 7), port: port, now: now)
          model[address] = (port, now)
        }
        let probe = UInt64.random(in: 0..<UInt64(capacity), using: &random) | 0x0200_0000_0000
        #expect(table.lookup(key(probe, vlan: 7)) == model[probe].map { Int($0.port) } ?? -1)
      }
      let entries = table.entries()
      #expect(entries.count == model.count)
      for entry in entries {
        #expect(model[entry.address.bits]?.port == entry.port)
        #expect(model[entry.address.bits]?.seen == entry.seen)
        #expect(entry.vlan == 7)
      }
    }
  }

  @Test func aNewPortGetsItsShareOfAFullTable() {
    let table = MACTable(capacity: 100)
    for address in 0..<1000 { table.learn(key(UInt64(address)), port: 1, now: 1) }
    for address in 5000..<5050 { table.learn(key(UInt64(address)), port: 2, now: 1) }
    for address in 5000..<5050 { #expect(table.lookup(key(UInt64(address))) == 2) }
    #expect(table.entries().filter { $0.port == 1 }.count == 50)
  }

  @Test func whatIsInUseOutlivesWhatIsNot() {
    let table = MACTable(capacity: 64)
    for address in 0..<64 { table.learn(key(UInt64(address)), port: 1, now: 1) }
    // The first eight are oldest by arrival, but were seen again.
    for address in 0..<7 { table.learn(key(UInt64(address)), port: 1, now: 2) }
    table.learn(key(100), port: 1, now: 2)
    for address in 0..<7 { #expect(table.lookup(key(UInt64(address))) == 1) }
    #expect(table.lookup(key(7)) == -1)
  }

  @Test func resizingKeepsTheNewest() {
    let old = MACTable(capacity: 100)
    for address in 0..<100 { old.learn(key(UInt64(address)), port: 1, now: UInt32(address)) }
    let new = MACTable(capacity: 10)
    new.adopt(old.entries())
    #expect(Set(new.entries().map(\.address.bits)) == Set(90..<100))
  }
}
