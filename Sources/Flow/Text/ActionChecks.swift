// What actions may stand where
// ============================
//
// Instructions come once each and in the order of OpenFlow 1.5 §5.5, and not within other lists; conjunctions stand
// alone; and a field that only some frames have can be named only where the match, or an action before, makes sure
// that the frame has it.

enum ActionChecks {
  /// - Parameter isFlow: whether the list is a flow's, and may have instructions.
  static func checkOrder(_ actions: [Action], isFlow: Bool = true) throws(FlowError) {
    var last = 0
    for action in actions {
      try checkNested(action)
      let rank = rank(of: action)
      if rank == applied {
        guard last <= applied else { throw outOfOrder(action) }
      } else {
        guard isFlow else {
          throw FlowError("\(name(of: action)) cannot be in a list within another, only in a flow's own list")
        }
        guard rank != last else {
          throw FlowError("\(name(of: action)) is there twice; a flow has it once at most")
        }
        guard rank > last else { throw outOfOrder(action) }
      }
      last = rank
    }
    try checkConjunctions(actions)
  }

  private static let applied = 2

  private static func rank(of action: Action) -> Int {
    switch action {
    case .meter: 1
    case .clearActions: 3
    case .writeActions: 4
    case .writeMetadata: 5
    case .gotoTable: 6
    default: applied
    }
  }

  private static func outOfOrder(_ action: Action) -> FlowError {
    FlowError(
      "\(name(of: action)) comes too late: the order is meter, actions, clear_actions, write_actions, write_metadata, goto_table"
    )
  }

  private static func name(of action: Action) -> String {
    let text = FlowFormatter().action(action)
    return String(text.prefix { $0 != ":" && $0 != "(" })
  }

  private static func checkNested(_ action: Action) throws(FlowError) {
    switch action {
    case .clone(let list), .writeActions(let list): try checkOrder(list, isFlow: false)
    default: break
    }
  }

  private static func checkConjunctions(_ actions: [Action]) throws(FlowError) {
    var hasConjunction = false
    var other: Action?
    for action in actions {
      switch action {
      case .conjunction: hasConjunction = true
      case .note: break
      default: other = other ?? action
      }
    }
    guard hasConjunction, let other else { return }
    throw FlowError(
      "conjunction may be used along with note but no other action, such as \(name(of: other)): put those in the flow that matches conj_id"
    )
  }

  /// Checks that a flow of `table` goes to a later one only.
  static func checkTable(_ actions: [Action], table: UInt8) throws(FlowError) {
    guard case .gotoTable(let next) = actions.last, next <= table else { return }
    throw FlowError(
      "goto_table:\(next) in table \(table): frames go to later tables only; use resubmit(,\(next)) to go elsewhere"
    )
  }

  /// Checks that the frames of `match` have the fields that are read and written.
  static func checkPrerequisites(_ actions: [Action], match: Match) throws(FlowError) {
    var state = match
    for action in actions { try check(action, &state) }
  }

  private static func check(_ action: Action, _ state: inout Match) throws(FlowError) {
    switch action {
    case .outputField(let bits), .push(let bits), .pop(let bits): try require(bits.field, in: state, action)
    case .setField(let field, let value, let mask):
      try require(field, in: state, action)
      if field == .vlanTCI, value & mask & 0x1000 != 0 { setTag(&state) }
    case .load(let value, let bits):
      try require(bits.field, in: state, action)
      if bits.field == .vlanTCI, value << UInt128(bits.offset) & 0x1000 != 0 { setTag(&state) }
    case .move(let from, let to):
      try require(from.field, in: state, action)
      try require(to.field, in: state, action)
    case .modVLANVID, .modVLANPCP, .pushVLAN: setTag(&state)
    case .popVLAN: state.clear(.vlanTCI)
    case .learn(let learn): try check(learn, state, action)
    case .clone(let list), .writeActions(let list): try checkPrerequisites(list, match: state)
    default: break
    }
  }

  private static func setTag(_ state: inout Match) { state.set(.vlanTCI, 0x1000, mask: 0x1000) }

  private static func check(_ learn: LearnAction, _ frame: Match, _ action: Action) throws(FlowError) {
    var learned = Match()
    for item in learn.items {
      switch item {
      case .match(let bits, let source):
        if case .field(let from) = source { try require(from.field, in: frame, action) }
        try require(bits.field, in: learned, action)
        if case .immediate(let value) = source {
          learned.set(bits.field, value << UInt128(bits.offset), mask: bits.ones << UInt128(bits.offset))
        }
      case .load(let bits, let source):
        if case .field(let from) = source { try require(from.field, in: frame, action) }
        try require(bits.field, in: learned, action)
      case .output(let bits): try require(bits.field, in: frame, action)
      }
    }
    if let bits = learn.resultDestination { try require(bits.field, in: frame, action) }
  }

  private static func require(_ field: Field, in match: Match, _ action: Action) throws(FlowError) {
    // vlan_vid can be matched without a tag, but not written.
    var prerequisite = field.info.prerequisite
    if field == .vlanVID, case .setField = action { prerequisite = .vlan }
    if field == .vlanVID, case .load = action { prerequisite = .vlan }
    guard !match.satisfies(prerequisite) else { return }
    throw FlowError("\(name(of: action)): \(field.info.name) needs a flow that matches \(prerequisite.words)")
  }
}

extension Prerequisite {
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
