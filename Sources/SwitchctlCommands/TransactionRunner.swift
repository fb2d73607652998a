import JSONRPC
import Linux
import OVSDB

/// Carries out the commands of one transaction.
///
/// Connect and monitor what the commands look at; run them on a working copy; send what they changed as one
/// transaction; print; wait until the switch has applied it. When something that was read has changed meanwhile, or a
/// `wait-until` is not satisfied, everything is run again on the newer contents.
final class TransactionRunner {
  private enum Phase {
    case connecting
    /// Something has to change in the database before another attempt makes sense.
    case waitingForChange
    case committing
    /// Committed: the switch has to reach this configuration.
    case waitingForSwitch(nextConfiguration: Int64)
  }

  private let invocation: Invocation
  private let loop: EventLoop
  private let terminal: Terminal
  private let remotes: [Remote]
  private let clientOptions: Client.Options
  private var client: Client?
  private var phase = Phase.connecting
  private var result: Outcome?
  private var timers: [EventLoop.Timer] = []
  private var failedConnections = 0
  /// Whether the replica has changed since the attempt that is being committed.
  private var hasChangedSinceAttempt = false
  /// The UUIDs of the interfaces whose outcome is to be told.
  private var expectedInterfaces: [UUID] = []

  /// How long the switch may take before the user is told what is being waited for.
  private static let patience = 3000

  init(_ invocation: Invocation, _ loop: EventLoop, _ terminal: Terminal) throws(CommandError) {
    self.invocation = invocation
    self.loop = loop
    self.terminal = terminal
    remotes = try terminal.personality.remotes(invocation.options)
    clientOptions = try invocation.options.client()
  }

  func run() -> Outcome {
    if let seconds = invocation.options.timeout {
      after(seconds * 1000) { $0.finish(.timedOut, "timed out after \(seconds) s \($0.currentWait)") }
    }
    let client = Client(loop, remotes: remotes, options: clientOptions) { [unowned self] in select($0) }
    self.client = client
    client.onChange = { [unowned self] _ in changed() }
    client.onDisconnect = { [unowned self] in disconnected($0) }
    client.start()
    while result == nil { loop.turn() }
    for timer in timers { timer.cancel() }
    client.stop()
    return result ?? .code(1)
  }

  private func after(_ milliseconds: Int, _ body: @escaping (TransactionRunner) -> Void) {
    timers.append(loop.after(milliseconds: milliseconds) { [unowned self] in body(self) })
  }

  private func finish(_ status: Outcome, _ sentence: String = "") {
    guard result == nil else { return }
    terminal.say(sentence)
    result = status
  }

  private func fail(_ error: CommandError) {
    guard result == nil else { return }
    result = terminal.outcome(error)
  }

  // MARK: Following the database

  /// What to monitor; a command that names something unknown fails here, before anything is done.
  private func select(_ schema: DatabaseSchema) -> [String: [String]] {
    var selection = Selection()
    selection.add("Open_vSwitch", ["cur_cfg"], schema)
    do throws(CommandError) {
      for request in invocation.requests {
        guard case .transaction(_, let prerequisites, _) = request.command.execution else { continue }
        try prerequisites(&selection, request, schema)
      }
    } catch { fail(error) }
    return selection.tables.mapValues { $0.sorted() }
  }

  private func changed() {
    guard result == nil else { return }
    hasChangedSinceAttempt = true
    switch phase {
    case .connecting, .waitingForChange: attempt()
    case .committing: break
    case .waitingForSwitch(let nextConfiguration): checkSwitch(nextConfiguration)
    }
  }

  private func disconnected(_ reason: String) {
    switch phase {
    case .connecting, .waitingForChange:
      failedConnections += 1
      guard !invocation.options.retriesConnection, failedConnections >= remotes.count else { return }
      fail(.connectionFailed(remotes, reason))
    case .committing: break  // The transaction's completion tells.
    case .waitingForSwitch: break  // The client reconnects, and the switch goes on without this program.
    }
  }

  /// For the user who waits.
  private var currentWait: String {
    switch phase {
    case .connecting: "waiting for the database at \(remotes.map(\.description).joined(separator: ","))"
    case .waitingForChange: "waiting for the condition to be satisfied"
    case .committing: "waiting for the database to commit the change"
    case .waitingForSwitch: "waiting for switchd to apply the change, which is in the database"
    }
  }

  // MARK: One attempt

  private func attempt() {
    guard let replica = client?.replica else { return }
    hasChangedSinceAttempt = false
    let copy = WorkingCopy(replica)
    let writes = invocation.requests.contains { $0.command.access == .writes }
    let context = CommandContext(copy, writes: writes)
    do throws(CommandError) {
      var outputs: [CommandOutput] = []
      for request in invocation.requests {
        guard case .transaction(_, _, let run) = request.command.execution else { continue }
        context.output = CommandOutput()
        try run(context, request)
        if context.mustTryAgain {
          phase = .waitingForChange
          return
        }
        outputs.append(context.output)
      }
      for warning in try context.advice + context.symbols.check() { terminal.advise("warning: \(warning)") }
      commit(context, outputs)
    } catch { fail(error) }
  }

  /// Where in the transaction the results are that matter afterwards.
  private struct Sent {
    var inserts: [Row: Int] = [:]
    var configuration: Int?
    var abort: Int?
  }

