// Matches as text, in the order Open vSwitch has: priority, what the pipeline made of the frame, then its headers from
// the outside in. The protocol's name stands for EtherType and protocol number, wherever there is one.

extension FlowFormatter {
  /// `priority=100,tcp,in_port=1,nw_dst=10.0.0.0/8`; empty for every frame.
  ///
  /// - Parameter priority: left out when nil or the default.
  public func match(_ match: Match, priority: UInt16? = nil) -> String {
    var writer = MatchWriter(match: match, ports: ports)
    if let priority, priority != FlowDescription.defaultPriority {
      writer.parts.append("priority=\(priority)")
    }
    return writer.text()
  }

  /// A frame's key as `ofproto/trace` prints it behind `Flow:`, or with a mask behind `Megaflow:`: the bits that an
  /// answer depended on.
  public func key(_ key: FlowWords, mask: FlowWords? = nil) -> String {
    if let mask {
      var frame = FlowWords()
      for index in 0..<FlowWords.packetCount { frame[index] = mask[index] }
      var writer = MatchWriter(match: Match(value: key, mask: frame), ports: ports)
      // There is no recirculation here, and every frame is Ethernet's.
      writer.parts = ["recirc_id=0", "eth"]
      return writer.text()
    }
    var writer = MatchWriter(match: Match(value: key, mask: FrameFields.mask(of: key)), ports: ports)
    return writer.text()
  }
}

/// Collects the parts of a match.
private struct MatchWriter {
  let match: Match
  let ports: (any PortNames)?
  var parts: [String] = []

  init(match: Match, ports: (any PortNames)?) {
    self.match = match
    self.ports = ports
  }

  mutating func text() -> String {
    let type = match.exact(.ethernetType)
    append(.conjunctionID, "conj_id")
    let (name, namesType, namesProtocol) = protocolName(type)
    if let name { parts.append(name) }
    for number in 0..<16 {
      guard let field = Field(rawValue: Field.reg0.rawValue + UInt8(number)) else { break }
      append(field, "reg\(number)")
    }
    append(.metadata, "metadata")
    append(.inPort, "in_port")
    appendTag(match.value[3] >> 32, match.mask[3] >> 32, suffix: "")
    appendTag(match.value[3], match.mask[3], suffix: "1")
    append(.ethernetSource, "dl_src")
    append(.ethernetDestination, "dl_dst")
    if !namesType, let type = match.get(.ethernetType) {
      parts.append("dl_type=" + TextNumber.hexadecimal(type.value, digits: 4))
    }
    appendNetwork(type, namesProtocol: namesProtocol)
    appendTransport(type)
    return parts.joined(separator: ",")
  }

  private func protocolName(_ type: UInt128?) -> (name: String?, type: Bool, number: Bool) {
    let number = match.exact(.ipProtocol)
    switch type {
    case Match.ipv4Type:
      switch number {
      case 1: return ("icmp", true, true)
      case 6: return ("tcp", true, true)
      case 17: return ("udp", true, true)
      case 132: return ("sctp", true, true)
      default: return ("ip", true, false)
      }
    case Match.ipv6Type:
      switch number {
      case 58: return ("icmp6", true, true)
      case 6: return ("tcp6", true, true)
      case 17: return ("udp6", true, true)
      case 132: return ("sctp6", true, true)
      default: return ("ipv6", true, false)
      }
    case Match.arpType: return ("arp", true, false)
    case Match.rarpType: return ("rarp", true, false)
    case 0x8847: return ("mpls", true, false)
    case 0x8848: return ("mplsm", true, false)
    default: return (nil, false, false)
    }
  }

  private mutating func append(_ field: Field, _ name: String) {
    guard let (value, mask) = match.get(field) else { return }
    let whole = mask == field.storedMaximum
    parts.append(name + "=" + field.text(value, mask: whole ? nil : mask, ports: ports))
  }

  private mutating func appendTag(_ valueBits: UInt64, _ maskBits: UInt64, suffix: String) {
    let value = UInt16(truncatingIfNeeded: valueBits)
    let mask = UInt16(truncatingIfNeeded: maskBits)
    guard mask != 0 else { return }
    let (vlan, priority) = (mask & 0x0FFF, mask & 0xE000)
    if mask & value & 0x1000 != 0, vlan == 0 || vlan == 0x0FFF, priority == 0 || priority == 0xE000,
      vlan | priority != 0
    {
      if vlan != 0 { parts.append("dl_vlan\(suffix)=\(value & 0x0FFF)") }
      if priority != 0 { parts.append("dl_vlan_pcp\(suffix)=\(value >> 13)") }
      return
    }
    let bits = mask == 0xFFFF ? "" : "/" + TextNumber.hexadecimal(mask, digits: 4)
    parts.append("vlan_tci\(suffix)=" + TextNumber.hexadecimal(value, digits: 4) + bits)
  }

