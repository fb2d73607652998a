import Flow
import Seeded

// What the flows do.
extension PipelineGenerator {
  mutating func actions(in table: UInt8) -> [Action] {
    var actions = (0..<below(5)).map { _ in action(in: table, nested: 0) }
    if isPlain {
      if table + 1 < Self.tableCount, below(3) > 0 { actions.append(.resubmit(port: nil, table: table + 1)) }
      return actions
    }
    if below(8) == 0 { actions.append(.clearActions) }
    if below(5) == 0 { actions.append(.writeActions(set())) }
    if below(8) == 0 { actions.append(.writeMetadata(value: UInt64(below(3)), mask: 3)) }
    if table + 1 < Self.tableCount, below(3) > 0 {
      actions.append(.gotoTable(table + 1 + UInt8(below(Int(Self.tableCount - table) - 1))))
    }
    return actions
  }

  mutating func port() -> PortNumber { PortNumber(UInt16(one(of: [1, 2, 3, 4]))) }

  private mutating func destination() -> PortNumber {
    switch below(12) {
    case 0: .normal
    case 1: .flood
    case 2: .all
    case 3: .inPort
    case 4: .local
    case 5: PortNumber(9)
    default: port()
    }
  }

  private mutating func action(in table: UInt8, nested: Int) -> Action {
    switch below(24) {
    case 0...7: return change()
    case 8, 9: return tag()
    case 10...14: return .output(destination())
    case 15: return .outputField(subField(of: [.reg0, .inPort, .tcpSource, .reg1]))
    case 16, 17: return resubmit(from: table)
    case 18: return isPlain ? tag() : .group(UInt32(1 + below(Int(Self.groupCount))))
    case 19: return .push(subField(of: Self.written))
    case 20: return .pop(subField(of: Self.written))
    case 21:
      return nested > 1 ? .exit : .clone((0..<below(4)).map { _ in action(in: table, nested: nested + 1) })
    case 22: return .learn(learn())
    default: return one(of: [.note([1, 2]), .exit, .controller(ControllerOutput(maximumLength: 64))])
    }
  }

  private mutating func resubmit(from table: UInt8) -> Action {
    let port: PortNumber? = below(3) == 0 ? port() : nil
    if below(3) == 0 { return .resubmit(port: port, table: Self.learnedTable) }
    // Not to the same table without end, most of the time.
    if table + 1 >= Self.tableCount { return .output(self.port()) }
    return .resubmit(port: port, table: table + 1)
  }

  private mutating func tag() -> Action {
    // Over OpenFlow 1.1 and later, `mod_vlan_vid` becomes the pushing of a tag where the match does not ask for one.
    if isPlain { return one(of: [.popVLAN, .modVLANVID(UInt16(below(3))), .modVLANPCP(UInt8(below(8)))]) }
    if match.satisfies(.vlan), below(2) == 0 { return .popVLAN }
    return .pushVLAN(one(of: [0x8100, 0x88A8]))
  }

  // MARK: Fields

  static let written: [Field] = Field.allCases.filter(\.info.isWritable)

  private mutating func value(of field: Field) -> UInt128 {
    switch field {
    case .inPort: return UInt128(1 + below(4))
    case .ipTTL: return UInt128(below(4))
    // In OpenFlow 1.0, a TCI without a tag's bit takes the tag off.
    case .vlanTCI where isPlain: return one(of: [0x1001, 0x7002])
    case .vlanVID: return 0x1000 | UInt128(below(3))
    case _ where field.info.word >= FlowWords.packetCount: return UInt128(below(3))
    default: return below(6) == 0 ? UInt128(truncatingIfNeeded: random.next()) : one(of: keys)[field]
    }
  }

  private mutating func change() -> Action {
    let field = one(of: Self.written)
    let maximum = field.info.maximum
    switch below(10) {
    case 0...3: return .setField(field, value: value(of: field) & maximum, mask: maximum)
    case 4:
      let mask = UInt128(truncatingIfNeeded: random.next()) & maximum
      // OpenFlow 1.0 has no masks here.
      guard mask != 0, field.info.masking == .arbitrary, !isPlain else { return plainChange() }
      return .setField(field, value: value(of: field) & mask, mask: mask)
    case 5:
      let bits = subField(of: Self.written)
      return .load(value(of: bits.field) >> UInt128(bits.offset) & bits.ones, bits)
    case 6, 7:
      let (from, to) = (subField(of: Field.allCases), subField(of: Self.written))
      let count = min(from.count, to.count)
      return .move(
        from: SubField(from.field, offset: from.offset, count: count),
        to: SubField(to.field, offset: to.offset, count: count))
    case 8 where isPlain || match.satisfies(.ip): return .decrementTTL([])
    default: return plainChange()
    }
  }

  private mutating func plainChange() -> Action {
    var actions: [Action] = [
      .modEthernetSource(0x0200_0000_0002), .modEthernetDestination(0x0200_0000_0004),
    ]
    if isPlain || match.satisfies(.ip) { actions += [.modTTL(2), .modTOS(8), .modECN(1)] }
    if isPlain || match.satisfies(.ipv4) {
      actions += [.modIPv4Source(0x0A00_0001), .modIPv4Destination(0x0A00_0002)]
    }
    // In ICMP, where there are no ports, Open vSwitch writes type and code.
    if match.satisfies(.tcp) || match.satisfies(.udp) || match.satisfies(.sctp) {
      actions += [.modTransportSource(1), .modTransportDestination(80)]
    }
    return one(of: actions)
  }

  private mutating func subField(of fields: [Field]) -> SubField {
    let field = one(of: fields)
    let offset = below(2) == 0 ? 0 : below(field.info.width)
    let count = below(2) == 0 ? field.info.width - offset : 1 + below(field.info.width - offset)
    return SubField(field, offset: offset, count: count)
  }

  // MARK: Sets and learning

  private mutating func set() -> [Action] {
    var actions = (0..<below(4)).map { _ in below(3) == 0 ? tag() : change() }
    switch below(5) {
    case 0: actions.append(.group(UInt32(1 + below(Int(Self.groupCount)))))
    case 1: actions.append(.resubmit(port: nil, table: Self.tableCount - 1))
    case 2: break
    default: actions.append(.output(destination()))
    }
    return actions
  }

  private mutating func learn() -> LearnAction {
    var learn = LearnAction()
    learn.table = Self.learnedTable
    learn.priority = UInt16(1 + below(3))
    learn.items = [
      one(of: [
        .match(SubField(.ethernetDestination), .field(SubField(.ethernetSource))),
        .match(SubField(.vlanTCI, offset: 0, count: 12), .field(SubField(.vlanTCI, offset: 0, count: 12))),
        .match(SubField(.reg0), .immediate(1)),
        .match(SubField(.ethernetSource), .field(SubField(.ethernetSource))),
      ])
    ]
    if below(2) == 0 {
      learn.items.append(.load(SubField(.reg0, offset: 0, count: 16), .field(SubField(.inPort))))
    }
    if below(3) > 0 { learn.items.append(.output(SubField(.inPort))) }
    if below(3) == 0 { learn.limit = UInt32(1 + below(2)) }
    if below(3) == 0 { learn.resultDestination = SubField(.reg2, offset: 0, count: 1) }
    return learn
  }
}
