import JSONRPC
import Linux
import OVSDB

/// `watch`: one line for each row that is there, and then for each change, until the count or the time is reached.
///
/// Lost connections are made again; what changed meanwhile is told then. With conditions the rows are those for which
/// all hold: a row that comes to satisfy them is inserted, one that no longer does is deleted.
final class WatchCommand {
  private let invocation: Invocation
  private let request: Invocation.Request
  private let terminal: Terminal
  private let loop: EventLoop
  private let follower: DatabaseFollower
  private var lines: WatchLines?
  private var conditions: [Condition] = []
  /// The rows that satisfy the conditions.
  private var shown: Set<UUID> = []
  private var isStarted = false
  private var remaining: Int?
  private var result: Outcome?

  @Sendable static func run(_ invocation: Invocation, _ loop: EventLoop, _ terminal: Terminal)
    throws(CommandError) -> Outcome
  {
    guard invocation.requests.count == 1 else {
      throw .usage(
        "'watch' follows the database until it is ended and cannot be part of a transaction; run it by itself"
      )
    }
    return try WatchCommand(invocation, loop, terminal).run()
  }

  private init(_ invocation: Invocation, _ loop: EventLoop, _ terminal: Terminal) throws(CommandError) {
    self.invocation = invocation
    self.loop = loop
    self.terminal = terminal
    request = invocation.requests[0]
    follower = try DatabaseFollower(invocation.options, loop, terminal)
    if let count = request.value("count") {
      guard let number = Int(count), number > 0 else {
        throw .usage("--count: \"\(count)\" is not a number of lines above zero")
      }
      remaining = number
    }
  }

  private func run() throws(CommandError) -> Outcome {
    var timer: EventLoop.Timer?
    if let seconds = invocation.options.timeout {
      timer = loop.after(milliseconds: seconds * 1000) { [unowned self] in
        // To watch for so long is what was asked for, unless there was to be a number of lines.
        guard remaining == nil, isStarted else {
          terminal.say("timed out after \(seconds) s waiting for changes of \(request.arguments[0])")
          return result = .timedOut
        }
        result = .code(0)
      }
    }
    defer { timer?.cancel() }
    try follower.follow(until: { result != nil }, select: select, changed: changed)
    return result ?? .code(1)
  }

  private func select(_ schema: DatabaseSchema) throws(CommandError) -> [String: [String]] {
    let table = try schema.table(matching: request.arguments[0])
    var columns: [ColumnSchema] = []
    var selection = Selection()
    conditions = []
    for argument in request.arguments.dropFirst() {
      if argument.utf8.contains(where: { "=<>!{".utf8.contains($0) }) {
        let condition = try Condition(argument, table, SymbolTable())
        conditions.append(condition)
        selection.add(table.name, [condition.column.name], schema)
      } else {
        columns.append(try table.column(matching: argument))
      }
    }
    if columns.isEmpty { columns = table.columns }
    let name = RowName.kinds(table).first { $0.referenceColumn == nil }?.nameColumn
    selection.add(table.name, columns.map(\.name) + (name.map { [$0] } ?? []), schema)
    lines = WatchLines(table: table, columns: columns, nameColumn: name, style: invocation.options.style)
    return selection.tables.mapValues { $0.sorted() }
  }

  private func changed(_ changes: ReplicaChanges, _: Replica) {
    guard let lines, let rows = changes.tables[lines.table.name] else { return isStarted = true }
    for (uuid, change) in rows.sorted(by: { $0.key < $1.key }) where result == nil {
      switch change {
      case .inserted(let row): tell(lines, nil, row)
      case .modified(let old, let new): tell(lines, shown.contains(uuid) ? old : nil, new)
      case .deleted(let row): if shown.contains(uuid) { tell(lines, row, nil) }
      }
    }
    isStarted = true
  }

  /// Tells what became of a row; nil where it is not there, or does not satisfy the conditions.
  private func tell(_ lines: WatchLines, _ old: ReplicaRow?, _ new: ReplicaRow?) {
    let new = new.flatMap { row in conditions.allSatisfy { $0.holds(row[$0.column.name]) } ? row : nil }
    if let new { shown.insert(new.uuid) } else if let old { shown.remove(old.uuid) }
    if !isStarted, request.has("no-initial") { return }
    guard let line = lines.line(old, new, isInitial: !isStarted) else { return }
    terminal.output(line + "\n")
    guard let count = remaining else { return }
    remaining = count - 1
    if count == 1 { result = .code(0) }
  }
}