  private func commit(_ context: CommandContext, _ outputs: [CommandOutput]) {
    var builder = TransactionBuilder()
    var sent = Sent()
    let (inserts, hasChanges) = context.copy.commit(to: &builder)
    guard hasChanges else {
      print(outputs) { $0.uuid }
      showPlan(context.copy, [])
      return finish(.code(0))
    }
    sent.inserts = inserts
    if let root = context.root, let table = context.schema[table: "Open_vSwitch"] {
      if inserts[root] != nil { builder = Self.expectingNoRoot(table, builder, context.copy, &sent) }
      if invocation.options.waitsForSwitch {
        builder.mutate(table, root.uuid, "next_cfg", "+=", 1)
        sent.configuration = builder.select(table, root.uuid, columns: ["next_cfg"])
      }
    }
    builder.comment("\(terminal.program): \(invocation.text)")
    let planned = builder.operations
    if invocation.options.isDryRun { sent.abort = builder.abort() }
    phase = .committing
    let expected = context.expectedInterfaces
    client?.transact(builder.operations) { [unowned self] result in
      committed(result, sent, outputs, expected)
      // The server has carried out every operation, and undone it.
      if self.result == .code(0) { showPlan(context.copy, planned) }
    }
  }

  /// The same transaction, on condition that no other client has inserted the one root row meanwhile.
  private static func expectingNoRoot(
    _ table: TableSchema, _ builder: TransactionBuilder, _ copy: WorkingCopy, _ sent: inout Sent
  ) -> TransactionBuilder {
    var guarded = TransactionBuilder()
    guarded.expectEmpty(table)
    sent.inserts = copy.commit(to: &guarded).inserts
    return guarded
  }

  private func committed(
    _ result: Result<TransactionResult, TransactionError>, _ sent: Sent, _ outputs: [CommandOutput],
    _ expected: [Row]
  ) {
    guard self.result == nil else { return }
    switch result {
    case .success(let results):
      print(outputs) { row in sent.inserts[row].flatMap(results.insertedUUID) ?? row.uuid }
      let next = sent.configuration.flatMap { results.rows($0).first?["next_cfg"]?.integer }
      guard let next else { return finish(.code(0)) }
      expectedInterfaces = expected.compactMap { row in sent.inserts[row].flatMap(results.insertedUUID) }
      waitForSwitch(next)
    case .failure(.failed(_, let operation?)) where operation == sent.abort:
      print(outputs) { $0.uuid }
      finish(.code(0))
    case .failure(let error) where error.isConflict:
      phase = .waitingForChange
      if hasChangedSinceAttempt { attempt() }
    case .failure(.failed(let error, _)) where terminal.personality == .ovsVsctl:
      fail(CommandError("transaction error: \(error.json.text)"))
    case .failure(let error): fail(CommandError("transaction error: \(error)"))
    }
  }

  // MARK: The switch's answer

  private func waitForSwitch(_ next: Int64) {
    phase = .waitingForSwitch(nextConfiguration: next)
    after(Self.patience) { runner in
      runner.terminal.advise(
        "the change is in the database; waiting for switchd to apply it (is it running? --no-wait does not wait)"
      )
    }
    checkSwitch(next)
  }

  private func checkSwitch(_ next: Int64) {
    guard let client, client.isSynchronized, let replica = client.replica,
      let current = replica.onlyRow("Open_vSwitch")?.integer("cur_cfg"), current >= next
    else { return }
    let failed = expectedInterfaces.compactMap { replica.row("Interface", $0) }
      .filter { $0.integer("ofport") ?? -1 == -1 }
    for interface in failed {
      let name = interface.string("name") ?? interface.uuid.description
      terminal.say(terminal.personality.setupFailure(name, interface.string("error")))
    }
    if failed.isEmpty { return finish(.code(0)) }
    if let remark = terminal.personality.afterSetupFailures { terminal.say(remark) }
    finish(.code(terminal.personality == .ovsVsctl ? 0 : 1))
  }

  // MARK: Printing

  /// - Parameter uuid: what the server called a row.
  private func print(_ outputs: [CommandOutput], _ uuid: (Row) -> UUID) {
    let style = invocation.options.style
    var text = ""
    var hasTable = false
    for output in outputs {
      if let table = output.table {
        if hasTable, OutputTable.isSeparated(style.format) { text += "\n" }
        hasTable = true
        text += table.text(style)
        continue
      }
      let lines = output.insertedRow.map { "\(uuid($0))\n" } ?? output.text
      text += invocation.options.printsOneLine ? Self.oneLine(lines) : lines
    }
    if !text.isEmpty { terminal.output(text) }
  }

  private func showPlan(_ copy: WorkingCopy, _ operations: [JSON]) {
    guard invocation.options.isDryRun, terminal.personality == .switchctl else { return }
    terminal.output(TransactionPlan.text(copy, operations, invocation.options.style))
  }

  /// With --oneline, newlines and backslashes inside a command's output are escaped.
  private static func oneLine(_ text: String) -> String {
    var line = ""
    for character in text.hasSuffix("\n") ? text.dropLast() : text[...] {
      switch character {
      case "\n": line += "\\n"
      case "\\": line += "\\\\"
      default: line.append(character)
      }
    }
    return line + "\n"
  }
}

extension Command {
  fileprivate var access: Access? {
    if case .transaction(let access, _, _) = execution { access } else { nil }
  }
}

extension Invocation {
  /// The commands, for the database's log.
  fileprivate var text: String {
    requests.map { request in
      let options = request.options.sorted { $0.key < $1.key }.map { name, value in
        value.map { "--\(name)=\($0)" } ?? "--\(name)"
      }
      return (options + [request.command.name] + request.arguments).joined(separator: " ")
    }.joined(separator: " -- ")
  }
}
