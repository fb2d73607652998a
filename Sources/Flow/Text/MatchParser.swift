// Matches as text: `tcp,nw_dst=10.0.0.0/8`. Each pair is a protocol by name, a field or some bits of one.

/// Fills a match from pairs.
struct MatchParser {
  let ports: (any PortNames)?
  var match = Match()

  init(ports: (any PortNames)?) { self.ports = ports }

  /// EtherType and protocol number by name.
  static let protocols: [String: (type: UInt128, number: UInt128?)] = [
    "ip": (0x0800, nil), "ipv4": (0x0800, nil), "ipv6": (0x86DD, nil), "ip6": (0x86DD, nil),
    "arp": (0x0806, nil), "rarp": (0x8035, nil),
    "icmp": (0x0800, 1), "tcp": (0x0800, 6), "udp": (0x0800, 17), "sctp": (0x0800, 132),
    "mpls": (0x8847, nil), "mplsm": (0x8848, nil), "icmp6": (0x86DD, 58), "tcp6": (0x86DD, 6),
    "udp6": (0x86DD, 17), "sctp6": (0x86DD, 132),
  ]

  /// Takes what `pair` asks for into the match.
  ///
  /// - Throws: what to write instead, when it is nothing a match can have.
  mutating func take(_ pair: TextPair) throws(FlowError) {
    let name = pair.key.string
    if let (type, number) = Self.protocols[name] {
      match.set(.ethernetType, type)
      if let number { match.set(.ipProtocol, number) }
    } else if let field = FieldName.short[name] {
      guard pair.hasValue else { throw FlowError("the field \(name) needs a value: \(name)=VALUE") }
      try set(field, pair.value)
    } else if name == "dl_vlan" {
      guard pair.hasValue else { throw FlowError("dl_vlan needs a value: dl_vlan=VLAN") }
      try setVLAN(pair.value)
    } else if name == "eth" {
      // Every frame is one.
    } else if pair.key.contains(.bracket) {
      try setBits(pair)
    } else if FieldName.isUnsupported(name) {
      throw FieldName.unsupported(pair.key)
    } else if FieldName.long[name] != nil {
      throw FlowError("\(name) in a match needs the bits that are meant: \(name)[]=VALUE")
    } else {
      throw FlowError(
        "there is no field or option \(pair.key.quoted) here; see ovs-fields(7) for names of fields")
    }
  }

  private mutating func set(_ field: Field, _ text: Text) throws(FlowError) {
    set(field, try field.value(of: text, ports: ports))
  }

  private mutating func set(_ field: Field, _ value: FieldValue) {
    if field == .vlanPCP {
      // A priority is that of a tag, so the tag has to be there.
      match.clear(.vlanPCP)
      if value.mask != 0 { match.set(.vlanTCI, value.value << 13 | 0x1000, mask: 0xF000) }
    } else if field == .ipTOS {
      match.clear(.ipDSCP)
      match.set(.ipTOS, value.value, mask: value.mask)
    } else {
      match.clear(field)
      match.set(field, value.value, mask: value.mask)
    }
  }

  /// `dl_vlan=N` asks for a tag with that VLAN, `dl_vlan=0xffff` for none.
  private mutating func setVLAN(_ text: Text) throws(FlowError) {
    if text.isEmpty || text.equals("*") {
      match.clear(.vlanVID)
      return
    }
    guard let value = TextNumber.integer(text), value < 4096 || value == 0xFFFF else {
      throw FlowError(
        "dl_vlan=\(text.quoted) is not valid: give a VLAN, 0 to 4095, or 0xffff for frames without a tag")
    }
    if value == 0xFFFF {
      match.set(.vlanTCI, 0)
    } else {
      match.set(.vlanTCI, value | 0x1000, mask: 0x1FFF)
    }
  }

  /// `reg0[0..15]=5`, `NXM_NX_REG0[]=5`
  private mutating func setBits(_ pair: TextPair) throws(FlowError) {
    let bits = try SubField(text: pair.key)
    guard let value = TextNumber.integer(pair.value) else {
      throw FlowError("\(pair.key.quoted) needs a number: \(pair.key.shown)=NUMBER")
    }
    guard value & ~bits.ones == 0 else {
      throw FlowError("\(pair.value.quoted) does not fit in the \(bits.count) bits of \(pair.key.shown)")
    }
    if bits.isAllAddressable, bits.field != .vlanVID {
      set(bits.field, FieldValue(value: value & bits.field.wholeMask, mask: bits.field.wholeMask))
      return
    }
    guard bits.field.info.masking == .arbitrary else {
      throw FlowError(
        "\(bits.field.info.name) can be matched as a whole only; write \(bits.field.info.name)=VALUE")
    }
    match.set(bits, value)
  }
}
