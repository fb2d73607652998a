import Linux
import OVSDB
import OpenVSwitchRows
import Ports

/// Writes how the switch stands into the database: whatever differs there, in one transaction at a time.
///
/// Theory of operation. Nothing is queued. `write` computes every status column from the live state, compares with
/// the replica, and sends the differences as one transaction guarded by the lock; what changes meanwhile is found by
/// the next comparison, which follows the reply. Of thousands of interfaces only those are compared of which something
/// may have changed: their rows, their ports, what the switch did about them, or their statistics. So `cur_cfg`,
/// `ofport` and `error` of a configuration change always appear together, leftovers of an earlier run are overwritten,
/// and the echo of an own write finds nothing to do.
/// Configuration changes are answered at once, link changes at most ten times per second.
final class StatusWriter {
  static let lock = "ovs_vswitchd"

  /// The rows last carried out; nil writes nothing.
  var rows: SwitchRows? {
    didSet { if rows == nil || oldValue == nil { suspectAll() } }
  }

  private let loop: EventLoop
  private let client: Client
  private let reconciler: Reconciler
  private let datapath: any DatapathControl
  private var isWriting = false
  private var isDirty = false
  private var timer: EventLoop.Timer?
  /// Monotonic nanoseconds.
  private var lastWrite: UInt64 = 0
  private var statistics: [RowID: Datum] = [:]
  /// Interfaces that may have to be written; nil stands for all.
  private var suspects: Set<RowID>?

  private static let collectMilliseconds = 100
  private static let pauseAfterFailure = 1000

  init(_ loop: EventLoop, _ client: Client, _ reconciler: Reconciler, _ datapath: any DatapathControl) {
    self.loop = loop
    self.client = client
    self.reconciler = reconciler
    self.datapath = datapath
  }

  /// Writes after something changed that nobody waits for: at the end of this turn, or, when much changes, so much
  /// later that the database sees ten writes per second.
  func writeSoon() {
    let passed = Int(clamping: (monotonicNanoseconds() &- lastWrite) / 1_000_000)
    schedule(after: max(0, Self.collectMilliseconds - passed))
  }

  /// Takes new statistics from the datapath, to be written with whatever else is due.
  func updateStatistics() {
    statistics = [:]
    for interface in reconciler.desired.interfaces.values {
      statistics[interface.row] = currentStatistics(reconciler.condition(of: interface.name))
    }
    suspectAll()
  }

  /// Interface.statistics as it is now; nil without a port.
  private func currentStatistics(_ condition: Reconciler.Condition?) -> Datum? {
    guard let (id, port) = condition?.attached else { return nil }
    return StatusColumns.statistics(datapath.statistics(of: id), queues: port.queueStatistics)
  }

  /// Has these interfaces compared by the next `write`.
  func suspect(_ rows: [RowID]) { suspects?.formUnion(rows) }

  private func suspectAll() { suspects = nil }

  /// Writes what differs, now, or as soon as the transaction under way has its reply.
  func write() {
    guard !isWriting else {
      isDirty = true
      return
    }
    timer?.cancel()
    timer = nil
    guard client.isSynchronized, client.hasLock, let replica = client.replica, let rows else { return }
    var transaction = differences(replica, rows)
    suspects = []
    guard !transaction.isEmpty else { return }
    transaction.assertLock(Self.lock)
    isWriting = true
    lastWrite = monotonicNanoseconds()
    client.transact(transaction.operations) { [weak self] result in self?.finished(result) }
  }

  private func finished(_ result: Result<TransactionResult, TransactionError>) {
    isWriting = false
    let again = isDirty
    isDirty = false
    switch result {
    case .success: if again { write() }
    case .failure(.notConnected), .failure(.connectionLost): suspectAll()  // Written anew after reconnection.
    case .failure(let error):
      suspectAll()
      Log.warning("status", "the database refused the switch's status: \(error)")
      schedule(after: Self.pauseAfterFailure)
    }
  }

  private func schedule(after milliseconds: Int) {
    guard timer?.isPending != true else { return }
    timer = loop.after(milliseconds: milliseconds) { [weak self] in self?.write() }
  }

  private func differences(_ replica: Replica, _ rows: SwitchRows) -> TransactionBuilder {
    var transaction = TransactionBuilder()
    if let row = replica.row(RowReference<OpenVSwitchRow>(rows.id)) {
      let wanted = StatusColumns.root(
        row, completed: rows.nextConfiguration, schemaVersion: replica.schema.version, system: .current)
      transaction.update(wanted.differences(from: row), replica.schema)
    }
    for bridge in reconciler.desired.bridges.values {
      let wanted = StatusColumns.bridge(bridge)
      guard let row = replica.row(wanted.reference) else { continue }
      transaction.update(wanted.differences(from: row), replica.schema)
    }
    let everything = { Set(rows.bridges.flatMap { $0.ports.flatMap { $0.interfaces.map(\.id) } }) }
    for id in suspects ?? everything() {
      guard let row = replica.row(RowReference<InterfaceRow>(id)), let wanted = wanted(row) else { continue }
      transaction.update(wanted.differences(from: row), replica.schema)
    }
    return transaction
  }

  /// Nil for a row that the switch does not follow: it is not its to write.
  private func wanted(_ row: InterfaceRow) -> InterfaceRow? {
    let name = row.name
    let refusal = reconciler.desired.refusals[row.uuid]
    let accepted = reconciler.desired.interfaces[name]?.row == row.uuid
    guard accepted || refusal != nil || suspects == nil else { return nil }
    let condition = accepted ? reconciler.condition(of: name) : nil
    // A port has counters from the moment it is there, not from the next period on.
    if statistics[row.uuid] == nil { statistics[row.uuid] = currentStatistics(condition) }
    return StatusColumns.interface(row.uuid, refusal: refusal, condition, statistics[row.uuid])
  }
}
