// What changes a bridge's tables
// ==============================
//
// A request becomes a list of edits. They are made on the idle side, one after the other, so that each sees what those
// before it made; a refused request's are undone again. Then the idle side is published, and when nobody reads the
// other any longer the same edits are made there. So poll threads see a request as a whole or not at all, nothing they
// read is ever changed, and neither side is ever copied.
//
// What the control thread itself has to find (which flows use a group, which expire next) is in `FlowBook`, once.

/// A bridge's tables, for the control thread.
public final class FlowPipeline {
  let clock: () -> UInt64
  private let publish: (FlowTables) -> Void
  /// What poll threads read.
  public private(set) var active: FlowTables
  private(set) var idle: FlowTables
  var book = FlowBook()
  private var edits: ContiguousArray<TableEdit> = []
  private var limits: [UInt8: TableLimit] = [:]
  private var nextOrder: UInt64 = 0

  /// - Parameters:
  ///   - startsWithNormal: whether the one flow there is at first is NORMAL; or there is none (`fail_mode=secure`).
  ///   - clock: milliseconds of the switch's clock.
  ///   - publish: makes a side the one poll threads read, and returns once none of them reads the other any longer.
  public init(
    startsWithNormal: Bool, clock: @escaping () -> UInt64, publish: @escaping (FlowTables) -> Void
  ) {
    self.clock = clock
    self.publish = publish
    let counters = ContiguousArray((0..<FlowTables.tableCount).map { _ in TableCounters() })
    let seed = UInt64.random(in: .min ... .max)
    active = FlowTables(counters: counters, seed: seed)
    idle = FlowTables(counters: counters, seed: seed)
    if startsWithNormal { addNormal() }
    commit()
  }

  private func addNormal() {
    let normal = FlowDescription(priority: 0, actions: [.output(.normal)])
    perform(.add(makeRule(normal, created: clock())))
  }

  // MARK: Edits

  /// Makes an edit on the idle side.
  func perform(_ edit: TableEdit) {
    idle.perform(edit)
    book.perform(edit)
    edits.append(edit)
  }

  /// Runs one step of a request: when it throws, what it did is undone.
  func attempt<Result>(_ step: () throws(FlowError) -> Result) throws(FlowError) -> Result {
    let mark = edits.count
    do throws(FlowError) {
      return try step()
    } catch {
      while edits.count > mark, let edit = edits.popLast() {
        idle.perform(edit.inverse)
        book.perform(edit.inverse)
      }
      throw error
    }
  }

  /// Lets poll threads see the edits, if there are some.
  func commit() {
    guard !edits.isEmpty else { return }
    idle.record(edits)
    publish(idle)
    swap(&active, &idle)
    for edit in edits { idle.perform(edit) }
    idle.record(edits)
    edits.removeAll(keepingCapacity: edits.count < 1024)
  }

  /// Deletes every flow, and publishes that. No edit may be waiting.
  func removeAllRules() {
    guard idle.ruleCount > 0 else { return }
    book = FlowBook()
    idle.removeAllRules()
    publish(idle)
    swap(&active, &idle)
    idle.removeAllRules()
  }

  /// Runs a request of one step, and publishes what it did.
  func change<Result>(_ step: () throws(FlowError) -> Result) throws(FlowError) -> Result {
    let result = try attempt(step)
    commit()
    return result
  }

  /// A rule that shares what it can with those that are there.
  func makeRule(
    _ description: FlowDescription, created: UInt64, modified: UInt64? = nil,
    counters: FlowCounters = FlowCounters(),
    isLearned: Bool = false, replacing old: FlowRule? = nil
  ) -> FlowRule {
    if old == nil { nextOrder += 1 }
    let mask = description.match.mask
    return FlowRule(
      description, actions: book.shared(description.actions),
      shape: idle.classifier(description.table)?.shape(mask) ?? MatchShape(mask),
      created: created,
      modified: modified, counters: counters, isLearned: isLearned, order: old?.order ?? nextOrder)
  }

  // MARK: Everything

  /// Takes everything away; what is left is the one flow NORMAL, or nothing. Ports, limits and table counters stay.
  public func reset(startsWithNormal: Bool) {
    for rule in book.allRules(of: idle) { perform(.remove(rule)) }
    for group in idle.groups { perform(.group(group, nil, id: group.description.id)) }
    for meter in idle.meters { perform(.meter(meter, nil, id: meter.description.id)) }
    if startsWithNormal { addNormal() }
    commit()
  }

  /// Says which ports the bridge has.
  public func setPorts(_ ports: [PortNumber: FlowPort]) {
    guard ports != idle.ports else { return }
    perform(.ports(idle.ports, ports))
    commit()
  }

  // MARK: Limits and statistics

  /// Lets a table hold so many flows at most.
  ///
  /// - Parameters:
  ///   - limit: nil: as many as memory allows.
  ///   - evicts: whether a flow with a timeout goes to make room for another (the least important, of those the one
  ///     that expires soonest); otherwise the other is refused.
  public func setLimit(table: UInt8, _ limit: Int?, evicts: Bool = false) {
    limits[table] = limit.map { TableLimit(count: max($0, 0), evicts: evicts) }
    if let limit = limits[table], limit.evicts {
      while let classifier = idle.classifier(table), classifier.count > limit.count,
        let victim = book.victim(table)
      {
        remove([victim])
      }
      commit()
    }
  }

  func limit(_ table: UInt8) -> TableLimit? { limits[table] }

  public func statistics() -> [TableStatistics] {
    (0..<UInt8(FlowTables.tableCount)).compactMap { table in
      guard let counters = active.tableCounters(table) else { return nil }
      return TableStatistics(
        table: table, active: active.classifier(table)?.count ?? 0, lookups: counters.lookups,
        matches: counters.matches, limit: limits[table]?.count)
    }
  }
}

/// `flow_limit` and `overflow_policy` of the database's table Flow_Table.
struct TableLimit {
  var count: Int
  var evicts: Bool
}
