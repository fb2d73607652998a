import Flow
import Seeded

/// Random matches and keys that meet often: values are drawn from small sets, and differ in few bits.
struct ClassifierSamples {
  var random: SeededRandom

  init(seed: UInt64) { random = SeededRandom(seed: seed) }

  mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &random) < percent }

  private mutating func pick<Value>(_ values: [Value]) -> Value {
    values[Int.random(in: 0..<values.count, using: &random)]
  }

  mutating func ipv4() -> UInt128 {
    UInt128(pick([0x0A00_0000, 0x0A01_0000, 0xC0A8_0100]) | pick([0, 1, 2, 0x80, 0x8001]))
  }

  mutating func ipv6() -> UInt128 {
    pick([0x2001_0DB8 << 96, 0xFE80 << 112]) | pick([0, 1, 1 << 64, 1 << 124, 0xFFFF << 40])
  }

  mutating func prefix(_ width: Int) -> UInt128 {
    let all: UInt128 = width == 128 ? .max : (1 << UInt128(width)) - 1
    return all & ~(all >> UInt128(Int.random(in: 1...width, using: &random)))
  }

  mutating func port() -> UInt128 { pick([0, 22, 80, 443, 0x8000, 0x8050, 0xFFFF]) }

  /// A key as frames have them, and some that no frame has.
  mutating func key() -> FlowWords {
    var key = FlowWords()
    key[.inPort] = pick([1, 2, 3])
    key[.ethernetType] = pick([0x800, 0x800, 0x86DD, 0x806])
    key[.ethernetDestination] = pick([0x0200_0000_0001, 0x0200_0000_0002, 0xFFFF_FFFF_FFFF])
    key[.vlanTCI] = pick([0, 0x1001, 0x3001])
    key[.ipProtocol] = pick([6, 17, 1, 0])
    key[.ipv4Source] = ipv4()
    key[.ipv4Destination] = ipv4()
    if chance(50) {
      key[.ipv6Source] = ipv6()
      key[.ipv6Destination] = ipv6()
    }
    key[.tcpSource] = port()
    key[.tcpDestination] = port()
    key[.tcpFlags] = pick([0, 2, 0x12])
    key[.metadata] = pick([0, 1, 1 << 63])
    key[.reg0] = pick([0, 5])
    return key
  }

  /// A match of a few fields with prefixes, or any masks.
  mutating func match() -> Match {
    let sample = key()
    var match = Match()
    func set(_ field: Field, _ mask: UInt128 = .max) { match.set(field, sample[field], mask: mask) }
    if chance(20) { set(.inPort) }
    if chance(70) { set(.ethernetType) }
    if chance(15) { set(.ethernetDestination, chance(50) ? .max : 0x0100_0000_0000) }
    if chance(10) { set(.vlanTCI, pick([0x1000, 0x1FFF, 0xFFFF])) }
    if chance(40) { set(.ipProtocol) }
    for field in [Field.ipv4Source, .ipv4Destination] where chance(40) {
      set(field, chance(85) ? prefix(32) : pick([0xFF, 0xFF00_00FF]))
    }
    for field in [Field.ipv6Source, .ipv6Destination] where chance(15) { set(field, prefix(128)) }
    for field in [Field.tcpSource, .tcpDestination] where chance(25) {
      set(field, chance(70) ? .max : pick([0xFF00, 0xFF, 0x8000]))
    }
    if chance(10) { set(.tcpFlags, 2) }
    if chance(10) { set(.metadata, pick([1, .max, 1 << 63])) }
    if chance(10) { set(.reg0) }
    return match
  }

  /// Another key that agrees with `key` in `mask`.
  mutating func flipped(_ key: FlowWords, outside mask: FlowWords) -> FlowWords {
    // Either a few bits, or all that may differ, or what another sample has there.
    let other = self.key()
    let style = Int.random(in: 0..<3, using: &random)
    var key = key
    for word in 0..<FlowWords.count {
      let bits: UInt64 =
        switch style {
        case 0: random.next() & random.next() & random.next()
        case 1: random.next()
        default: key[word] ^ other[word]
        }
      key[word] ^= bits & ~mask[word]
    }
    return key
  }
}
