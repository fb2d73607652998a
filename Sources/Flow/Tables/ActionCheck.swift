/// Goes through actions as a frame would, and refuses those that make no sense for a frame like that: a field is there
/// only when the match says so (OFPBAC_MATCH_INCONSISTENT), or an action before has put it there.
struct ActionCheck {
  /// Where groups and meters must be; nil: that is checked elsewhere.
  private let tables: FlowTables?
  /// What is known of the frame; nil: nothing, and so nothing is asked for.
  private var match: Match?
  /// How many actions these are in.
  private var depth = 0
  private static let deepest = 32

  init(tables: FlowTables?, match: Match?) {
    self.tables = tables
    self.match = match
  }

  mutating func check(_ action: Action) throws(FlowError) {
    switch action {
    case .output(let port): try check(port)
    case .outputField(let bits): try checkSource(bits, "output")
    case .group(let id):
      if let tables, tables.group(id) == nil { throw FlowError("There is no group \(id); add it first") }
    case .meter(let id):
      if let tables, tables.meter(id) == nil { throw FlowError("There is no meter \(id); add it first") }
    case .setField(let field, _, _): try checkDestination(field, "set_field")
    case .load(_, let bits): try checkDestination(bits, "load")
    case .move(let from, let to):
      guard from.count == to.count else {
        throw FlowError("move: \(from.count) bits do not fit \(to.count); give as many on both sides")
      }
      try checkSource(from, "move")
      try checkDestination(to, "move")
    case .push(let bits): try checkSource(bits, "push")
    case .pop(let bits): try checkDestination(bits, "pop")
    case .modVLANVID, .modVLANPCP, .popVLAN, .pushVLAN: try followTags(action)
    case .learn(let learn): try check(learn)
    case .conjunction(let id, let clause, let clauses):
      guard 2...64 ~= clauses, 1...clauses ~= clause else {
        throw FlowError(
          "conjunction(\(id),\(clause)/\(clauses)): there are 2 to 64 clauses, counted from 1")
      }
    case .clone(let actions):
      var inner = try nested()
      for action in actions {
        try Self.checkNested(action, in: "clone")
        try inner.check(action)
      }
    case .writeActions(let actions):
      var inner = try nested()
      for action in actions {
        try Self.checkNested(action, in: "write_actions")
        try Self.checkActionSet(action)
        try inner.check(action)
      }
    case .gotoTable, .clearActions, .writeMetadata, .resubmit, .note, .exit, .controller, .decrementTTL,
      .modEthernetSource, .modEthernetDestination, .modIPv4Source, .modIPv4Destination, .modTOS, .modECN,
      .modTTL,
      .modTransportSource, .modTransportDestination:
      // The mod_ actions do nothing to frames that have not what they change, and are allowed for all.
      break
    }
  }

  private func nested() throws(FlowError) -> ActionCheck {
    guard depth < Self.deepest else {
      throw FlowError("clone can be nested \(Self.deepest) times at most; use resubmit for more")
    }
    var inner = self
    inner.depth += 1
    return inner
  }

  private func check(_ port: PortNumber) throws(FlowError) {
    if port < .firstReserved { return }
    guard port != .none, PortNumber.names.contains(where: { $0.number == port }) else {
      throw FlowError("output:\(port): there is no such port, and never will be; numbers end at 65279")
    }
  }

  // MARK: Fields

  private func checkSource(_ bits: SubField, _ action: String) throws(FlowError) {
    try checkPrerequisite(of: bits.field, action)
  }

  private mutating func checkDestination(_ bits: SubField, _ action: String) throws(FlowError) {
    try checkDestination(bits.field, action)
  }

  private mutating func checkDestination(_ field: Field, _ action: String) throws(FlowError) {
    guard field.info.isWritable else { throw FlowError("\(action): \(field.info.name) is read-only") }
    try checkPrerequisite(of: field, action)
    guard let match else { return }
    // What is moved or popped there may bring the bit that says there is a tag.
    if field == .vlanVID, action == "set_field" || action == "load", !match.satisfies(.vlan) {
      throw FlowError(
        "\(action): vlan_vid needs a tag; match one, or push it first (push_vlan, mod_vlan_vid)")
    }
    // A whole tag may come or go this way.
    if field == .vlanTCI { self.match?.set(.vlanTCI, 0x1000, mask: 0x1000) }
  }

