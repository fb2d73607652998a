// The fields
// ==========
//
// `Field.table` is the contents page: every field a flow can match or an action can name, with its names, its place in
// `FlowWords`, how it may be masked, what has to be matched before it makes sense, and how its values are written.
// Names are those of `ovs-fields(7)`.

/// A field of a frame, or of the pipeline's state.
public enum Field: UInt8, CaseIterable, Sendable {
  case inPort, metadata
  case reg0, reg1, reg2, reg3, reg4, reg5, reg6, reg7, reg8, reg9, reg10, reg11, reg12, reg13, reg14, reg15
  case xreg0, xreg1, xreg2, xreg3, xreg4, xreg5, xreg6, xreg7
  case xxreg0, xxreg1, xxreg2, xxreg3
  case conjunctionID
  case ethernetSource, ethernetDestination, ethernetType
  case vlanTCI, vlanVID, vlanPCP
  case ipv4Source, ipv4Destination, ipv6Source, ipv6Destination, ipv6Label
  case ipProtocol, ipDSCP, ipTOS, ipECN, ipTTL, ipFragment
  case arpOperation, arpSenderIP, arpTargetIP, arpSenderMAC, arpTargetMAC
  case tcpSource, tcpDestination, tcpFlags, udpSource, udpDestination, sctpSource, sctpDestination
  case icmpType, icmpCode, icmpv6Type, icmpv6Code, ndTarget, ndSourceMAC, ndTargetMAC
}

/// What a match has to say before a field makes sense in it.
public enum Prerequisite: Sendable {
  case none, vlan, arp, ipv4, ipv6
  /// IPv4 or IPv6.
  case ip
  case tcp, udp, sctp, icmpv4, icmpv6
  /// A neighbour solicitation or advertisement, a solicitation, an advertisement.
  case neighbor, neighborSolicitation, neighborAdvertisement

  /// What a match has to have, as one writes it.
  var words: String {
    switch self {
    case .none: "anything"
    case .vlan: "a VLAN tag (vlan_tci=0x1000/0x1000, or dl_vlan), or pushes one before"
    case .arp: "arp or rarp"
    case .ipv4: "ip"
    case .ipv6: "ipv6"
    case .ip: "ip or ipv6"
    case .tcp: "tcp or tcp6"
    case .udp: "udp or udp6"
    case .sctp: "sctp or sctp6"
    case .icmpv4: "icmp"
    case .icmpv6: "icmp6"
    case .neighbor: "icmp6,icmpv6_type=135 or icmp6,icmpv6_type=136"
    case .neighborSolicitation: "icmp6,icmpv6_type=135"
    case .neighborAdvertisement: "icmp6,icmpv6_type=136"
    }
  }
}

/// A field's line of the table.
public struct FieldInfo: Sendable {
  /// How masks may look: none but all ones, or any.
  public enum Masking: Sendable {
    case exact, arbitrary
  }

  /// How a value is written.
  public enum Format: Sendable {
    case decimal, hexadecimal, ethernet, ipv4, ipv6, port, fragment, tcpFlags
  }

  /// The name in matches, and other names of the same.
  public let names: [String]
  /// The name in actions and sub-fields: `NXM_NX_REG0`; then its other one, if any (`OXM_OF_…`).
  public let nxmNames: [String]
  /// The first word; a field of more than 64 bits goes on in the next, most significant first.
  public let word: Int
  /// Bits below it in its (last) word.
  public let shift: Int
  /// Bits it has by its definition.
  public let width: Int
  /// Bits kept of it: fewer only for arp_op.
  public let storedWidth: Int
  public let masking: Masking
  public let prerequisite: Prerequisite
  /// Whether actions may write it.
  public let isWritable: Bool
  public let format: Format

  init(
    _ names: [String], _ nxmNames: [String], at word: Int, shift: Int, width: Int, stored: Int? = nil,
    _ masking: Masking, _ format: Format, _ prerequisite: Prerequisite = .none, writable: Bool = true
  ) {
    self.names = names
    self.nxmNames = nxmNames
    self.word = word
    self.shift = shift
    self.width = width
    storedWidth = stored ?? width
    self.masking = masking
    self.prerequisite = prerequisite
    isWritable = writable
    self.format = format
  }

  public var name: String { names[0] }
  public var nxmName: String { nxmNames[0] }
  /// All bits of a value.
  public var maximum: UInt128 { .ones(width) }
}

extension Field {
  public var info: FieldInfo { Self.table[Int(rawValue)] }

  /// One entry per case, in the order of the cases.
  public static let table: [FieldInfo] = allCases.map(makeInfo)

