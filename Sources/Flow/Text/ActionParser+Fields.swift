// Actions that write fields, and tags.

extension ActionParser {
  func setting(_ name: String, _ value: Text) throws(FlowError) -> Action? {
    switch name {
    case "set_field": return try setField(value)
    case "move": return try move(value)
    case "push": return .push(try SubField(text: value.trimmed))
    case "pop": return .pop(try SubField(text: value.trimmed))
    case "mod_dl_src": return .modEthernetSource(try ethernet(value, name))
    case "mod_dl_dst": return .modEthernetDestination(try ethernet(value, name))
    case "mod_nw_src": return .modIPv4Source(try ipv4(value, name))
    case "mod_nw_dst": return .modIPv4Destination(try ipv4(value, name))
    case "mod_nw_tos":
      let tos: UInt8 = try number(value, name, "a multiple of 4 up to 252")
      guard tos & 3 == 0 else {
        throw FlowError("mod_nw_tos:\(tos): give a multiple of 4; mod_nw_ecn sets the rest")
      }
      return .modTOS(tos)
    case "mod_nw_ecn": return .modECN(try number(value, name, "a number, 0 to 3", upTo: 3))
    case "mod_nw_ttl": return .modTTL(try number(value, name, "a number, 0 to 255"))
    case "mod_tp_src": return .modTransportSource(try number(value, name, "a port, 0 to 65535"))
    case "mod_tp_dst": return .modTransportDestination(try number(value, name, "a port, 0 to 65535"))
    case "dec_ttl": return .decrementTTL(try controllers(value))
    default: return try tag(name, value)
    }
  }

  private func tag(_ name: String, _ value: Text) throws(FlowError) -> Action? {
    switch name {
    case "mod_vlan_vid": return .modVLANVID(try number(value, name, "a VLAN, 0 to 4095", upTo: 4095))
    case "mod_vlan_pcp": return .modVLANPCP(try number(value, name, "a priority, 0 to 7", upTo: 7))
    case "set_vlan_vid":
      // OpenFlow 1.1's, which does not push a tag: what set_field does.
      let vlan: UInt16 = try number(value, name, "a VLAN, 0 to 4095", upTo: 4095)
      return .setField(.vlanVID, value: UInt128(vlan | 0x1000), mask: Field.vlanVID.wholeMask)
    case "set_vlan_pcp":
      let priority: UInt8 = try number(value, name, "a priority, 0 to 7", upTo: 7)
      return .setField(.vlanPCP, value: UInt128(priority), mask: Field.vlanPCP.wholeMask)
    case "strip_vlan", "pop_vlan": return .popVLAN
    case "push_vlan": return .pushVLAN(try number(value, name, "the tag's EtherType, 0x8100 or 0x88a8"))
    default: return nil
    }
  }

  private func setField(_ text: Text) throws(FlowError) -> Action {
    guard let (valueText, name) = text.splitAtArrow() else {
      throw FlowError("set_field:\(text.quoted): write set_field:VALUE->FIELD or set_field:VALUE/MASK->FIELD")
    }
    let fieldName = name.trimmed
    if fieldName.equals("dl_vlan") {
      return .modVLANVID(try number(valueText, "set_field to dl_vlan", "a VLAN, 0 to 4095", upTo: 4095))
    }
    guard let field = FieldName.short[fieldName.string] else {
      if fieldName.contains(.bracket) || FieldName.long[fieldName.string] != nil {
        throw FlowError(
          "set_field:\(text.quoted) sets whole fields, as reg0; use load:VALUE->\(fieldName.shown) for bits of one"
        )
      }
      _ = try FieldName.find(fieldName)
      throw FlowError("there is no field \(fieldName.quoted); see ovs-fields(7) for their names")
    }
    let value = try field.value(of: valueText, ports: ports)
    guard value.value & ~field.wholeMask == 0 else {
      throw FlowError(
        "set_field:\(text.quoted): the two lower bits of nw_tos are nw_ecn; give a multiple of 4")
    }
    return .setField(field, value: value.value, mask: value.mask)
  }

  /// More than 64 bits are loaded in two steps, as OpenFlow's action has no room for more.
  func loads(_ text: Text) throws(FlowError) -> [Action] {
    guard let (valueText, name) = text.splitAtArrow() else {
      throw FlowError("load:\(text.quoted): write load:NUMBER->FIELD[BITS]")
    }
    let bits = try SubField(text: name.trimmed)
    guard let value = TextNumber.integer(valueText) else {
      throw FlowError("load:\(text.quoted): \(valueText.quoted) is not a number; give one, or use set_field")
    }
    guard value & ~bits.ones == 0 else {
      throw FlowError(
        "load:\(text.quoted): the value does not fit in the \(bits.count) bits of \(name.shown)")
    }
    if bits.count <= 64 { return [.load(value, bits)] }
    return [
      .load(value & UInt128(UInt64.max), SubField(bits.field, offset: bits.offset, count: 64)),
      .load(value >> 64, SubField(bits.field, offset: bits.offset + 64, count: bits.count - 64)),
    ]
  }

  private func move(_ text: Text) throws(FlowError) -> Action {
    guard let (source, destination) = text.splitAtArrow() else {
      throw FlowError("move:\(text.quoted): write move:FROM[BITS]->TO[BITS]")
    }
    return .move(
      from: try SubField(text: source.trimmed), to: try SubField(text: destination.trimmed))
  }

  private func ethernet(_ text: Text, _ name: String) throws(FlowError) -> UInt64 {
    guard let address = TextNumber.ethernet(text) else {
      throw FlowError("\(name):\(text.quoted) is not valid: give an address as 00:11:22:33:44:55")
    }
    return UInt64(address)
  }

  private func ipv4(_ text: Text, _ name: String) throws(FlowError) -> UInt32 {
    guard let address = TextNumber.ipv4(text) else {
      throw FlowError("\(name):\(text.quoted) is not valid: give an address as 10.0.0.1")
    }
    return UInt32(address)
  }

  /// `dec_ttl(1,2)`
  private func controllers(_ text: Text) throws(FlowError) -> [UInt16] {
    var ids: [UInt16] = []
    for part in text.split(whereSeparator: { $0 == .comma || $0.isSpace }) {
      ids.append(try number(part, "dec_ttl", "controllers' numbers, 0 to 65535"))
    }
    return ids
  }
}
