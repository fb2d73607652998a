import Flow

/// What the actions do to one frame, in the most direct way: every action is applied to a key, every output is the key
/// at that moment. Knows nothing of masks, rewrites and explicit stacks.
struct TranslationReference {
  struct Send: Equatable {
    let operation: PlainOperation
    /// The frame on the wire: `TranslationReference.wire`.
    let frame: FlowWords
  }
  struct PipelineError: Error {}
  /// `exit`
  private struct Exit: Error {}

  let tables: ListTables
  let received: FlowWords
  var key: FlowWords
  var sends: [Send] = []
  var stack: [UInt128] = []
  var actionSet: [Action] = []
  var table: UInt8 = 0
  var depth = 0
  var lookups = 0

  private init(_ tables: ListTables, _ key: FlowWords) {
    self.tables = tables
    received = key
    self.key = key
  }

  /// Nil: the pipeline is at fault.
  static func run(_ tables: ListTables, _ key: FlowWords) -> [Send]? {
    var reference = TranslationReference(tables, key)
    do {
      let rule = reference.search(0, from: nil)
      try reference.execute(rule?.actions ?? [])
      try reference.executeActionSet()
    } catch is Exit {
    } catch {
      return nil
    }
    return reference.sends
  }

  private mutating func search(_ number: UInt8, from port: PortNumber?) -> FlowRule? {
    lookups += 1
    var key = key
    if let port { key[.inPort] = UInt128(port.value) }
    if key[.ipFragment] & 1 != 0 { (key[.tcpSource], key[.tcpDestination]) = (0, 0) }
    return tables.rules.first { $0.table == number && $0.match.matches(key) }
  }

  private mutating func execute(_ actions: [Action]) throws {
    for action in actions {
      guard try execute(action) else { return }
    }
  }

  private mutating func executeActionSet() throws {
    let actions = TranslationReference.inOrder(actionSet)
    actionSet = []
    try execute(actions)
  }

  /// False: nothing more of this list.
  private mutating func execute(_ action: Action) throws -> Bool {
    switch action {
    case .output(let port): try output(port)
    case .outputField(let field):
      if let port = UInt16(exactly: get(field)) { try output(PortNumber(port)) }
    case .controller(let output): send(.controller(output))
    case .group(let id): return try group(id)
    case .resubmit(let port, let number): try enter(number ?? table, from: port == .inPort ? nil : port)
    case .gotoTable(let number): try enter(number, from: nil)
    case .clone(let actions):
      let before = (key, stack, actionSet)
      try execute(actions)
      try executeActionSet()
      (key, stack, actionSet) = before
    case .exit: throw Exit()
    case .meter(let id): if tables.meters[id] != nil { send(.meter(id)) }
    case .clearActions: actionSet = []
    case .writeActions(let actions): actionSet += actions
    case .push(let field): stack.append(get(field))
    case .pop(let field): if let value = stack.popLast() { set(field, value) }
    case .learn(let learn): if let field = learn.resultDestination { set(field, 1) }
    case .decrementTTL(let controllers):
      guard [0x800, 0x86DD].contains(key[.ethernetType]) else { break }
      guard key[.ipTTL] < 2 else {
        key[.ipTTL] -= 1
        break
      }
      for id in controllers.isEmpty ? [0] : controllers {
        send(.controller(ControllerOutput(reason: .invalidTTL, controllerID: id)))
      }
      return false
    case .note, .conjunction: break
    default: try change(action)
    }
    return true
  }

