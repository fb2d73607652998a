// What actions may stand where
// ============================
//
// Both the text of a flow and what is added to a table pass here. A list is gone through as a frame would: a field can
// be named only when the match says that the frame has it (OFPBAC_MATCH_INCONSISTENT), or an action before has put it
// there, which for tags is followed along. Lists in lists see what is known where they stand, and what they change is
// forgotten behind them. Which actions a list can hold at all, and in which order, is in `ActionCheck+Order.swift`.

struct ActionCheck {
  /// So many lists can be in each other.
  static let deepest = 32

  /// Where groups and meters must be; nil: that is checked elsewhere.
  private let tables: FlowTables?
  /// What is known of the frame; nil: nothing, and so nothing is asked for.
  private var match: Match?
  /// How many lists this one is in.
  private var depth = 0

  private init(tables: FlowTables?, match: Match?) {
    self.tables = tables
    self.match = match
  }

  /// Checks a list of actions.
  ///
  /// - Parameters:
  ///   - match: which frames come here; nil: any, and what does not fit a frame does nothing.
  ///   - tables: where groups and meters must be; nil: they are not looked for.
  static func check(
    _ actions: [Action], in place: Place = .flow, match: Match?, tables: FlowTables? = nil
  ) throws(FlowError) {
    var check = ActionCheck(tables: tables, match: match)
    try check.check(actions, in: place)
  }

  /// Checks that a table is followed only by later ones, so that there are no loops (OpenFlow 1.5 §5.5).
  static func checkJumps(_ actions: [Action], from table: UInt8) throws(FlowError) {
    for case .gotoTable(let next) in actions where next <= table {
      throw FlowError(
        "goto_table:\(next) in table \(table): frames go to later tables only; use resubmit(,\(next)) to go elsewhere"
      )
    }
  }

  private mutating func check(_ actions: [Action], in place: Place) throws(FlowError) {
    try place.checkOrder(actions)
    for action in actions { try check(action) }
  }

  private func checkNested(_ actions: [Action], in place: Place) throws(FlowError) {
    guard depth < Self.deepest else {
      throw FlowError("clone can be nested \(Self.deepest) times at most; use resubmit for more")
    }
    var inner = self
    inner.depth += 1
    try inner.check(actions, in: place)
  }

  private mutating func check(_ action: Action) throws(FlowError) {
    switch action {
    case .output(let port): try check(port)
    case .outputField(let bits), .push(let bits): try checkSource(bits.field, action)
    case .pop(let bits): try checkDestination(bits.field, action)
    case .group(let id):
      if let tables, tables.group(id) == nil { throw FlowError("There is no group \(id); add it first") }
    case .meter(let id):
      if let tables, tables.meter(id) == nil { throw FlowError("There is no meter \(id); add it first") }
    case .setField(let field, let value, let mask):
      guard mask != 0 else {
        throw FlowError(
          "set_field: no bits of \(field.info.name) are set; give a value and a mask that is not zero")
      }
      try checkSetting(field, to: value & mask, action)
    case .load(let value, let bits):
      try checkSetting(bits.field, to: value << UInt128(bits.offset), action)
    case .move(let from, let to):
      try checkWidths(from, to, action)
      try checkSource(from.field, action)
      try checkDestination(to.field, action)
    case .modVLANVID, .modVLANPCP: match?.set(.vlanTCI, 0x1000, mask: 0x1000)
    case .pushVLAN(let type): try push(type)
    case .popVLAN: match?.moveTags { $0 << 32 }
    case .learn(let learn): try check(learn, action)
    case .conjunction(let id, let clause, let clauses):
      guard 2...64 ~= clauses, 1...clauses ~= clause else {
        throw FlowError(
          "conjunction(\(id),\(clause)/\(clauses)): there are 2 to 64 clauses, and the first is 1")
      }
    case .clone(let actions): try checkNested(actions, in: .clone)
    case .writeActions(let actions): try checkNested(actions, in: .actionSet)
    case .gotoTable(let table):
      guard table < FlowTables.tableCount else {
        throw FlowError("goto_table:\(table): tables are numbered 0 to 254")
      }
    case .clearActions, .writeMetadata, .resubmit, .note, .exit, .controller, .decrementTTL,
      .modEthernetSource, .modEthernetDestination, .modIPv4Source, .modIPv4Destination, .modTOS, .modECN,
      .modTTL, .modTransportSource, .modTransportDestination:
      // The mod_ actions do nothing to frames that have not what they change, and are allowed for all.
      break
    }
  }