  private static func makeInfo(_ field: Field) -> FieldInfo {
    switch field {
    case .inPort: FieldInfo(["in_port"], ["NXM_OF_IN_PORT"], at: 0, shift: 16, width: 16, .exact, .port)
    case .metadata:
      FieldInfo(
        ["metadata"], ["OXM_OF_METADATA"], at: FlowWord.metadata, shift: 0, width: 64, .arbitrary,
        .hexadecimal)
    case .conjunctionID:
      FieldInfo(
        ["conj_id"], ["NXM_NX_CONJ_ID"], at: FlowWord.conjunction, shift: 32, width: 32, .exact, .decimal,
        writable: false)
    default: registerInfo(field) ?? linkInfo(field) ?? networkInfo(field) ?? transportInfo(field)!
    }
  }

  private static func registerInfo(_ field: Field) -> FieldInfo? {
    func index(from first: Field) -> Int { Int(field.rawValue) - Int(first.rawValue) }
    let first = FlowWord.registers
    switch field.rawValue {
    case Field.reg0.rawValue...Field.reg15.rawValue:
      let number = index(from: .reg0)
      return FieldInfo(
        ["reg\(number)"], ["NXM_NX_REG\(number)"], at: first + number / 2, shift: number % 2 == 0 ? 32 : 0,
        width: 32, .arbitrary, .hexadecimal)
    case Field.xreg0.rawValue...Field.xreg7.rawValue:
      let number = index(from: .xreg0)
      return FieldInfo(
        ["xreg\(number)"], ["OXM_OF_PKT_REG\(number)"], at: first + number, shift: 0, width: 64, .arbitrary,
        .hexadecimal)
    case Field.xxreg0.rawValue...Field.xxreg3.rawValue:
      let number = index(from: .xxreg0)
      return FieldInfo(
        ["xxreg\(number)"], ["NXM_NX_XXREG\(number)"], at: first + 2 * number, shift: 0, width: 128,
        .arbitrary, .hexadecimal)
    default: return nil
    }
  }

  private static func linkInfo(_ field: Field) -> FieldInfo? {
    switch field {
    case .ethernetSource:
      FieldInfo(
        ["eth_src", "dl_src"], ["NXM_OF_ETH_SRC", "OXM_OF_ETH_SRC"], at: 2, shift: 16, width: 48, .arbitrary,
        .ethernet)
    case .ethernetDestination:
      FieldInfo(
        ["eth_dst", "dl_dst"], ["NXM_OF_ETH_DST", "OXM_OF_ETH_DST"], at: 1, shift: 16, width: 48, .arbitrary,
        .ethernet)
    case .ethernetType:
      FieldInfo(
        ["eth_type", "dl_type"], ["NXM_OF_ETH_TYPE", "OXM_OF_ETH_TYPE"], at: 0, shift: 0, width: 16, .exact,
        .hexadecimal, writable: false)
    case .vlanTCI:
      FieldInfo(["vlan_tci"], ["NXM_OF_VLAN_TCI"], at: 3, shift: 32, width: 16, .arbitrary, .hexadecimal)
    case .vlanVID:
      // 13 bits: bit 12 says that there is a tag (OpenFlow 1.5 §7.2.3.7).
      FieldInfo(["vlan_vid"], ["OXM_OF_VLAN_VID"], at: 3, shift: 32, width: 13, .arbitrary, .decimal)
    case .vlanPCP:
      FieldInfo(["vlan_pcp"], ["OXM_OF_VLAN_PCP"], at: 3, shift: 45, width: 3, .exact, .decimal, .vlan)
    default: nil
    }
  }