  private mutating func change(_ action: Action) throws {
    switch action {
    case .setField(let field, let value, let mask):
      if has(field) { assign(field, key[field] & ~mask | value & mask) }
    case .load(let value, let field): set(field, value)
    case .move(let source, let field): if has(source.field) { set(field, get(source)) }
    case .modEthernetSource(let address): key[.ethernetSource] = UInt128(address)
    case .modEthernetDestination(let address): key[.ethernetDestination] = UInt128(address)
    case .modIPv4Source(let address): if has(.ipv4Source) { key[.ipv4Source] = UInt128(address) }
    case .modIPv4Destination(let address): if has(.ipv4Source) { key[.ipv4Destination] = UInt128(address) }
    case .modTOS(let value): if has(.ipTOS) { key[.ipDSCP] = UInt128(value >> 2) }
    case .modECN(let value): if has(.ipECN) { key[.ipECN] = UInt128(value) }
    case .modTTL(let value): if has(.ipTTL) { key[.ipTTL] = UInt128(value) }
    case .modTransportSource(let port): if hasPorts { key[.tcpSource] = UInt128(port) }
    case .modTransportDestination(let port): if hasPorts { key[.tcpDestination] = UInt128(port) }
    case .modVLANVID(let vid): key[.vlanTCI] = key[.vlanTCI] & 0xE000 | 0x1000 | UInt128(vid)
    case .modVLANPCP(let pcp): key[.vlanTCI] = key[.vlanTCI] & 0x0FFF | 0x1000 | UInt128(pcp) << 13
    case .popVLAN:
      guard key[.vlanTCI] & 0x1000 != 0 else { break }
      key[FlowWord.tags] = key[FlowWord.tags] & 0x1000 != 0 ? key[FlowWord.tags] << 32 : 0
    case .pushVLAN(let tpid):
      if key[.vlanTCI] & 0x1000 != 0 && key[FlowWord.tags] & 0x1000 != 0 { throw PipelineError() }
      key[FlowWord.tags] = UInt64(tpid) << 48 | 0x1000 << 32 | key[FlowWord.tags] >> 32
    case .writeMetadata(let value, let mask):
      key[.metadata] = key[.metadata] & ~UInt128(mask) | UInt128(value & mask)
    default: fatalError("not known here: \(action)")
    }
  }

  private mutating func set(_ field: SubField, _ value: UInt128) {
    guard has(field.field) else { return }
    let ones = field.ones << UInt128(field.offset)
    assign(field.field, key[field.field] & ~ones | value << UInt128(field.offset) & ones)
  }

  /// ECN is not part of nw_tos.
  private mutating func assign(_ field: Field, _ value: UInt128) {
    guard field.info.isWritable else { return }
    if field == .ipTOS { key[.ipDSCP] = value >> 2 } else { key[field] = value }
  }

  private func get(_ field: SubField) -> UInt128 {
    if field.field == .ipTOS { return (key[.ipTOS] & 0xFC) >> UInt128(field.offset) & field.ones }
    return field.read(key)
  }

  private var hasPorts: Bool { has(.tcpSource) || has(.udpSource) || has(.sctpSource) }

  /// By the frame as it is now: a match on its own values has to satisfy the prerequisite.
  private func has(_ field: Field) -> Bool {
    field.info.prerequisite == .none
      || Match(value: key, mask: ~FlowWords()).satisfies(field.info.prerequisite)
  }

  // MARK: Elsewhere

  private mutating func enter(_ number: UInt8, from port: PortNumber?) throws {
    if depth >= 64 || lookups > 4096 { throw PipelineError() }
    guard let rule = search(number, from: port) else { return }
    let (previous, deeper) = (table, number <= table ? 1 : 0)
    table = number
    depth += deeper
    try execute(rule.actions)
    depth -= deeper
    table = previous
  }

  private mutating func output(_ port: PortNumber) throws {
    let inPort = PortNumber(UInt16(key[.inPort]))
    switch port {
    case .none: break
    case .inPort: if tables.ports[inPort] != nil { send(.output(inPort)) }
    case .table: try enter(0, from: nil)
    case .normal: if inPort == .none || tables.ports[inPort] != nil { send(.normal(inPort)) }
    case .flood, .all: send(.flood(inPort.isReal ? inPort : nil))
    case .controller: send(.controller(ControllerOutput()))
    default: if port != inPort, tables.ports[port] != nil { send(.output(port)) }
    }
  }

