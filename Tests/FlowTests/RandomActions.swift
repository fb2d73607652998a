@testable import Flow

extension RandomFlow {
  /// Up to eight actions, then instructions at times; all of them suit frames of `match`.
  mutating func actions(for match: Match) -> [Action] {
    if chance(5) { return [.conjunction(id: UInt32(below(1000)), clause: UInt8(1 + below(2)), clauses: 2)] }
    var actions: [Action] = []
    if chance(10) { actions.append(.meter(UInt32(1 + below(100)))) }
    for _ in 0..<below(8) { append(action(), to: &actions, match) }
    if chance(10) { append(.clearActions, to: &actions, match) }
    if chance(15) { append(.writeActions(list()), to: &actions, match) }
    if chance(15) {
      append(.writeMetadata(value: word(), mask: chance(50) ? .max : word()), to: &actions, match)
    }
    if chance(15) { append(.gotoTable(UInt8(below(255))), to: &actions, match) }
    return actions
  }

  private func append(_ action: Action, to actions: inout [Action], _ match: Match) {
    let candidate = actions + [action]
    guard (try? ActionCheck.check(candidate, match: match)) != nil else { return }
    actions = candidate
  }

  /// A list within another.
  private mutating func list() -> [Action] {
    var actions: [Action] = []
    for _ in 0..<below(4) { actions.append(plainAction()) }
    return actions
  }

  mutating func action() -> Action {
    switch below(12) {
    case 0: .clone(list())
    case 1: .learn(learn())
    case 2: .note((0..<below(9)).map { _ in UInt8(below(256)) })
    case 3: .exit
    case 4: chance(50) ? .resubmit(port: nil, table: UInt8(below(255))) : .resubmit(port: port(), table: nil)
    case 5: .resubmit(port: port(), table: UInt8(below(255)))
    default: plainAction()
    }
  }

  private mutating func plainAction() -> Action {
    switch below(20) {
    case 0, 1: .output(port())
    case 2: .output(one(of: [.inPort, .table, .normal, .flood, .all, .local]))
    case 3: .outputField(bits(writable: false))
    case 4:
      .controller(
        ControllerOutput(
          reason: one(of: ControllerOutput.Reason.allCases), maximumLength: UInt16(below(65536)),
          controllerID: UInt16(below(3))))
    case 5: .group(UInt32(below(1000)))
    case 6, 7, 8: setField()
    case 9, 10:
      load()
    case 11: move()
    case 12: chance(50) ? .push(bits(writable: false)) : .pop(bits(writable: true))
    case 13: chance(50) ? .popVLAN : .pushVLAN(chance(50) ? 0x8100 : 0x88A8)
    case 14: .decrementTTL((0..<below(3)).map { _ in UInt16(below(65536)) })
    default: modification()
    }
  }

  private mutating func modification() -> Action {
    switch below(11) {
    case 0: .modEthernetSource(word() >> 16)
    case 1: .modEthernetDestination(word() >> 16)
    case 2: .modIPv4Source(UInt32(truncatingIfNeeded: word()))
    case 3: .modIPv4Destination(UInt32(truncatingIfNeeded: word()))
    case 4: .modTOS(UInt8(below(64) << 2))
    case 5: .modECN(UInt8(below(4)))
    case 6: .modTTL(UInt8(below(256)))
    case 7: .modTransportSource(UInt16(below(65536)))
    case 8: .modTransportDestination(UInt16(below(65536)))
    case 9: .modVLANVID(UInt16(below(4096)))
    default: .modVLANPCP(UInt8(below(8)))
    }
  }

  private mutating func field(writable: Bool) -> Field {
    let fields = Field.allCases.filter { !writable || $0.info.isWritable }
    return one(of: fields)
  }

  /// Some bits of a field, up to 64.
  mutating func bits(writable: Bool) -> SubField {
    let field = field(writable: writable)
    let width = field.addressableWidth
    if chance(40), width <= 64 { return SubField(field, count: width) }
    let offset = below(width)
    return SubField(field, offset: offset, count: 1 + below(min(width - offset, 64)))
  }