  private mutating func appendNetwork(_ type: UInt128?, namesProtocol: Bool) {
    switch type {
    case Match.ipv6Type:
      append(.ipv6Source, "ipv6_src")
      append(.ipv6Destination, "ipv6_dst")
      if let (value, mask) = match.get(.ipv6Label) {
        let bits = mask == Field.ipv6Label.storedMaximum ? "" : "/" + TextNumber.hexadecimal(mask, digits: 5)
        parts.append("ipv6_label=" + TextNumber.hexadecimal(value, digits: 5) + bits)
      }
    case Match.arpType, Match.rarpType:
      append(.arpSenderIP, "arp_spa")
      append(.arpTargetIP, "arp_tpa")
      append(.arpOperation, "arp_op")
      append(.arpSenderMAC, "arp_sha")
      append(.arpTargetMAC, "arp_tha")
    default:
      append(.ipv4Source, "nw_src")
      append(.ipv4Destination, "nw_dst")
    }
    guard type != Match.arpType, type != Match.rarpType else { return }
    if !namesProtocol { append(.ipProtocol, "nw_proto") }
    if let (value, mask) = match.get(.ipDSCP) {
      // Any of its bits: written as part of the byte.
      let bits = mask == Field.ipDSCP.storedMaximum ? "" : "/" + TextNumber.hexadecimal(mask << 2)
      parts.append("nw_tos=\(value << 2)" + bits)
    }
    append(.ipECN, "nw_ecn")
    append(.ipTTL, "nw_ttl")
    if let (value, mask) = match.get(.ipFragment) {
      parts.append("nw_frag=" + FragmentText.format(value, mask: mask))
    }
  }

  private mutating func appendTransport(_ type: UInt128?) {
    let number = match.exact(.ipProtocol)
    if type == Match.ipv4Type && number == 1 || type == Match.ipv6Type && number == 58 {
      appendMessage(.icmpType, "icmp_type", part: .tcpSource, "tp_src")
      appendMessage(.icmpCode, "icmp_code", part: .tcpDestination, "tp_dst")
      guard number == 58 else { return }
      append(.ndTarget, "nd_target")
      append(.ndSourceMAC, "nd_sll")
      append(.ndTargetMAC, "nd_tll")
      return
    }
    appendPort(.tcpSource, "tp_src")
    appendPort(.tcpDestination, "tp_dst")
    append(.tcpFlags, "tcp_flags")
  }

  /// Some bits of a type or code can be asked for only by the name of the port that is in the same place.
  private mutating func appendMessage(_ field: Field, _ name: String, part: Field, _ partName: String) {
    if match.exact(field) != nil { append(field, name) } else { appendPort(part, partName) }
  }

  private mutating func appendPort(_ field: Field, _ name: String) {
    guard let (value, mask) = match.get(field) else { return }
    if mask == field.storedMaximum {
      parts.append("\(name)=\(value)")
    } else {
      parts.append(
        "\(name)=\(TextNumber.hexadecimal(value, digits: 1))/\(TextNumber.hexadecimal(mask, digits: 1))")
    }
  }
}

/// Which fields a frame has.
enum FrameFields {
  /// All bits of the fields that a frame with this key has, and of the pipeline's state that is not 0.
  static func mask(of key: FlowWords) -> FlowWords {
    var mask = Match(value: key, mask: ~FlowWords()).normalized.mask
    mask[3] = key[3] & 0x1000 << 32 != 0 ? 0x0000_FFFF_0000_FFFF : 0x0000_FFFF_0000_0000
    if key[.ipFragment] & 2 != 0 {
      // A later fragment has no transport header.
      for field in [Field.tcpSource, .tcpDestination, .tcpFlags, .ndTarget, .ndSourceMAC, .ndTargetMAC] {
        mask[field] = 0
      }
    } else if mask[.ndTarget] != 0 {
      // Solicitations and advertisements have both, in a manner of speaking.
      mask[.ndSourceMAC] = .max
      mask[.ndTargetMAC] = .max
    }
    for index in FlowWords.packetCount..<FlowWords.count {
      let bits = key[index]
      mask[index] = 0
      if index == FlowWord.metadata {
        mask[index] = bits == 0 ? 0 : .max
      } else {
        if bits >> 32 != 0 { mask[index] |= 0xFFFF_FFFF_0000_0000 }
        if bits & 0xFFFF_FFFF != 0 { mask[index] |= 0xFFFF_FFFF }
      }
    }
    return mask
  }
}