  private mutating func group(_ id: UInt32) throws -> Bool {
    if depth >= 64 || lookups > 4096 { throw PipelineError() }
    guard let group = tables.groups[id]?.description else { return false }
    var buckets = group.buckets
    switch group.kind {
    case .all, .indirect: break
    // Which one a hash selects is the translator's affair: here all are the same.
    case .fastFailover, .select: buckets = Array(live(group).prefix(1))
    }
    for bucket in buckets {
      let before = key
      depth += 1
      do { try execute(TranslationReference.inOrder(bucket.actions)) } catch is Exit {}
      depth -= 1
      key = before
    }
    return true
  }

  private func isLive(_ bucket: GroupDescription.Bucket) -> Bool {
    if bucket.watchPort == nil && bucket.watchGroup == nil { return true }
    if let port = bucket.watchPort, tables.ports[port]?.isLive == true { return true }
    guard let watched = bucket.watchGroup.flatMap({ tables.groups[$0] }) else { return false }
    return !live(watched.description).isEmpty
  }

  private func live(_ group: GroupDescription) -> [GroupDescription.Bucket] {
    group.buckets.filter { (group.kind != .select || $0.weight > 0) && isLive($0) }
  }

  private mutating func send(_ operation: PlainOperation) {
    // A meter sends nothing.
    if case .meter = operation {
      return sends.append(Send(operation: operation, frame: Self.withoutPort(received)))
    }
    sends.append(Send(operation: operation, frame: Self.wire(key, received)))
  }

  // MARK: Forms

  /// Pops, pushes, dec_ttl; then changes; then a group, or else an output, or else a resubmit.
  private static func inOrder(_ actions: [Action]) -> [Action] {
    func last(where isWanted: (Action) -> Bool) -> [Action] {
      actions.last(where: isWanted).map { [$0] } ?? []
    }
    let final = [
      last { if case .group = $0 { true } else { false } },
      last {
        switch $0 {
        case .output: true
        case .controller(let output): output.reason == .action && output.controllerID == 0
        default: false
        }
      },
      last { if case .resubmit = $0 { true } else { false } },
    ].first { !$0.isEmpty }
    guard let final else { return [] }
    let changes = actions.filter {
      switch $0 {
      case .setField, .load, .move, .modEthernetSource, .modEthernetDestination, .modIPv4Source,
        .modIPv4Destination, .modTOS, .modECN, .modTTL, .modTransportSource, .modTransportDestination,
        .modVLANVID, .modVLANPCP:
        true
      default: false
      }
    }
    return last { $0 == .popVLAN } + last { if case .pushVLAN = $0 { true } else { false } }
      + last { if case .decrementTTL = $0 { true } else { false } } + changes + final
  }

  private static func withoutPort(_ key: FlowWords) -> FlowWords {
    var key = key
    key[.inPort] = 0
    return key
  }

  /// What is on the wire: no `in_port`, no state of the pipeline, tags only as far as each is there and has one outside.
  static func wire(_ key: FlowWords, _ received: FlowWords) -> FlowWords {
    var frame = key
    for word in FlowWords.packetCount..<FlowWords.count { frame[word] = 0 }
    // Without a network header, or with protocol 0, only Ethernet is rewritten.
    if key[.ipProtocol] == 0 {
      for word in FlowWord.ipv4..<FlowWords.packetCount { frame[word] = received[word] }
      frame[.ipProtocol] = received[.ipProtocol]
    }
    frame[.inPort] = 0
    var tags: [UInt64] = []
    for tag in [key[FlowWord.tags] >> 32, key[FlowWord.tags] & 0xFFFF_FFFF] {
      guard tag & 0x1000 != 0 else { break }
      tags.append(tag >> 16 == 0 ? tag | 0x8100_0000 : tag)
    }
    frame[FlowWord.tags] = (tags.first ?? 0) << 32 | (tags.count > 1 ? tags[1] : 0)
    return frame
  }
}