  private mutating func setField() -> Action {
    let field = field(writable: true)
    let whole = field.wholeMask
    let value = (chance(10) ? 0 : number()) & (field == .arpOperation ? 0xFF : whole)
    guard field.info.masking == .arbitrary, chance(30) else {
      return .setField(field, value: value, mask: whole)
    }
    let mask = number() & whole
    return .setField(field, value: value, mask: mask == 0 ? 1 : mask)
  }

  private mutating func load() -> Action {
    let bits = bits(writable: true)
    return .load((chance(20) ? 0 : number()) & bits.ones, bits)
  }

  private mutating func move() -> Action {
    let from = bits(writable: false)
    let to = bits(writable: true)
    let count = min(from.count, to.count)
    return .move(
      from: SubField(from.field, offset: from.offset, count: count),
      to: SubField(to.field, offset: to.offset, count: count))
  }

  private mutating func learn() -> LearnAction {
    var learn = LearnAction()
    learn.table = UInt8(below(255))
    if chance(50) { learn.priority = UInt16(below(65536)) }
    if chance(50) { learn.idleTimeout = UInt16(below(65536)) }
    if chance(30) { learn.hardTimeout = UInt16(below(65536)) }
    if chance(20) { learn.finIdleTimeout = UInt16(below(65536)) }
    if chance(20) { learn.finHardTimeout = UInt16(below(65536)) }
    if chance(30) { learn.cookie = word() }
    learn.sendsFlowRemoved = chance(20)
    learn.deletesLearned = chance(20)
    if chance(20) { learn.limit = UInt32(below(1000)) }
    if chance(20) { learn.resultDestination = SubField(.reg3, offset: below(32), count: 1) }
    for _ in 0..<below(5) { learn.items.append(item()) }
    return learn
  }

  private mutating func item() -> LearnAction.Item {
    let bits = bits(writable: true)
    let value =
      number() & bits.ones & (bits.isAllAddressable ? bits.field.wholeMask & bits.field.storedMaximum : .max)
    switch below(5) {
    case 0: return .match(bits, .field(bits))
    case 1: return .match(bits, .immediate(value))
    case 2: return .load(bits, .immediate(value))
    case 3: return .output(self.bits(writable: false))
    default:
      guard case .move(let from, let to) = move() else { return .output(bits) }
      return chance(50) ? .match(to, .field(from)) : .load(to, .field(from))
    }
  }

  // MARK: Groups and meters

  mutating func group() -> GroupDescription {
    var group = GroupDescription(
      id: UInt32(below(1000)), kind: one(of: GroupDescription.Kind.allCases))
    for index in 0..<(group.kind == .indirect ? 1 : below(5)) {
      var bucket = GroupDescription.Bucket(id: UInt32(index * 2 + below(2)), actions: list())
      if group.kind == .select { bucket.weight = UInt16(below(100)) }
      if group.kind == .fastFailover || group.kind == .select && chance(20) {
        bucket.watchPort = PortNumber(UInt16(1 + below(8)))
        if chance(20) { bucket.watchGroup = UInt32(below(1000)) }
      }
      group.buckets.append(bucket)
    }
    guard group.kind == .select, chance(60) else { return group }
    group.selectionMethod = one(of: ["hash", "dp_hash"])
    if chance(50) { group.selectionParameter = word() }
    if group.selectionMethod == "hash" {
      group.selectionFields = [
        SubField(.ethernetDestination, offset: 8), SubField(.ipv4Source),
        SubField(.tcpDestination, offset: 0, count: 8),
      ]
      group.selectionFields.removeLast(below(4))
    }
    return group
  }

  mutating func meter() -> MeterDescription {
    var meter = MeterDescription(
      id: UInt32(1 + below(1000)), unit: one(of: MeterDescription.Unit.allCases), hasBurst: chance(50),
      wantsStatistics: chance(50))
    for _ in 0...below(3) {
      meter.bands.append(
        MeterDescription.Band(
          rate: UInt32(1 + below(1_000_000)), burstSize: meter.hasBurst ? UInt32(below(100_000)) : 0))
    }
    return meter
  }
}
