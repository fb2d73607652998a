import Datapath
import Flow
import Seeded

/// Random pipelines for given frames: a flow matches some bits of some frame, and writes fields that other frames have
/// with the values they have there, so that much of it happens.
///
/// What is compared are the flows, not the way on which Open vSwitch gets them. OpenFlow 1.0 and 1.5 cannot say
/// everything alike, and where they cannot `ovs-ofctl` says something else without a word (`mod_vlan_vid` becomes
/// `push_vlan` and `set_field` in 1.5, a masked `set_field` an unmasked one in 1.0): such flows are not made.
struct PipelineGenerator {
  static let tableCount: UInt8 = 4
  /// Where flows are learned.
  static let learnedTable: UInt8 = 5
  static let groupCount: UInt32 = 4

  var random: SeededRandom
  /// Of the frames that will be sent.
  let keys: [FlowWords]
  /// Of the flow at hand.
  var match = Match()
  /// Whether the flow at hand is said in OpenFlow 1.0: no instructions, groups or pushed tags, but `mod_vlan_vid`, and
  /// actions on fields that a frame may not have.
  var isPlain = false

  mutating func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &random) }
  mutating func one<Element>(of elements: [Element]) -> Element { elements[below(elements.count)] }

  mutating func make() -> FlowLines {
    var lines = FlowLines()
    for id in (1...Self.groupCount).reversed() { lines.groups.append(FlowFormatter().group(group(id))) }
    for table in 0..<Self.tableCount {
      // Which of two flows of one priority is taken is for nobody to say.
      for priority in (1...UInt16(3 + below(6))).shuffled(using: &random) {
        addFlow(in: table, priority, to: &lines)
      }
      if below(4) > 0 { addFlow(in: table, 0, with: Match(), to: &lines) }
    }
    if below(2) == 0 { addConjunction(&lines) }
    return lines
  }

  // MARK: Matches

  /// Adds a flow that can be written: actions that `FlowParser` refuses are drawn again.
  private mutating func addFlow(
    in table: UInt8, _ priority: UInt16, with match: Match? = nil, to lines: inout FlowLines
  ) {
    isPlain = below(3) == 0
    let match = match ?? makeMatch()
    self.match = match
    while true {
      let flow = FlowDescription(
        table: table, priority: priority, match: match, actions: actions(in: table))
      let text = FlowFormatter().flow(flow)
      guard (try? FlowParser().flow(text, for: .add)) != nil else { continue }
      if isPlain { lines.plainFlows.append(text) } else { lines.flows.append(text) }
      return
    }
  }

  private static let matched: [Field] = Field.allCases.filter { $0 != .conjunctionID }

  mutating func makeMatch() -> Match {
    let key = one(of: keys)
    var whole = Match()
    for field in Field.allCases { whole.set(field, key[field]) }
    let possible = Self.matched.filter { whole.satisfies($0.info.prerequisite) }
    var match = Match()
    for _ in 0..<1 + below(3) {
      let isOfPipeline = below(4) == 0
      let field = one(of: possible.filter { ($0.info.word >= FlowWords.packetCount) == isOfPipeline })
      require(field.info.prerequisite, of: key, in: &match)
      // Registers and the like are 0 in a frame, and small when written.
      let isState = field.info.word >= FlowWords.packetCount
      let value = isState ? UInt128(below(3)) : key[field]
      match.set(field, value, mask: mask(of: field))
    }
    return match
  }

  private mutating func mask(of field: Field) -> UInt128 {
    if field == .ipFragment { return one(of: [1, 3, 3]) }
    // What OpenFlow 1.2 and later can say: all of the priority, or nothing.
    if field == .vlanTCI, !isPlain { return below(2) == 0 ? 0x1FFF : UInt128(below(0x2000)) }
    guard field.info.masking == .arbitrary, below(2) == 0 else { return .max }
    let width = field.info.width
    if field.info.format == .ipv6 {
      // `ovs-ofctl` reads a mask that begins with decimal digits as a length.
      return ~((1 << UInt128(below(width))) - 1) & UInt128(truncatingIfNeeded: random.next()) << 64 | 0xF
        << 124
    }
    switch below(3) {
    case 0: return ~((1 << UInt128(below(width))) - 1)
    case 1: return UInt128(truncatingIfNeeded: random.next()) << 64 | UInt128(random.next())
    default: return 1 << UInt128(below(width))
    }
  }

  /// Asks `match` for what `prerequisite` needs, as `key` has it.
  private func require(_ prerequisite: Prerequisite, of key: FlowWords, in match: inout Match) {
    func ask(_ fields: Field...) { for field in fields { match.set(field, key[field]) } }
    switch prerequisite {
    case .none: break
    case .vlan: match.set(.vlanVID, 0x1000, mask: 0x1000)
    case .arp, .ipv4, .ipv6, .ip: ask(.ethernetType)
    case .tcp, .udp, .sctp, .icmpv4, .icmpv6: ask(.ethernetType, .ipProtocol)
    case .neighbor, .neighborSolicitation, .neighborAdvertisement:
      ask(.ethernetType, .ipProtocol, .icmpv6Type, .icmpv6Code)
    }
  }

  // MARK: Groups

  private mutating func group(_ id: UInt32) -> GroupDescription {
    let kind = one(of: [GroupDescription.Kind.all, .all, .indirect, .select, .fastFailover])
    let count = kind == .all ? below(4) : 1
    return GroupDescription(
      id: id, kind: kind,
      buckets: (0..<count).map { index in
        GroupDescription.Bucket(
          id: UInt32(index), weight: kind == .select ? 1 + UInt16(below(3)) : 1,
          watchPort: kind == .fastFailover ? port() : nil, actions: bucket(of: id))
      },
      // With its default method Open vSwitch takes the frame through the datapath twice, and then, behind a group in a
      // clone, executes nothing more.
      selectionMethod: kind == .select ? "hash" : "")
  }

  /// Fields that any frame has: a bucket's actions have no match that could ask for others.
  private mutating func bucket(of id: UInt32) -> [Action] {
    var actions: [Action] = (0..<below(3)).map { _ in
      one(of: [
        .setField(.reg0, value: UInt128(below(3)), mask: 0xFFFF_FFFF), .modEthernetSource(0x0200_0000_0001),
        .modEthernetDestination(0x0200_0000_0003), .pushVLAN(0x8100), .popVLAN,
        .setField(.vlanVID, value: 0x1002, mask: 0x1FFF), .decrementTTL([]), .load(1, SubField(.reg1)),
        .modIPv4Source(0x0A00_0001),
      ])
    }
    switch below(6) {
    case 0 where id < Self.groupCount: actions.append(.group(id + 1))
    case 1: actions.append(.resubmit(port: nil, table: Self.tableCount - 1))
    case 2: break
    default: actions.append(.output(port()))
    }
    return actions
  }

  // MARK: Conjunctions

  private mutating func addConjunction(_ lines: inout FlowLines) {
    let table = UInt8(below(Int(Self.tableCount)))
    var matches: Set<Match> = []
    isPlain = false
    for clause in 1...UInt8(2) {
      for _ in 0..<2 + below(3) {
        let match = makeMatch()
        guard matches.insert(match).inserted else { continue }
        let flow = FlowDescription(
          table: table, priority: 20, match: match,
          actions: [.conjunction(id: 7, clause: clause, clauses: 2)])
        lines.flows.append(FlowFormatter().flow(flow))
      }
    }
    var match = Match()
    match.set(.conjunctionID, 7)
    addFlow(in: table, 19, with: match, to: &lines)
  }
}