  private func check(_ port: PortNumber) throws(FlowError) {
    guard port < .firstReserved || port >= .inPort && port != .none else {
      throw FlowError(
        "output:\(port): frames cannot be sent there; give a port of the bridge, up to 65279, or a reserved one as NORMAL"
      )
    }
  }

  // MARK: Fields

  private func checkSource(_ field: Field, _ action: Action) throws(FlowError) {
    try require(field.info.prerequisite, for: field, action)
  }

  private func checkDestination(_ field: Field, _ action: Action) throws(FlowError) {
    guard field.info.isWritable else {
      throw FlowError("\(action.name): \(field.info.name) cannot be written, only read and matched")
    }
    try checkSource(field, action)
  }

  /// - Parameter value: as far as it is set; of a TCI, the rest is taken for 0, as Open vSwitch does.
  private mutating func checkSetting(_ field: Field, to value: UInt128, _ action: Action) throws(FlowError) {
    try checkDestination(field, action)
    // Without a tag it can be matched, but not set.
    if field == .vlanVID { try require(.vlan, for: field, action) }
    if field == .vlanTCI { match?.set(.vlanTCI, value) }
  }

  private func require(
    _ prerequisite: Prerequisite, for field: Field, _ action: Action
  ) throws(FlowError) {
    guard let match, !match.satisfies(prerequisite) else { return }
    throw FlowError(
      "\(action.name): \(field.info.name) is only there in frames that match \(prerequisite.words)")
  }

  private func checkWidths(_ from: SubField, _ to: SubField, _ action: Action) throws(FlowError) {
    guard from.count == to.count else {
      throw FlowError(
        "\(action.name): \(from.count) bits do not fit \(to.count); give as many on both sides")
    }
  }

  private mutating func push(_ type: UInt16) throws(FlowError) {
    guard type == 0x8100 || type == 0x88A8 else {
      throw FlowError("push_vlan:0x\(String(type, radix: 16)): a tag's type is 0x8100 or 0x88a8")
    }
    if let match, match.value[FlowWord.tags] & 0x1000 != 0 {
      throw FlowError("push_vlan: the frame has two tags by then, and a third cannot be pushed")
    }
    match?.moveTags { $0 >> 32 }
    match?.set(.vlanTCI, 0x1000, mask: 0x1000)
  }

  // MARK: learn

  /// A learned flow's own prerequisites are those it matches by constants.
  private func check(_ learn: LearnAction, _ action: Action) throws(FlowError) {
    guard learn.table < FlowTables.tableCount else {
      throw FlowError("learn: table \(learn.table) cannot hold flows; tables are numbered 0 to 254")
    }
    if let result = learn.resultDestination, !result.field.info.isWritable || result.count != 1 {
      throw FlowError("learn: result_dst needs one bit of a field that can be written, as reg0[0]")
    }
    var learned = ActionCheck(tables: nil, match: match == nil ? nil : Match())
    for item in learn.items {
      switch item {
      case .match(let bits, let source):
        try check(source, for: bits, action)
        try learned.checkSource(bits.field, action)
        if case .immediate(let value) = source { learned.match?.set(bits, value) }
      case .load(let bits, let source):
        try check(source, for: bits, action)
        try learned.checkDestination(bits.field, action)
      case .output(let bits): try checkSource(bits.field, action)
      }
    }
  }

  private func check(
    _ source: LearnAction.Source, for bits: SubField, _ action: Action
  ) throws(FlowError) {
    guard case .field(let from) = source else { return }
    try checkWidths(from, bits, action)
    try checkSource(from.field, action)
  }
}

extension Match {
  /// Puts what is asked of the tags in other places: the outer one is in the upper half of their word.
  fileprivate mutating func moveTags(_ move: (UInt64) -> UInt64) {
    var (value, mask) = (value, mask)
    value[FlowWord.tags] = move(value[FlowWord.tags])
    mask[FlowWord.tags] = move(mask[FlowWord.tags])
    self = Match(value: value, mask: mask)
  }
}