  private func checkPrerequisite(of field: Field, _ action: String) throws(FlowError) {
    guard var match else { return }
    let prerequisite = field.info.prerequisite
    // icmpv6_code may stay open: the frames that have the field have 0 there.
    if match.satisfies(.icmpv6), match.get(.icmpv6Code) == nil { match.set(.icmpv6Code, 0) }
    guard match.satisfies(prerequisite) else {
      throw FlowError(
        "\(action): \(field.info.name) is only there in frames that match \(prerequisite.words)")
    }
  }

  private mutating func followTags(_ action: Action) throws(FlowError) {
    switch action {
    case .pushVLAN(let type) where type != 0x8100 && type != 0x88A8:
      throw FlowError("push_vlan:0x\(String(type, radix: 16)): a tag's type is 0x8100 or 0x88a8")
    case .popVLAN: match?.clear(.vlanTCI)
    default: match?.set(.vlanTCI, 0x1000, mask: 0x1000)
    }
  }

  // MARK: learn

  /// A learned flow's own prerequisites are those it matches by constants.
  private func check(_ learn: LearnAction) throws(FlowError) {
    guard learn.table < FlowTables.tableCount else {
      throw FlowError("learn: table \(learn.table) cannot hold flows; tables are numbered 0 to 254")
    }
    if let result = learn.resultDestination, !result.field.info.isWritable {
      throw FlowError("learn: result_dst: \(result.field.info.name) is read-only")
    }
    var learned = ActionCheck(tables: nil, match: match == nil ? nil : Match())
    for item in learn.items {
      switch item {
      case .match(let bits, let source):
        try check(source, for: bits)
        try learned.checkSource(bits, "learn")
        if case .immediate(let value) = source {
          let mask = bits.ones << UInt128(bits.offset)
          learned.match?.set(bits.field, value << UInt128(bits.offset), mask: mask)
        }
      case .load(let bits, let source):
        try check(source, for: bits)
        try learned.checkDestination(bits, "learn")
      case .output(let bits): try checkSource(bits, "learn")
      }
    }
  }

  private func check(_ source: LearnAction.Source, for bits: SubField) throws(FlowError) {
    guard case .field(let from) = source else { return }
    guard from.count == bits.count else {
      throw FlowError("learn: \(from.count) bits do not fit \(bits.count); give as many on both sides")
    }
    try checkSource(from, "learn")
  }
}

// Which actions may stand where.
extension ActionCheck {
  /// The order that OpenFlow gives instructions (OpenFlow 1.5 §5.5), and what may stand beside a clause.
  static func checkOrder(_ actions: [Action]) throws(FlowError) {
    var last = Place.meter
    for (index, action) in actions.enumerated() {
      let place = Place(action)
      guard place > last || index == 0 || (place == last && place == .apply) else {
        throw FlowError(
          place == last
            ? "\(place.name) can stand in a flow only once" : "\(place.name) must stand before \(last.name)")
      }
      last = place
    }
    let clauses = actions.filter { if case .conjunction = $0 { true } else { false } }.count
    let notes = actions.filter { if case .note = $0 { true } else { false } }.count
    if clauses > 0, clauses + notes < actions.count {
      throw FlowError("conjunction can stand with other conjunctions and notes only")
    }
  }

  private enum Place: Int, Comparable {
    case meter, apply, clear, write, metadata, goto

    init(_ action: Action) {
      switch action {
      case .meter: self = .meter
      case .clearActions: self = .clear
      case .writeActions: self = .write
      case .writeMetadata: self = .metadata
      case .gotoTable: self = .goto
      default: self = .apply
      }
    }

    var name: String {
      ["meter", "an action", "clear_actions", "write_actions", "write_metadata", "goto_table"][rawValue]
    }

    static func < (left: Place, right: Place) -> Bool { left.rawValue < right.rawValue }
  }

  /// Instructions stand in flows only.
  static func checkNested(_ action: Action, in place: String) throws(FlowError) {
    switch action {
    case .meter where place == "a bucket": break
    case .meter, .clearActions, .writeActions, .writeMetadata, .gotoTable:
      throw FlowError("\(Place(action).name) cannot stand in \(place)")
    default: break
    }
  }

  /// What an action set cannot hold (OpenFlow 1.5 §5.6).
  private static func checkActionSet(_ action: Action) throws(FlowError) {
    switch action {
    case .learn, .exit, .note, .clone, .conjunction, .push, .pop, .outputField:
      throw FlowError(
        "write_actions cannot hold learn, exit, note, clone, conjunction, push, pop, or output to a field")
    default: break
    }
  }
}
