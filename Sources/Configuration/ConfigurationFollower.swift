import Datapath
import JSONRPC
import Linux
import OVSDB
import OpenVSwitchRows
import Ports

/// Keeps a datapath as one database describes it, and the database informed.
///
/// Any change of the database leads to a comparison, whether or not `next_cfg` was touched. Without the database
/// forwarding goes on as it was. The lock `ovs_vswitchd` decides between several switches on one database: who does
/// not have it removes its ports and stands by.
public final class ConfigurationFollower {
  public let reconciler: Reconciler
  public let client: Client

  private let loop: EventLoop
  private let runDirectory: String
  private let writer: StatusWriter
  private let reader = RowReader()
  private var rows: SwitchRows?
  private var statisticsTimer: EventLoop.Timer?
  private var statisticsInterval = 0
  private var isStandingBy = false
  private var isInserting = false
  private var knownProblems: Set<String> = []

  public init(
    _ loop: EventLoop, remotes: [Remote], _ datapath: any DatapathControl, _ ports: any PortMaking,
    runDirectory: String, tls: TLSConfiguration? = nil, retryPause: ClosedRange<Int> = 1000...30_000
  ) {
    self.loop = loop
    self.runDirectory = runDirectory
    var options = Client.Options()
    options.tls = tls
    client = Client(
      loop, remotes: remotes, options: options, monitoring: Client.tables(RowReader.monitored))
    reconciler = Reconciler(loop, datapath, ports, retryPause: retryPause)
    writer = StatusWriter(loop, client, reconciler, datapath)
  }

  public func start() {
    client.onChange = { [weak self] changes in self?.databaseChanged(changes) }
    client.lock(StatusWriter.lock) { [weak self] held in self?.lockChanged(held) }
    reconciler.onChange = { [weak self] touched in
      self?.writer.suspect(touched)
      self?.writer.write()
    }
    client.start()
    scheduleStatistics()
  }

  /// Removes every port and bridge and ends the session; the database keeps the last status. The lock goes last,
  /// so that a switch that stands by finds the devices free.
  public func stop() {
    statisticsTimer?.cancel()
    client.onChange = nil
    reconciler.onChange = nil
    reconciler.removeAll()
    client.stop()
  }

  /// A port's status changed.
  public func statusChanged(_ port: PortID) {
    if let row = reconciler.interface(of: port)?.row { writer.suspect([row]) }
    writer.writeSoon()
  }

  private func lockChanged(_ held: Bool) {
    if held {
      if isStandingBy { Log.info("configuration", "the other switch is gone: taking over") }
      isStandingBy = false
      if client.isSynchronized { databaseChanged(nil) }
    } else if client.isSynchronized {
      standBy()
    }
  }

  /// Another switch works for this database: two with the same devices would disturb each other.
  private func standBy() {
    guard !isStandingBy else { return }
    isStandingBy = true
    Log.warning(
      "configuration",
      "another switch follows \(client.remote) (it holds the lock \(StatusWriter.lock)): standing by until it is gone"
    )
    rows = nil
    writer.rows = nil
    reconciler.removeAll()
  }

  /// - Parameter changes: since the last call; nil when that is not known.
  private func databaseChanged(_ changes: ReplicaChanges?) {
    guard let replica = client.replica else { return }
    var concerns = true
    if let changes {
      concerns = reader.note(changes)
      writer.suspect(changes.tables[InterfaceRow.table]?.keys.map { $0 } ?? [])
    } else {
      reader.forgetAll()
    }
    guard client.hasLock else { return standBy() }
    if replica.rows(OpenVSwitchRow.self).isEmpty { insertRoot(replica.schema) }
    if concerns || rows == nil || writer.rows == nil { converge(reader.read(replica)) }
    writer.write()
  }

  private func converge(_ rows: SwitchRows?) {
    self.rows = rows
    let desired =
      rows.map { rows in
        Validation.judge(rows, runDirectory: runDirectory) { reconciler.holds($0, on: $1) }
      } ?? DesiredState()
    logProblems(desired)
    writer.suspect(refusalsChanged(to: desired))
    writer.suspect(reconciler.apply(desired))
    writer.rows = rows
    scheduleStatistics()
  }

  /// Rows whose refusal is another one now.
  private func refusalsChanged(to desired: DesiredState) -> [RowID] {
    let old = reconciler.desired.refusals
    return Set(old.keys).union(desired.refusals.keys).filter { old[$0] != desired.refusals[$0] }
  }

  /// A new database has no Open_vSwitch row; whoever comes first makes it.
  private func insertRoot(_ schema: DatabaseSchema) {
    var transaction = TransactionBuilder()
    guard !isInserting, transaction.expectEmpty(OpenVSwitchRow.self, schema) != nil else { return }
    isInserting = true
    transaction.insert(OpenVSwitchRow(), schema)
    transaction.assertLock(StatusWriter.lock)
    client.transact(transaction.operations) { [weak self] _ in
      // When it failed, somebody else was quicker, or the next session tries again.
      self?.isInserting = false
    }
  }

  /// Each problem is logged when it appears.
  private func logProblems(_ desired: DesiredState) {
    let accepted = Set(desired.interfaces.values.map(\.row))
    let refusals = desired.refusals.map { row, reason in
      accepted.contains(row) ? "interface \(reason)" : "interface refused: \(reason)"
    }
    let problems = Set(desired.warnings + refusals)
    for problem in problems.subtracting(knownProblems).sorted() { Log.warning("configuration", problem) }
    knownProblems = problems
  }

  /// Starts the period anew when its length was changed.
  private func scheduleStatistics() {
    let interval = BridgeConfiguration.statisticsInterval(rows?.otherConfig ?? [:])
    guard interval != statisticsInterval || statisticsTimer?.isPending != true else { return }
    statisticsInterval = interval
    statisticsTimer?.cancel()
    statisticsTimer = loop.after(milliseconds: interval) { [weak self] in
      guard let self else { return }
      if client.hasLock {
        writer.updateStatistics()
        writer.write()
      }
      scheduleStatistics()
    }
  }
}