  private static func networkInfo(_ field: Field) -> FieldInfo? {
    switch field {
    case .ipv4Source:
      FieldInfo(
        ["ip_src", "nw_src"], ["NXM_OF_IP_SRC", "OXM_OF_IPV4_SRC"], at: 4, shift: 32, width: 32, .arbitrary,
        .ipv4, .ipv4)
    case .ipv4Destination:
      FieldInfo(
        ["ip_dst", "nw_dst"], ["NXM_OF_IP_DST", "OXM_OF_IPV4_DST"], at: 4, shift: 0, width: 32, .arbitrary,
        .ipv4, .ipv4)
    case .ipv6Source:
      FieldInfo(
        ["ipv6_src"], ["NXM_NX_IPV6_SRC", "OXM_OF_IPV6_SRC"], at: 7, shift: 0, width: 128, .arbitrary, .ipv6,
        .ipv6)
    case .ipv6Destination:
      FieldInfo(
        ["ipv6_dst"], ["NXM_NX_IPV6_DST", "OXM_OF_IPV6_DST"], at: 9, shift: 0, width: 128, .arbitrary, .ipv6,
        .ipv6)
    case .ipv6Label:
      FieldInfo(
        ["ipv6_label"], ["NXM_NX_IPV6_LABEL", "OXM_OF_IPV6_FLABEL"], at: 6, shift: 32, width: 20, .arbitrary,
        .hexadecimal, .ipv6)
    case .ipProtocol:
      FieldInfo(
        ["nw_proto", "ip_proto"], ["NXM_OF_IP_PROTO", "OXM_OF_IP_PROTO"], at: 1, shift: 8, width: 8, .exact,
        .decimal, .ip, writable: false)
    case .ipDSCP:
      FieldInfo(["ip_dscp"], ["OXM_OF_IP_DSCP"], at: 5, shift: 26, width: 6, .exact, .decimal, .ip)
    case .ipTOS:
      // Its two ECN bits are not part of it, though it has them by name.
      FieldInfo(["nw_tos"], ["NXM_OF_IP_TOS"], at: 5, shift: 24, width: 8, .exact, .decimal, .ip)
    case .ipECN:
      FieldInfo(
        ["nw_ecn", "ip_ecn"], ["NXM_NX_IP_ECN", "OXM_OF_IP_ECN"], at: 5, shift: 24, width: 2, .exact,
        .decimal, .ip)
    case .ipTTL:
      FieldInfo(["nw_ttl"], ["NXM_NX_IP_TTL"], at: 5, shift: 16, width: 8, .exact, .decimal, .ip)
    case .ipFragment:
      FieldInfo(
        ["ip_frag"], ["NXM_NX_IP_FRAG"], at: 1, shift: 0, width: 2, .arbitrary, .fragment, .ip,
        writable: false)
    case .arpOperation:
      FieldInfo(
        ["arp_op"], ["NXM_OF_ARP_OP", "OXM_OF_ARP_OP"], at: 1, shift: 8, width: 16, stored: 8, .exact,
        .decimal, .arp)
    case .arpSenderIP:
      FieldInfo(
        ["arp_spa"], ["NXM_OF_ARP_SPA", "OXM_OF_ARP_SPA"], at: 4, shift: 32, width: 32, .arbitrary, .ipv4,
        .arp)
    case .arpTargetIP:
      FieldInfo(
        ["arp_tpa"], ["NXM_OF_ARP_TPA", "OXM_OF_ARP_TPA"], at: 4, shift: 0, width: 32, .arbitrary, .ipv4, .arp
      )
    case .arpSenderMAC:
      FieldInfo(
        ["arp_sha"], ["NXM_NX_ARP_SHA", "OXM_OF_ARP_SHA"], at: 13, shift: 16, width: 48, .arbitrary,
        .ethernet, .arp)
    case .arpTargetMAC:
      FieldInfo(
        ["arp_tha"], ["NXM_NX_ARP_THA", "OXM_OF_ARP_THA"], at: 14, shift: 16, width: 48, .arbitrary,
        .ethernet, .arp)
    default: nil
    }
  }

