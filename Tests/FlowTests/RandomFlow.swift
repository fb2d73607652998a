import Seeded

@testable import Flow

/// Draws flows that can be written: matches ask only for what they can have, and actions suit the match.
struct RandomFlow {
  var random: SeededRandom

  init(seed: UInt64) { random = SeededRandom(seed: seed) }

  mutating func below(_ limit: Int) -> Int { Int.random(in: 0..<limit, using: &random) }
  mutating func chance(_ percent: Int) -> Bool { below(100) < percent }
  mutating func word() -> UInt64 { random.next() }
  mutating func number() -> UInt128 { UInt128(random.next()) << 64 | UInt128(random.next()) }
  mutating func one<Element>(of elements: [Element]) -> Element { elements[below(elements.count)] }

  /// A port a frame can come from.
  mutating func port() -> PortNumber { chance(15) ? .local : PortNumber(UInt16(1 + below(8))) }

  // MARK: Flows

  mutating func description() -> FlowDescription {
    var flow = FlowDescription(match: match())
    if chance(60) { flow.table = UInt8(below(255)) }
    if chance(70) { flow.priority = UInt16(below(65536)) }
    if chance(30) { flow.cookie = word() >> UInt64(below(64)) }
    if chance(20) { flow.idleTimeout = UInt16(below(65536)) }
    if chance(20) { flow.hardTimeout = UInt16(below(65536)) }
    if chance(20) { flow.importance = UInt16(below(65536)) }
    if chance(20) { flow.flags = FlowDescription.Flags(rawValue: UInt8(below(32))) }
    flow.actions = actions(for: flow.match)
    if case .gotoTable(let next) = flow.actions.last, next <= flow.table { flow.actions.removeLast() }
    return flow
  }

  // MARK: Matches

  mutating func match() -> Match {
    var match = Match()
    if chance(40) { match.set(.inPort, UInt128(port().value)) }
    if chance(10) { match.set(.conjunctionID, UInt128(below(1000))) }
    maskedly(.metadata, in: &match, percent: 15)
    for _ in 0..<below(4) {
      guard let register = Field(rawValue: Field.reg0.rawValue + UInt8(below(16))) else { break }
      maskedly(register, in: &match, percent: 70)
    }
    maskedly(.ethernetSource, in: &match, percent: 25)
    maskedly(.ethernetDestination, in: &match, percent: 25)
    if chance(40) { setTag(in: &match) }
    switch below(6) {
    case 0, 1: setIPv4(in: &match)
    case 2: setIPv6(in: &match)
    case 3: setARP(in: &match)
    case 4: match.set(.ethernetType, UInt128(0x600 + below(0x7000)))
    default: break
    }
    return match.normalized
  }

  private mutating func maskedly(_ field: Field, in match: inout Match, percent: Int) {
    guard chance(percent) else { return }
    switch below(4) {
    case 0 where field.info.width == 128:
      // Open vSwitch takes a mask that begins with a decimal digit for a prefix length.
      match.set(field, number(), mask: number() & 0xFFFF << UInt128(16 * below(7)) | 0xFF << 120)
    case 0: match.set(field, number(), mask: number())
    case 1:
      match.set(
        field, number(), mask: TextNumber.prefixMask(below(field.info.width), width: field.info.width))
    default: match.set(field, chance(20) ? 0 : number())
    }
  }

  private mutating func exactly(_ field: Field, in match: inout Match, percent: Int) {
    if chance(percent) { match.set(field, number()) }
  }

  private mutating func setTag(in match: inout Match) {
    switch below(6) {
    case 0: match.set(.vlanTCI, 0)
    case 1: match.set(.vlanTCI, UInt128(0x1000 | below(4096)), mask: 0x1FFF)
    case 2: match.set(.vlanTCI, UInt128(0x1000 | below(8) << 13), mask: 0xF000)
    case 3: match.set(.vlanTCI, UInt128(0x1000 | below(65536)))
    case 4: match.set(.vlanTCI, 0x1000, mask: 0x1000)
    default: match.set(.vlanTCI, number(), mask: number())
    }
  }

  private mutating func setNetwork(in match: inout Match) {
    exactly(.ipDSCP, in: &match, percent: 20)
    exactly(.ipECN, in: &match, percent: 20)
    exactly(.ipTTL, in: &match, percent: 20)
    if chance(20) {
      let (value, mask): (UInt128, UInt128) = one(of: [(0, 3), (1, 1), (1, 3), (3, 3), (0, 2)])
      match.set(.ipFragment, value, mask: mask)
    }
  }

  private mutating func setIPv4(in match: inout Match) {
    match.set(.ethernetType, Match.ipv4Type)
    maskedly(.ipv4Source, in: &match, percent: 50)
    maskedly(.ipv4Destination, in: &match, percent: 50)
    setNetwork(in: &match)
    setTransport(in: &match, icmp: 1)
  }

  private mutating func setIPv6(in match: inout Match) {
    match.set(.ethernetType, Match.ipv6Type)
    maskedly(.ipv6Source, in: &match, percent: 40)
    maskedly(.ipv6Destination, in: &match, percent: 40)
    maskedly(.ipv6Label, in: &match, percent: 20)
    setNetwork(in: &match)
    setTransport(in: &match, icmp: 58)
    guard match.exact(.ipProtocol) == 58, chance(50) else { return }
    let isSolicitation = chance(50)
    match.set(.icmpv6Type, isSolicitation ? 135 : 136)
    match.set(.icmpv6Code, 0)
    maskedly(.ndTarget, in: &match, percent: 60)
    maskedly(isSolicitation ? .ndSourceMAC : .ndTargetMAC, in: &match, percent: 60)
  }

  private mutating func setTransport(in match: inout Match, icmp: UInt128) {
    guard chance(70) else { return }
    let number = one(of: [6, 6, 17, 132, icmp, 89] as [UInt128])
    match.set(.ipProtocol, number)
    switch number {
    case 6, 17, 132:
      maskedly(.tcpSource, in: &match, percent: 40)
      maskedly(.tcpDestination, in: &match, percent: 40)
      if number == 6 { maskedly(.tcpFlags, in: &match, percent: 30) }
    case icmp:
      exactly(.icmpType, in: &match, percent: 50)
      exactly(.icmpCode, in: &match, percent: 50)
    default: break
    }
  }

  private mutating func setARP(in match: inout Match) {
    match.set(.ethernetType, chance(80) ? Match.arpType : Match.rarpType)
    exactly(.arpOperation, in: &match, percent: 40)
    for field in [Field.arpSenderIP, .arpTargetIP, .arpSenderMAC, .arpTargetMAC] {
      maskedly(field, in: &match, percent: 40)
    }
  }
}
