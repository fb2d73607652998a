import Flow

// Keys, matches and actions from a fuzzer's bytes. Values are mostly small, so that flows and frames meet; whether what
// comes out makes sense is for the pipeline to say.
extension ByteScript {
  mutating func key() -> FlowWords {
    var key = FlowWords()
    key[.inPort] = UInt128(1 + below(4))
    let kind = byte()
    key[.ethernetType] = [0x0800, 0x86DD, 0x0806, 0x8035, 0x88CC][Int(kind) % 5]
    if kind & 0x40 != 0 { key[.vlanTCI] = 0x1000 | UInt128(number(2)) }
    key[.ipProtocol] = [6, 17, 1, 58, 132, 47][below(6)]
    for _ in 0..<below(8) { key[field()] = value() }
    return key
  }

  mutating func match() -> Match {
    var match = Match()
    switch below(8) {
    case 0: break
    case 1: match.set(.ethernetType, 0x0806)
    case let kind:
      match.set(.ethernetType, kind & 1 == 0 ? 0x0800 : 0x86DD)
      if kind > 3 { match.set(.ipProtocol, [6, 17, kind == 4 ? 1 : 58, 132][below(4)]) }
    }
    for _ in 0..<below(4) {
      let field = field()
      let mask: UInt128 = field.info.masking == .exact || below(2) == 0 ? .max : value()
      match.set(field, value(), mask: mask)
    }
    return match
  }

  mutating func actions(depth: Int = 0) -> [Action] {
    (0..<below(5)).map { _ in action(depth) }
  }

  private mutating func field() -> Field { Field.allCases[below(Field.allCases.count)] }

  private mutating func value() -> UInt128 {
    switch below(4) {
    case 0: UInt128(byte())
    case 1: UInt128(number(2))
    case 2: UInt128(number(8)) << 64 | UInt128(number(8))
    default: 0
    }
  }

  private mutating func port() -> PortNumber {
    let choice = below(12)
    return choice < 6 ? PortNumber(UInt16(choice)) : PortNumber(0xFFFF - UInt16(choice - 6))
  }

  /// Some bits of a field.
  private mutating func bits() -> SubField {
    let field = field()
    let width = field == .vlanVID ? 12 : field.info.width
    let offset = below(width)
    return SubField(field, offset: offset, count: 1 + below(min(width - offset, 64)))
  }

  private mutating func action(_ depth: Int) -> Action {
    let choice = below(32)
    switch choice {
    case 0...3: return .output(port())
    case 4: return .outputField(bits())
    case 5: return .controller(ControllerOutput(maximumLength: UInt16(number(2))))
    case 6...7: return .group(UInt32(below(4)))
    case 8...9:
      let field = field()
      // Of nw_tos and arp_op, some bits cannot be set.
      let whole: UInt128 = field == .ipTOS ? 0xFC : field.storedMaximum
      let isWhole = field.info.masking == .exact || below(2) == 0
      let mask = isWhole ? field == .ipTOS ? 0xFC : field.info.maximum : value() & whole
      return .setField(field, value: value() & whole & mask, mask: mask)
    case 10:
      let bits = bits()
      return .load(value() & bits.ones, bits)
    case 11:
      let (from, to) = (bits(), bits())
      let count = min(from.count, to.count)
      return .move(
        from: SubField(from.field, offset: from.offset, count: count),
        to: SubField(to.field, offset: to.offset, count: count))
    case 12: return .push(bits())
    case 13: return .pop(bits())
    case 14...21: return simpleAction(choice)
    case 22...24: return .resubmit(port: below(2) == 0 ? port() : nil, table: UInt8(below(4)))
    case 25: return .learn(learn())
    case 26: return .conjunction(id: UInt32(below(3)), clause: UInt8(below(4)), clauses: UInt8(below(4)))
    case 27 where depth < 4: return .clone(actions(depth: depth + 1))
    case 28 where depth < 4: return .writeActions(actions(depth: depth + 1))
    case 29: return .writeMetadata(value: number(2), mask: number(2))
    case 30: return .gotoTable(UInt8(below(5)))
    default: return below(2) == 0 ? .exit : .clearActions
    }
  }

  private mutating func simpleAction(_ choice: Int) -> Action {
    switch choice {
    case 14: .meter(UInt32(below(3)))
    case 15: .popVLAN
    case 16: .pushVLAN(below(2) == 0 ? 0x8100 : 0x88A8)
    case 17: below(2) == 0 ? .modVLANVID(UInt16(number(2)) & 0xFFF) : .modVLANPCP(UInt8(below(8)))
    case 18: .decrementTTL([])
    case 19: below(2) == 0 ? .modIPv4Source(UInt32(number(2))) : .modIPv4Destination(UInt32(number(2)))
    case 20:
      below(2) == 0 ? .modTransportSource(UInt16(number(2))) : .modTransportDestination(UInt16(number(2)))
    default: [.modTOS(4), .modECN(1), .modTTL(byte()), .modEthernetSource(5), .note([1])][below(5)]
    }
  }

  private mutating func learn() -> LearnAction {
    var learn = LearnAction()
    learn.table = UInt8(below(4))
    learn.priority = UInt16(below(4))
    learn.idleTimeout = UInt16(below(3))
    learn.cookie = UInt64(below(3))
    learn.deletesLearned = below(2) == 0
    learn.limit = UInt32(below(3))
    if below(2) == 0 { learn.resultDestination = SubField(.reg0, offset: below(32), count: 1) }
    for _ in 0..<below(4) {
      let (from, to) = (bits(), bits())
      let count = min(from.count, to.count)
      let source = LearnAction.Source.field(SubField(from.field, offset: from.offset, count: count))
      let target = SubField(to.field, offset: to.offset, count: count)
      switch below(5) {
      case 0: learn.items.append(.match(target, source))
      case 1: learn.items.append(.match(to, .immediate(value() & to.ones)))
      case 2: learn.items.append(.load(target, source))
      case 3: learn.items.append(.load(to, .immediate(value() & to.ones)))
      default: learn.items.append(.output(from))
      }
    }
    return learn
  }
}
