import Flow
import Seeded

/// Random pipelines and frames. Values come from small alphabets, so that frames match, and what one action writes is
/// what another reads.
struct TranslationGenerator {
  var random: SeededRandom

  init(seed: UInt64) { random = SeededRandom(seed: seed) }

  mutating func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &random) }
  mutating func one<Element>(of elements: [Element]) -> Element { elements[below(elements.count)] }

  static let tableCount = 4
  static let written: [Field] = [
    .inPort, .metadata, .reg0, .reg1, .xreg1, .xxreg1, .ethernetSource, .ethernetDestination, .vlanTCI,
    .vlanVID,
    .vlanPCP, .ipv4Source, .ipv4Destination, .ipv6Source, .ipv6Destination, .ipv6Label, .ipDSCP, .ipTOS,
    .ipECN,
    .ipTTL, .arpOperation, .arpSenderIP, .arpTargetMAC, .tcpSource, .tcpDestination, .udpSource,
    .sctpDestination,
    .icmpType, .icmpv6Type, .icmpv6Code, .ndTarget, .ndSourceMAC,
  ]
  static let read: [Field] = written + [.ethernetType, .ipProtocol, .ipFragment, .tcpFlags]

  // MARK: Frames

  mutating func value(of field: Field) -> UInt128 {
    switch field {
    case .inPort: UInt128(one(of: [1, 2, 3, 4, 9, 0xFFFE, 0xFFFF]))
    case .ethernetType: one(of: [0x0800, 0x86DD, 0x0806, 0x88CC])
    case .ipProtocol: one(of: [6, 17, 132, 1, 58, 0])
    case .ipFragment: one(of: [0, 0, 1, 3])
    case .ipTTL: one(of: [0, 1, 2, 3])
    case .vlanTCI: one(of: [0, 0x1001, 0x1002, 0xB001, 0x0005])
    case .vlanVID: one(of: [0x1001, 0x1002, 0x0001])
    case .icmpv6Type: one(of: [135, 136, 1])
    default: UInt128(below(3)) << (below(2) == 0 ? 0 : UInt128(field.info.width - 2))
    }
  }

  mutating func frame() -> FlowWords {
    var key = FlowWords()
    for field in Self.read where field.info.word < FlowWords.packetCount && field.info.word != FlowWord.tags {
      key[field] = value(of: field)
    }
    key[.inPort] = UInt128(1 + below(3))
    let tags = (0..<2).map { _ in
      UInt64(one(of: [0x8100, 0x88A8])) << 16 | 0x1000 | UInt64(below(3)) | UInt64(below(2)) << 13
    }
    switch below(3) {
    case 0: break
    case 1: key[FlowWord.tags] = tags[0] << 32
    default: key[FlowWord.tags] = tags[0] << 32 | tags[1]
    }
    return key
  }

  // MARK: Pipelines

  mutating func tables() -> ListTables {
    var rules: [FlowRule] = []
    for table in 0..<UInt8(Self.tableCount) {
      for _ in 0..<2 + below(5) { rules.append(rule(table)) }
      if below(3) > 0 { rules.append(FlowRule(description(table, Match(), priority: 0), created: 0)) }
    }
    var tables = ListTables(rules)
    for id in 1...UInt32(5) { tables.groups[id] = group(id) }
    tables.meters[1] = Meter(MeterDescription(id: 1), created: 0)
    tables.ports[PortNumber(4)] = FlowPort(isLive: false)
    tables.ports[.local] = FlowPort()
    return tables
  }

  private mutating func rule(_ table: UInt8) -> FlowRule {
    var match = Match()
    for _ in 0..<below(4) {
      let field = one(of: Self.read)
      let bits: UInt128 = below(3) > 0 ? .max : UInt128(truncatingIfNeeded: random.next())
      match.set(field, value(of: field), mask: bits)
    }
    return FlowRule(description(table, match, priority: UInt16(1 + below(4))), created: 0)
  }

  private mutating func description(_ table: UInt8, _ match: Match, priority: UInt16) -> FlowDescription {
    FlowDescription(table: table, priority: priority, match: match, actions: actions(in: table))
  }

  private mutating func actions(in table: UInt8) -> [Action] {
    var actions = (0..<below(6)).map { _ in action(in: table) }
    if table + 1 < UInt8(Self.tableCount), below(3) > 0 { actions.append(.gotoTable(table + 1)) }
    return actions
  }

  private mutating func group(_ id: UInt32) -> Group {
    let kind = one(of: [GroupDescription.Kind.all, .select, .indirect, .fastFailover])
    let common = set(above: id)
    let buckets = (0..<(kind == .indirect ? 1 : 1 + below(3))).map { index in
      GroupDescription.Bucket(
        id: UInt32(index), weight: UInt16(below(3)),
        watchPort: below(2) == 0 ? PortNumber(UInt16(1 + below(5))) : nil,
        watchGroup: below(4) == 0 ? id + 1 + UInt32(below(2)) : nil,
        // The reference does not know which bucket is selected.
        actions: kind == .select ? common : set(above: id))
    }
    let fields = [SubField(.ipv4Source), SubField(.tcpSource, offset: 0, count: 8), SubField(.reg0)]
    return Group(
      GroupDescription(
        id: id, kind: kind, buckets: buckets, selectionMethod: below(2) == 0 ? "hash" : "",
        selectionFields: below(2) == 0 ? fields : []), created: 0)
  }

  /// Actions for a set. Groups lead to later ones only.
  private mutating func set(above id: UInt32) -> [Action] {
    var actions = (0..<below(3)).map { _ in below(2) == 0 ? change() : tagAction() }
    switch below(5) {
    case 0: actions.append(.group(id + 1))
    case 1: actions.append(.resubmit(port: nil, table: UInt8(1 + below(Self.tableCount - 1))))
    case 2: break
    default: actions.append(.output(PortNumber(UInt16(1 + below(5)))))
    }
    return actions
  }

  // MARK: Actions

  private mutating func action(in table: UInt8, nested: Int = 0) -> Action {
    switch below(26) {
    case 0...6: change()
    case 7...9: tagAction()
    case 10...13:
      .output(one(of: [1, 2, 3, 4, 9, 0xFFF8, 0xFFFA, 0xFFFB, 0xFFFD, 0xFFFF].map { PortNumber($0) }))
    case 14: .outputField(subField(of: [.reg0, .inPort, .tcpSource, .vlanTCI]))
    case 15, 16: resubmit(from: table)
    case 17: .group(UInt32(1 + below(6)))
    case 18: .push(subField(of: Self.read))
    case 19: .pop(subField(of: Self.written))
    case 20: nested > 1 ? .exit : .clone((0..<below(4)).map { _ in action(in: table, nested: nested + 1) })
    case 21: .writeActions(set(above: 0))
    case 22: .learn(learn())
    case 23: one(of: [.meter(1), .meter(2), .clearActions, .note([1]), .exit])
    case 24: .writeMetadata(value: random.next(), mask: 3)
    default: .controller(ControllerOutput(controllerID: UInt16(below(2))))
    }
  }

  private mutating func resubmit(from table: UInt8) -> Action {
    let port: PortNumber? = below(3) == 0 ? PortNumber(UInt16(1 + below(4))) : nil
    if below(20) == 0 {
      return .resubmit(port: port, table: below(2) == 0 ? nil : UInt8(below(Self.tableCount)))
    }
    return .resubmit(port: port, table: table + 1)
  }

  private mutating func tagAction() -> Action {
    one(of: [.popVLAN, .pushVLAN(one(of: [0x8100, 0x88A8])), .modVLANVID(UInt16(below(3))), .modVLANPCP(1)])
  }

  private mutating func change() -> Action {
    let field = one(of: Self.written)
    switch below(10) {
    case 0, 1: return .setField(field, value: value(of: field), mask: field.info.maximum)
    case 2:
      return .setField(field, value: value(of: field), mask: UInt128(random.next()) & field.info.maximum)
    case 3:
      let bits = subField(of: Self.written)
      return .load(value(of: bits.field) & bits.ones, bits)
    case 4, 5:
      let (from, to) = (subField(of: Self.read), subField(of: Self.written))
      let count = min(from.count, to.count)
      return .move(
        from: SubField(from.field, offset: from.offset, count: count),
        to: SubField(to.field, offset: to.offset, count: count))
    case 6: return .decrementTTL(below(2) == 0 ? [] : [1, 2])
    case 7: return one(of: [.modEthernetSource(1), .modEthernetDestination(2), .modTTL(2)])
    case 8: return one(of: [.modIPv4Source(1), .modIPv4Destination(2), .modTOS(8), .modECN(1)])
    default: return one(of: [.modTransportSource(1), .modTransportDestination(2)])
    }
  }

  private mutating func learn() -> LearnAction {
    var learn = LearnAction()
    learn.items = [
      .match(SubField(.ethernetSource), .field(SubField(.ethernetDestination))),
      .load(SubField(.reg0), .immediate(1)), .output(SubField(.inPort)),
    ]
    if below(2) == 0 { learn.finIdleTimeout = 5 }
    if below(2) == 0 { learn.resultDestination = SubField(.reg1, offset: 4, count: 1) }
    return learn
  }

  private mutating func subField(of fields: [Field]) -> SubField {
    let field = one(of: fields)
    let offset = below(2) == 0 ? 0 : below(field.info.width)
    let count = below(2) == 0 ? field.info.width - offset : 1 + below(field.info.width - offset)
    return SubField(field, offset: offset, count: count)
  }
}