  private static func transportInfo(_ field: Field) -> FieldInfo? {
    func port(_ name: String, _ nxm: [String], isSource: Bool, _ prerequisite: Prerequisite) -> FieldInfo {
      FieldInfo([name], nxm, at: 5, shift: isSource ? 48 : 32, width: 16, .arbitrary, .decimal, prerequisite)
    }
    func icmp(_ name: String, _ nxm: [String], isType: Bool, _ prerequisite: Prerequisite) -> FieldInfo {
      FieldInfo([name], nxm, at: 5, shift: isType ? 48 : 32, width: 8, .exact, .decimal, prerequisite)
    }
    return switch field {
    case .tcpSource: port("tcp_src", ["NXM_OF_TCP_SRC", "OXM_OF_TCP_SRC"], isSource: true, .tcp)
    case .tcpDestination: port("tcp_dst", ["NXM_OF_TCP_DST", "OXM_OF_TCP_DST"], isSource: false, .tcp)
    case .tcpFlags:
      FieldInfo(
        ["tcp_flags"], ["NXM_NX_TCP_FLAGS", "OXM_OF_TCP_FLAGS"], at: 2, shift: 0, width: 12, .arbitrary,
        .tcpFlags, .tcp, writable: false)
    case .udpSource: port("udp_src", ["NXM_OF_UDP_SRC", "OXM_OF_UDP_SRC"], isSource: true, .udp)
    case .udpDestination: port("udp_dst", ["NXM_OF_UDP_DST", "OXM_OF_UDP_DST"], isSource: false, .udp)
    case .sctpSource: port("sctp_src", ["OXM_OF_SCTP_SRC"], isSource: true, .sctp)
    case .sctpDestination: port("sctp_dst", ["OXM_OF_SCTP_DST"], isSource: false, .sctp)
    case .icmpType: icmp("icmp_type", ["NXM_OF_ICMP_TYPE", "OXM_OF_ICMPV4_TYPE"], isType: true, .icmpv4)
    case .icmpCode: icmp("icmp_code", ["NXM_OF_ICMP_CODE", "OXM_OF_ICMPV4_CODE"], isType: false, .icmpv4)
    case .icmpv6Type:
      icmp("icmpv6_type", ["NXM_NX_ICMPV6_TYPE", "OXM_OF_ICMPV6_TYPE"], isType: true, .icmpv6)
    case .icmpv6Code:
      icmp("icmpv6_code", ["NXM_NX_ICMPV6_CODE", "OXM_OF_ICMPV6_CODE"], isType: false, .icmpv6)
    case .ndTarget:
      FieldInfo(
        ["nd_target"], ["NXM_NX_ND_TARGET", "OXM_OF_IPV6_ND_TARGET"], at: 11, shift: 0, width: 128,
        .arbitrary, .ipv6, .neighbor)
    case .ndSourceMAC:
      FieldInfo(
        ["nd_sll"], ["NXM_NX_ND_SLL", "OXM_OF_IPV6_ND_SLL"], at: 13, shift: 16, width: 48, .arbitrary,
        .ethernet, .neighborSolicitation)
    case .ndTargetMAC:
      FieldInfo(
        ["nd_tll"], ["NXM_NX_ND_TLL", "OXM_OF_IPV6_ND_TLL"], at: 14, shift: 16, width: 48, .arbitrary,
        .ethernet, .neighborAdvertisement)
    default: nil
    }
  }
}

// Fields in words.
extension FlowWords {
  /// The value of `field`, of its `storedWidth` bits.
  public subscript(_ field: Field) -> UInt128 {
    get {
      let info = field.info
      if info.storedWidth == 128 { return UInt128(self[info.word]) << 64 | UInt128(self[info.word + 1]) }
      let bits = info.storedWidth == 64 ? UInt64.max : (1 << UInt64(info.storedWidth)) - 1
      return UInt128(self[info.word] >> UInt64(info.shift) & bits)
    }
    set {
      let info = field.info
      if info.storedWidth == 128 {
        self[info.word] = UInt64(truncatingIfNeeded: newValue >> 64)
        self[info.word + 1] = UInt64(truncatingIfNeeded: newValue)
        return
      }
      let bits = info.storedWidth == 64 ? UInt64.max : (1 << UInt64(info.storedWidth)) - 1
      let value = UInt64(truncatingIfNeeded: newValue) & bits
      self[info.word] = self[info.word] & ~(bits << UInt64(info.shift)) | value << UInt64(info.shift)
    }
  }
}

extension Field {
  /// All stored bits of the field, as a mask.
  public var mask: FlowWords {
    var words = FlowWords()
    words[self] = .max
    return words
  }
}

/// Some bits of a field: `NXM_NX_REG0[0..15]`.
public struct SubField: Hashable, Sendable {
  public let field: Field
  /// The lowest bit.
  public let offset: Int
  /// How many bits, 1 at least; `offset + count` is at most the field's width.
  public let count: Int

  public init(_ field: Field, offset: Int = 0, count: Int? = nil) {
    self.field = field
    self.offset = offset
    self.count = count ?? field.info.width - offset
  }

  public var isWholeField: Bool { offset == 0 && count == field.info.width }

  /// `count` ones, from bit 0.
  public var ones: UInt128 { .ones(count) }
  /// These bits of the field's value.
  public var fieldMask: UInt128 { ones << UInt128(offset) }

  /// These bits of `words`, moved down to bit 0.
  public func read(_ words: FlowWords) -> UInt128 { words[field] >> UInt128(offset) & ones }

  /// Puts the low bits of `value` there.
  public func write(_ value: UInt128, to words: inout FlowWords) {
    words[field] = words[field] & ~fieldMask | value << UInt128(offset) & fieldMask
  }

  /// These bits as a mask.
  public var mask: FlowWords {
    var words = FlowWords()
    words[field] = fieldMask
    return words
  }
}

extension UInt128 {
  /// `count` ones, from bit 0; at most 128.
  static func ones(_ count: Int) -> UInt128 { count >= 128 ? .max : (1 << UInt128(count)) - 1 }
}
