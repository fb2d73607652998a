import Flow
import FlowTesting
import PacketTesting
import Seeded

/// Frames of every kind, with addresses, tags and ports of small alphabets, so that what one flow writes is what
/// another, or MAC learning, looks for.
struct SampleFrames {
  static let stations: [[UInt8]] = [
    [2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 3], [2, 0, 0, 0, 0, 4],
  ]
  private static let groups: [[UInt8]] = [[255, 255, 255, 255, 255, 255], [1, 0, 0x5E, 0, 0, 1]]

  var random: SeededRandom

  mutating func one<Element>(of elements: [Element]) -> Element { elements.randomElement(using: &random)! }

  /// None whose headers lie beyond what is looked at, nor one that two switches must see differently.
  mutating func make() -> [UInt8] {
    while true {
      var frame = RandomFrame.make(&random, isDeep: false)
      tame(&frame)
      let isDamaged = Int.random(in: 0..<8, using: &random) == 0
      if isDamaged {
        frame = RandomFrame.mutated(frame, &random)
      } else if Bool.random(using: &random) {
        frame = ReferenceChecksums(frame).bytes
      }
      let isReserved = frame.prefix(5) == [0x01, 0x80, 0xC2, 0, 0]
      let parser = ReferenceParser(frame)
      // Open vSwitch writes to ARP packets that end before what it writes.
      let isCutShort = [0x0806, 0x8035].contains(parser.etherType) && !parser.isARP
      let isSpecial = isReserved || isCutShort || parser.isCut || Self.isDropEligible(frame)
      if frame.count >= 14, frame.count <= 1400, !isSpecial { return frame }
    }
  }

  /// Whether a tag has a bit that Open vSwitch forgets where it happens to take the tag off and put it on again.
  private static func isDropEligible(_ frame: [UInt8]) -> Bool {
    var offset = 12
    while offset + 4 <= frame.count, number(frame, offset) == 0x8100 || number(frame, offset) == 0x88A8 {
      if frame[offset + 2] & 0x10 != 0 { return true }
      offset += 4
    }
    return false
  }

  private mutating func tame(_ frame: inout [UInt8]) {
    let isToGroup = Int.random(in: 0..<4, using: &random) == 0
    frame.replaceSubrange(0..<6, with: one(of: isToGroup ? Self.groups : Self.stations))
    frame.replaceSubrange(6..<12, with: one(of: Self.stations))
    var offset = 12
    while offset + 4 <= frame.count, number(frame, offset) == 0x8100 || number(frame, offset) == 0x88A8 {
      let tag = one(of: [0, 1, 1, 2, 2, 5]) | one(of: [0, 0, 3 << 13, 7 << 13])
      frame.replaceSubrange(offset + 2..<offset + 4, with: bigEndian(tag, bytes: 2))
      offset += 4
    }
    let parser = ReferenceParser(frame)
    let network = parser.networkOffset
    switch parser.etherType {
    case 0x0800 where parser.transportOffset != nil:
      frame[network + 1] = one(of: [0, 1, 2, 3, 0xB8])
      frame[network + 8] = one(of: [0, 1, 2, 64])
      for start in [network + 12, network + 16] {
        frame.replaceSubrange(start..<start + 4, with: [10, 0, 0, one(of: [1, 2, 3])])
      }
    case 0x86DD where parser.transportOffset != nil:
      frame[network + 7] = one(of: [0, 1, 2, 64])
      for start in [network + 8, network + 24] {
        frame.replaceSubrange(
          start..<start + 16, with: [0x20, 1] + [UInt8](repeating: 0, count: 13) + [one(of: [1, 2, 3])])
      }
    default: break
    }
    if parser.hasTransport, [6, 17, 132].contains(parser.protocolNumber), let start = parser.transportOffset {
      frame.replaceSubrange(start..<start + 4, with: [0, one(of: [1, 80, 90]), 0, one(of: [2, 80, 81])])
    }
  }
}
