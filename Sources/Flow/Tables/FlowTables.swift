// One side of a bridge's tables
// =============================
//
// Poll threads look frames up without locks while the control thread changes flows, because there are two complete
// sides: poll threads read the active one, the control thread changes the idle one, publishes it, waits until nobody
// reads the other any longer, and changes that alike (`FlowPipeline`). So a side is plain code for a single writer.
// Rules, groups, meters and counters are shared by both; what finds them is each side's own.

/// One side of a bridge's tables.
///
/// `@unchecked Sendable`: never read while it is written; `FlowPipeline` sees to that.
public final class FlowTables: FlowLookup, @unchecked Sendable {
  /// Tables are numbered 0 to 254; 255 means all of them.
  public static let tableCount = 255

  private var classifiers: ContiguousArray<Classifier?>
  private let counters: ContiguousArray<TableCounters>
  private var groupsByID: [UInt32: Group] = [:]
  private var metersByID: [UInt32: Meter] = [:]
  private(set) var ports: [PortNumber: FlowPort] = [:]
  /// How many flows `learn` made.
  private var learnedCounts: [Learned: Int] = [:]
  private var log = ChangeLog()
  private let seed: UInt64
  private(set) var ruleCount = 0
  /// Exactly one flow, in table 0, that matches everything and has the one action NORMAL: the tables need not be asked.
  public private(set) var isNormalOnly = false

  /// - Parameters:
  ///   - counters: one per table, shared with the other side.
  ///   - seed: keys the hashes, so that nobody outside can make them collide.
  init(counters: ContiguousArray<TableCounters>, seed: UInt64) {
    classifiers = ContiguousArray(repeating: nil, count: Self.tableCount)
    self.counters = counters
    self.seed = seed
  }

  // MARK: Lookup

  public func lookup(table: UInt8, key: FlowWords, mask: inout FlowWords) -> FlowRule? {
    guard let classifier = classifier(table) else { return nil }
    return classifier.lookup(key, mask: &mask)
  }

  public func group(_ id: UInt32) -> Group? { groupsByID[id] }
  public func meter(_ id: UInt32) -> Meter? { metersByID[id] }
  public func port(_ number: PortNumber) -> FlowPort? { ports[number] }

  public func admits(learned flow: FlowDescription, limit: UInt32) -> Bool {
    guard limit > 0, learnedCounts[Learned(table: flow.table, cookie: flow.cookie)] ?? 0 >= limit else {
      return true
    }
    return learnedRule(flow) != nil
  }

  /// The rule that is learned again by `flow`, if it is there as it is.
  func learnedRule(_ flow: FlowDescription) -> FlowRule? {
    let rule = classifier(flow.table)?.rule(flow.match, priority: flow.priority)
    return rule.flatMap { $0.isLearned && $0.description == flow ? $0 : nil }
  }

  /// The counters of `table`, 0 to 254.
  public func tableCounters(_ table: UInt8) -> TableCounters? {
    table < Self.tableCount ? counters[Int(table)] : nil
  }

  // MARK: Changes

  /// How many changes have been made; both sides count alike.
  public var generation: UInt64 { log.count }

  /// What changed after generation `since`, oldest first; nil when that is longer ago than the log reaches (256 changes).
  public func changes(since: UInt64) -> [FlowChange]? {
    guard log.reaches(since) else { return nil }
    return (since..<generation).map { log[$0 + 1] }
  }

  /// Whether none of the changes since `generation`, when `decision` was made, can have made it another.
  public func isUnaffected(_ decision: CachedDecision, since generation: UInt64) -> Bool {
    generation == log.count || !log.concerns(decision, since: generation)
  }

  // MARK: For the control thread

  func classifier(_ table: UInt8) -> Classifier? {
    table < Self.tableCount ? classifiers[Int(table)] : nil
  }

  var groups: Dictionary<UInt32, Group>.Values { groupsByID.values }
  var meters: Dictionary<UInt32, Meter>.Values { metersByID.values }

  func record(_ edits: ContiguousArray<TableEdit>) { log.append(edits) }

  /// Lets every flow go, whole tables at a time; groups, meters and ports stay.
  func removeAllRules() {
    for table in classifiers.indices { classifiers[table] = nil }
    ruleCount = 0
    learnedCounts = [:]
    log.appendEverything()
    noteWhetherNormal()
  }

  func perform(_ edit: TableEdit) {
    switch edit {
    case .add(let rule):
      let index = Int(rule.table)
      let classifier = classifiers[index] ?? Classifier(seed: seed)
      classifiers[index] = classifier
      classifier.insert(rule)
      ruleCount += 1
      countLearned(rule, by: 1)
    case .remove(let rule):
      let index = Int(rule.table)
      guard let classifier = classifiers[index], classifier.remove(rule) else { return }
      if classifier.count == 0 { classifiers[index] = nil }
      ruleCount -= 1
      countLearned(rule, by: -1)
    case .replace(let old, let new):
      classifiers[Int(old.table)]?.replace(old, with: new)
      countLearned(old, by: -1)
      countLearned(new, by: 1)
    case .group(_, let new, let id): groupsByID[id] = new
    case .meter(_, let new, let id): metersByID[id] = new
    case .ports(_, let new): ports = new
    }
    noteWhetherNormal()
  }

  private func countLearned(_ rule: FlowRule, by difference: Int) {
    guard rule.isLearned else { return }
    let learned = Learned(table: rule.table, cookie: rule.cookie)
    let count = learnedCounts[learned, default: 0] + difference
    learnedCounts[learned] = count == 0 ? nil : count
  }

  private func noteWhetherNormal() {
    isNormalOnly = false
    guard ruleCount == 1, let rule = classifiers[0]?.anyRule else { return }
    isNormalOnly = rule.shape.words.isEmpty && rule.actions == [.output(.normal)]
  }
}

/// A learned flow's table and cookie: what `learn` names those it made by.
struct Learned: Hashable {
  var table: UInt8
  var cookie: UInt64
}

/// One step of a change, made alike on both sides, and undone when a later step of the same request is refused.
enum TableEdit {
  case add(FlowRule)
  case remove(FlowRule)
  /// `old` and `new` have the same table, match and priority.
  case replace(FlowRule, FlowRule)
  case group(Group?, Group?, id: UInt32)
  case meter(Meter?, Meter?, id: UInt32)
  case ports([PortNumber: FlowPort], [PortNumber: FlowPort])

  var inverse: TableEdit {
    switch self {
    case .add(let rule): .remove(rule)
    case .remove(let rule): .add(rule)
    case .replace(let old, let new): .replace(new, old)
    case .group(let old, let new, let id): .group(new, old, id: id)
    case .meter(let old, let new, let id): .meter(new, old, id: id)
    case .ports(let old, let new): .ports(new, old)
    }
  }

  /// What it means for cached decisions.
  func forEachChange(_ body: (FlowChange) -> Void) {
    switch self {
    case .add(let rule), .remove(let rule), .replace(_, let rule):
      body(.rule(table: rule.table, match: rule.match))
    case .group(_, _, let id): body(.group(id))
    case .meter(_, _, let id): body(.meter(id))
    case .ports(let old, let new):
      for number in Set(old.keys).union(new.keys) where old[number] != new[number] { body(.port(number)) }
    }
  }
}
