// What a match can ask for, given what it asks for: `nw_src` means nothing where the frame may be something else than
// IPv4 or ARP. Open vSwitch takes such a condition away and warns; so do we.

extension Match {
  /// Without the conditions that are on headers the match does not ask for.
  var normalized: Match {
    let allowed = meaningfulBits
    return mask.isSubset(of: allowed) ? self : Match(value: value, mask: mask & allowed)
  }

  private var meaningfulBits: FlowWords {
    let type = exact(.ethernetType)
    switch type {
    case Self.ipv4Type: return Self.ipv4Bits | transportBits(isIPv6: false)
    case Self.ipv6Type: return Self.ipv6Bits | transportBits(isIPv6: true)
    case Self.arpType, Self.rarpType: return Self.arpBits
    default: return Self.anyFrameBits
    }
  }

  private func transportBits(isIPv6: Bool) -> FlowWords {
    switch exact(.ipProtocol) {
    case 6: return Self.tcpBits
    case 17, 132: return Self.portBits
    case 1 where !isIPv6: return Self.icmpBits
    case 58 where isIPv6:
      switch exact(.icmpv6Type) {
      case 135: return Self.icmpBits | Self.solicitationBits
      case 136: return Self.icmpBits | Self.advertisementBits
      default: return Self.icmpBits
      }
    default: return FlowWords()
    }
  }

  private static func bits(_ fields: Field...) -> FlowWords {
    fields.reduce(into: FlowWords()) { $0 |= $1.mask }
  }

  private static let anyFrameBits: FlowWords = {
    var words = ~FlowWords()
    words[1] &= ~0xFFFF
    words[2] &= ~0xFFFF
    for index in 4..<FlowWords.packetCount { words[index] = 0 }
    return words
  }()
  private static let networkBits = anyFrameBits | bits(.ipProtocol, .ipFragment, .ipTOS, .ipTTL)
  private static let ipv4Bits = networkBits | bits(.ipv4Source, .ipv4Destination)
  private static let ipv6Bits = networkBits | bits(.ipv6Source, .ipv6Destination, .ipv6Label)
  private static let arpBits =
    anyFrameBits | bits(.arpSenderIP, .arpTargetIP, .arpOperation, .arpSenderMAC, .arpTargetMAC)
  private static let portBits = bits(.tcpSource, .tcpDestination)
  private static let tcpBits = portBits | bits(.tcpFlags)
  private static let icmpBits = bits(.icmpType, .icmpCode)
  private static let solicitationBits = bits(.ndTarget, .ndSourceMAC)
  private static let advertisementBits = bits(.ndTarget, .ndTargetMAC)
}
