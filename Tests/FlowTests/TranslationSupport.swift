import Flow

/// A bridge's tables as lists: what translation is tested with.
struct ListTables: FlowLookup {
  var rules: [FlowRule] = []
  var groups: [UInt32: Group] = [:]
  var meters: [UInt32: Meter] = [:]
  var ports: [PortNumber: FlowPort] = [:]
  var learnedCount: UInt32 = 0

  /// With ports 1 to 4.
  init(_ rules: [FlowRule] = [], groups: [Group] = []) {
    self.rules = rules.sorted { $0.priority > $1.priority }
    for group in groups { self.groups[group.description.id] = group }
    for number in 1...4 { ports[PortNumber(UInt16(number))] = FlowPort() }
  }

  /// Compares bit by bit: depends on those up to the first that differs of a rule that does not match.
  func lookup(table: UInt8, key: FlowWords, mask: inout FlowWords) -> FlowRule? {
    for rule in rules where rule.table == table {
      let difference = (key ^ rule.match.value) & rule.match.mask
      guard let word = (0..<FlowWords.count).first(where: { difference[$0] != 0 }) else {
        mask |= rule.match.mask
        return rule
      }
      for earlier in 0..<word { mask[earlier] |= rule.match.mask[earlier] }
      mask[word] |= rule.match.mask[word] & (difference[word] ^ (difference[word] &- 1))
    }
    return nil
  }

  func group(_ id: UInt32) -> Group? { groups[id] }
  func meter(_ id: UInt32) -> Meter? { meters[id] }
  func port(_ number: PortNumber) -> FlowPort? { ports[number] }
  func admits(learned flow: FlowDescription, limit: UInt32) -> Bool { limit == 0 || learnedCount < limit }
}

func flow(
  _ table: UInt8 = 0, priority: UInt16 = 0x8000, _ fields: [(Field, UInt128)] = [], _ actions: [Action]
) -> FlowRule {
  var match = Match()
  for (field, value) in fields { match.set(field, value) }
  return FlowRule(
    FlowDescription(table: table, priority: priority, match: match, actions: actions), created: 0)
}

func key(_ fields: (Field, UInt128)...) -> FlowWords {
  var key = FlowWords()
  for (field, value) in fields { key[field] = value }
  return key
}

func mask(_ fields: Field...) -> FlowWords { fields.reduce(into: FlowWords()) { $0 |= $1.mask } }

enum Frames {
  /// From port 1, TCP over IPv4.
  static let tcp = key(
    (.inPort, 1), (.ethernetSource, 0xA), (.ethernetDestination, 0xB), (.ethernetType, 0x0800),
    (.ipProtocol, 6), (.ipv4Source, 0x0A00_0001), (.ipv4Destination, 0x0A00_0002), (.ipTTL, 64),
    (.tcpSource, 1000), (.tcpDestination, 80), (.tcpFlags, 0x10))
  static let arp = key(
    (.inPort, 1), (.ethernetSource, 0xA), (.ethernetDestination, 0xFFFF_FFFF_FFFF), (.ethernetType, 0x0806),
    (.arpOperation, 1), (.arpSenderIP, 0x0A00_0001), (.arpTargetIP, 0x0A00_0002), (.arpSenderMAC, 0xA))

  /// `frame` with tags, from the outside; each is TPID and TCI, without the bit that says that it is there.
  static func tagged(_ frame: FlowWords = tcp, _ tags: UInt32...) -> FlowWords {
    var frame = frame
    frame[FlowWord.tags] = 0
    for (index, tag) in tags.enumerated() {
      frame[FlowWord.tags] |= UInt64(tag | 0x1000) << UInt64(index == 0 ? 32 : 0)
    }
    return frame
  }
}

/// An operation of a program, without what cannot be compared.
enum PlainOperation: Hashable {
  case output(PortNumber), flood(PortNumber?), normal(PortNumber), meter(UInt32), controller(ControllerOutput)

  init(_ operation: FlowOperation) {
    switch operation {
    case .output(let port, _): self = .output(port)
    case .flood(let port, _): self = .flood(port)
    case .normal(let port, _): self = .normal(port)
    case .meter(let meter): self = .meter(meter.description.id)
    case .controller(let output, _): self = .controller(output)
    }
  }
}

extension FlowOperation {
  var rewrite: Int? {
    switch self {
    case .output(_, let rewrite), .flood(_, let rewrite), .normal(_, let rewrite),
      .controller(_, let rewrite):
      rewrite
    case .meter: nil
    }
  }
}

extension Translation {
  var plain: [PlainOperation] { operations.map(PlainOperation.init) }

  /// The form the n-th operation sends.
  func rewrite(_ index: Int) -> Rewrite? { operations[index].rewrite.map { rewrites[$0] } }
}

extension Rewrite {
  /// What a frame with this key is turned into. Words of the pipeline and `in_port` are left alone.
  func applied(to key: FlowWords) -> FlowWords {
    var result = (key & ~mask) | (value & mask)
    var tags = [key[FlowWord.tags] >> 32, key[FlowWord.tags] & 0xFFFF_FFFF].filter { $0 & 0x1000 != 0 }
    guard poppedTags > 0 || !pushedTags.isEmpty else { return result }
    tags.removeFirst(poppedTags)
    for tag in pushedTags { tags.insert(UInt64(tag | 0x1000), at: 0) }
    precondition(tags.count <= 2)
    result[FlowWord.tags] = 0
    for (index, tag) in tags.enumerated() { result[FlowWord.tags] |= tag << UInt64(index == 0 ? 32 : 0) }
    return result
  }
}

/// Everything of a translation, in a form that can be compared.
struct Outcome: Equatable, CustomStringConvertible {
  var description: String {
    "\(operations) \(forms) \(drop.map { "\($0)" } ?? "") rules \(rules.count) tables \(tables) "
      + "mask \(mask.text) rewritten \(rewritten.text)"
  }

  let operations: [PlainOperation]
  let forms: [Int?]
  let rewrites: [Rewrite]
  let drop: FlowDrop?
  let rules: [ObjectIdentifier]
  let counters: [ObjectIdentifier]
  let tables: [[UInt8]]
  let learned: [FlowModification]
  let dependencies: UInt64
  let tableSet: TableSet
  let rewritten: FlowWords
  let mask: FlowWords

  init(_ translation: Translation) {
    operations = translation.plain
    forms = translation.operations.map(\.rewrite)
    rewrites = translation.rewrites
    drop = translation.drop
    rules = translation.credits.rules.map(ObjectIdentifier.init)
    counters = translation.credits.counters.map(ObjectIdentifier.init)
    tables = translation.credits.tables.map { [$0.table, $0.matched ? 1 : 0] }
    learned = translation.learned
    dependencies = translation.dependencies
    tableSet = translation.tables
    rewritten = translation.rewritten
    mask = translation.mask
  }
}

extension FlowWords {
  /// The words that are not 0.
  var text: String {
    (0..<Self.count).filter { self[$0] != 0 }.map { "\($0):\(String(self[$0], radix: 16))" }.joined(
      separator: " ")
  }
}
