// Fields by name: in matches, in actions, and with the bits that are meant.

enum FieldName {
  /// `eth_src`, `dl_src`, …
  static let short: [String: Field] = {
    var names: [String: Field] = [:]
    for field in Field.allCases {
      for name in field.info.names { names[name] = field }
    }
    let others: [(String, Field)] = [
      ("nw_frag", .ipFragment), ("tp_src", .tcpSource), ("tp_dst", .tcpDestination), ("in_port_oxm", .inPort),
      ("dl_vlan_pcp", .vlanPCP),
    ]
    for (name, field) in others { names[name] = field }
    return names
  }()

  /// `NXM_OF_ETH_SRC`, `OXM_OF_ETH_SRC`, …
  static let long: [String: Field] = {
    var names: [String: Field] = [:]
    for field in Field.allCases {
      for name in field.info.nxmNames { names[name] = field }
    }
    return names
  }()

  private static let unsupportedPrefixes = [
    "tun_", "tunnel_", "ct_", "mpls", "nsh_", "pkt_mark", "recirc_id", "dp_hash", "skb_priority",
    "actset_output",
    "packet_type", "NXM_NX_TUN_", "NXM_NX_CT_", "OXM_OF_MPLS_", "NXM_NX_PKT_MARK", "NXOXM_",
    "OXM_OF_TUNNEL_ID",
    "OXM_OF_PBB", "OXM_OF_ACTSET_OUTPUT", "OXM_OF_PACKET_TYPE", "NXM_NX_RECIRC_ID", "NXM_NX_DP_HASH",
    "NXM_NX_MPLS", "NXM_OF_MPLS",
  ]

  /// Whether Open vSwitch has a field of that name, and we have not.
  static func isUnsupported(_ name: String) -> Bool { unsupportedPrefixes.contains { name.hasPrefix($0) } }

  /// The field of that name, in any spelling.
  static func find(_ text: Text) throws(FlowError) -> Field {
    let name = text.string
    if let field = short[name] ?? long[name] { return field }
    if isUnsupported(name) { throw unsupported(text) }
    throw FlowError("there is no field \(text.quoted); see ovs-fields(7) for their names")
  }

  static func unsupported(_ name: Text) -> FlowError {
    FlowError("the field \(name.shown) is not supported: this switch does not match or set it")
  }
}

extension Field {
  /// How many of its bits can be named. The thirteenth of `vlan_vid` says that there is a tag, and can be set only
  /// together with the others.
  var addressableWidth: Int { self == .vlanVID ? 12 : info.width }
}

extension SubField {
  /// Whether these are all bits that can be named.
  var isAllAddressable: Bool { offset == 0 && count == field.addressableWidth }

  /// Reads `reg0`, `reg0[]`, `reg0[3]`, `reg0[0..15]`, `NXM_NX_REG0[0..15]`.
  init(text: Text) throws(FlowError) {
    guard let (name, bits) = text.split(at: .bracket) else {
      let field = try FieldName.find(text)
      self.init(field, count: field.addressableWidth)
      return
    }
    let field = try FieldName.find(name)
    guard bits.last == .closingBracket else {
      throw FlowError("\(text.quoted): expected [], [BIT] or [FIRST..LAST] behind the field's name")
    }
    let range = bits.dropLast()
    let width = field.addressableWidth
    if range.isEmpty {
      self.init(field, count: width)
      return
    }
    let first: Text
    let last: Text
    if let dot = range.firstIndex(of: .dot) {
      guard dot + 1 < range.endIndex, range[dot + 1] == .dot else {
        throw FlowError("\(text.quoted): expected [], [BIT] or [FIRST..LAST] behind the field's name")
      }
      (first, last) = (range[..<dot], range[(dot + 2)...])
    } else {
      (first, last) = (range, range)
    }
    guard let low = TextNumber.integer(first, base: 10), let high = TextNumber.integer(last, base: 10) else {
      throw FlowError("\(text.quoted): expected [], [BIT] or [FIRST..LAST] behind the field's name")
    }
    guard low <= high, high < UInt128(width) else {
      throw FlowError(
        "\(text.quoted): bits are given from the lower to the higher, and \(field.info.name) has the bits 0 to \(width - 1)"
      )
    }
    self.init(field, offset: Int(low), count: Int(high - low) + 1)
  }

  /// `NXM_NX_REG0[]`, `NXM_NX_REG0[3]`, `NXM_NX_REG0[0..15]`
  var text: String {
    if isAllAddressable { return field.info.nxmName + "[]" }
    if count == 1 { return "\(field.info.nxmName)[\(offset)]" }
    return "\(field.info.nxmName)[\(offset)..\(offset + count - 1)]"
  }
}
