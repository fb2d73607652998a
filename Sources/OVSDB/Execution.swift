import JSONRPC
import Linux

/// A `transact` request being carried out: at once, or again and again while one of its `wait` operations is not
/// satisfied.
final class Execution {
  enum Outcome {
    /// The results to reply with, and what was changed (nil when the transaction failed).
    case finished([JSON], ChangeSet?)
    /// Not before `deadline` (monotonic nanoseconds; nil: ever) unless the database changes.
    case waiting(deadline: UInt64?)
  }

  let database: Database
  /// Whether it may only look.
  var isReadOnly: Bool
  private let operations: [JSON]
  private let started: UInt64
  private let ownsLock: (String) -> Bool
  /// Set by a `wait` that is not satisfied yet.
  fileprivate var wait: (isPending: Bool, deadline: UInt64?) = (false, nil)
  fileprivate var transaction: Transaction

  /// - Parameter ownsLock: for `assert`.
  init(_ database: Database, _ operations: [JSON], ownsLock: @escaping (String) -> Bool = { _ in false }) {
    self.database = database
    isReadOnly = database.isReadOnly
    self.operations = operations
    self.ownsLock = ownsLock
    started = monotonicNanoseconds()
    transaction = Transaction(database)
  }

  /// Runs all operations from the beginning, and commits if they succeed.
  func attempt() -> Outcome {
    transaction = Transaction(database)
    wait = (false, nil)
    var results: [JSON] = []
    results.reserveCapacity(operations.count)
    do throws(OVSDBError) {
      transaction.names = try Self.names(operations, database)
      for operation in operations {
        let result = try OperationArguments.run(operation, self)
        if wait.isPending {
          transaction.rollBack()
          return .waiting(deadline: wait.deadline)
        }
        results.append(result)
      }
    } catch {
      transaction.rollBack()
      results.append(error.json)
      // The operations after the one that failed have no result (RFC 7047 §4.1.3).
      results.append(contentsOf: repeatElement(.null, count: max(0, operations.count - results.count)))
      return .finished(results, nil)
    }
    do throws(OVSDBError) {
      return .finished(results, try transaction.commit())
    } catch {
      return .finished(results + [error.json], nil)
    }
  }

  /// Whether the commit is only to be acknowledged once the database's file was synced.
  var needsSync: Bool { transaction.needsSync }

  /// The UUIDs of all rows the transaction names, so that a name can be used before its insert.
  private static func names(_ operations: [JSON], _ database: Database) throws(OVSDBError) -> NamedUUIDs {
    var names: NamedUUIDs = [:]
    for case .object(let members) in operations where members["op"] == "insert" {
      guard let name = members["uuid-name"]?.string else { continue }
      let uuid = try explicitUUID(members["uuid"]) ?? database.uuids.next()
      if names.updateValue(uuid, forKey: name) != nil {
        throw OVSDBError("duplicate uuid-name", "two inserts have the uuid-name \"\(name)\"")
      }
    }
    return names
  }

  fileprivate static func explicitUUID(_ json: JSON?) throws(OVSDBError) -> UUID? {
    guard let json else { return nil }
    let text = json.string ?? (json[0] == "uuid" ? json[1]?.string : nil)
    guard let text, let uuid = UUID(text) else { throw .syntax("\(json.excerpt) is not a UUID") }
    return uuid
  }
}

/// The members of one operation object.
struct OperationArguments {
  private let members: [String: JSON]

  typealias Handler = @Sendable (OperationArguments, Execution) throws(OVSDBError) -> JSON

  /// Every operation of RFC 7047 §5.2: its members besides `op`, and what carries it out.
  static let operations: [String: (members: Set<String>, changes: Bool, run: Handler)] = [
    "insert": (
      ["table", "row", "uuid-name", "uuid"], true, { (a, x) throws(OVSDBError) in try a.insert(x) }
    ),
    "select": (["table", "where", "columns"], false, { (a, x) throws(OVSDBError) in try a.select(x) }),
    "update": (["table", "where", "row"], true, { (a, x) throws(OVSDBError) in try a.update(x) }),
    "mutate": (["table", "where", "mutations"], true, { (a, x) throws(OVSDBError) in try a.mutate(x) }),
    "delete": (["table", "where"], true, { (a, x) throws(OVSDBError) in try a.delete(x) }),
    "wait": (
      ["timeout", "table", "where", "columns", "until", "rows"], false,
      { (a, x) throws(OVSDBError) in try a.wait(x) }
    ),
    "commit": (["durable"], true, { (a, x) throws(OVSDBError) in try a.commit(x) }),
    "abort": ([], false, { (_, _) throws(OVSDBError) in throw OVSDBError("aborted", "aborted by request") }),
    "comment": (["comment"], true, { (a, x) throws(OVSDBError) in try a.comment(x) }),
    "assert": (["lock"], false, { (a, x) throws(OVSDBError) in try a.assert(x) }),
  ]

  static func run(_ json: JSON, _ execution: Execution) throws(OVSDBError) -> JSON {
    guard case .object(let members) = json else {
      throw .syntax("an operation must be an object, not \(json.excerpt)")
    }
    guard let name = members["op"]?.string else { throw .syntax("an operation needs an \"op\" string") }
    guard let operation = operations[name] else {
      throw OVSDBError("unknown operation", "there is no operation \"\(name)\"")
    }
    for member in members.keys where member != "op" && !operation.members.contains(member) {
      throw .syntax("\(name) has no member \"\(member)\"")
    }
    if operation.changes, execution.isReadOnly {
      throw OVSDBError("not allowed", "the database \(execution.database.name) can only be read here")
    }
    return try operation.run(OperationArguments(members: members), execution)
  }

  private init(members: [String: JSON]) { self.members = members }

  private func member(_ name: String) throws(OVSDBError) -> JSON {
    guard let value = members[name] else { throw .syntax("the member \"\(name)\" is missing") }
    return value
  }

  private func string(_ name: String) throws(OVSDBError) -> String {
    let value = try member(name)
    guard let text = value.string else { throw .syntax("\"\(name)\" must be a string, not \(value.excerpt)") }
    return text
  }

  private func array(_ name: String) throws(OVSDBError) -> [JSON] {
    let value = try member(name)
    guard let elements = value.array else {
      throw .syntax("\"\(name)\" must be an array, not \(value.excerpt)")
    }
    return elements
  }

  private func table(_ execution: Execution) throws(OVSDBError) -> Table {
    try execution.database.table(try string("table"))
  }

  private func selection(_ table: Table, _ execution: Execution) throws(OVSDBError) -> [Row] {
    let names = execution.transaction.names
    return try execution.transaction.rows(table, try Condition(try member("where"), table.schema, names))
  }

  /// The columns `columns` names, or all.
  private func columns(_ table: TableSchema) throws(OVSDBError) -> [ColumnReference] {
    guard members["columns"] != nil else {
      return [.uuid, .version] + table.columns.indices.map(ColumnReference.schema)
    }
    var result: [ColumnReference] = []
    for element in try array("columns") {
      guard let name = element.string else {
        throw .syntax("a column name must be a string, not \(element.excerpt)")
      }
      let reference = try ColumnReference(name, table)
      if result.contains(reference) { throw .syntax("the column \"\(name)\" is named twice") }
      result.append(reference)
    }
    return result
  }

  /// A row object as the columns it sets.
  private func assignments(
    _ json: JSON, _ table: TableSchema, _ names: NamedUUIDs
  ) throws(OVSDBError) -> [(column: Int, value: Datum)] {
    guard case .object(let columns) = json else {
      throw .syntax("a row must be an object, not \(json.excerpt)")
    }
    var result: [(column: Int, value: Datum)] = []
    result.reserveCapacity(columns.count)
    for (name, value) in columns {
      let index = try table.writableColumn(name)
      do throws(OVSDBError) {
        result.append((index, try Datum(value, table.columns[index].type, names: names)))
      } catch { throw error.about("table \(table.name), column \(name)") }
    }
    return result
  }
}

extension OVSDBError {
  func about(_ what: String) -> OVSDBError { OVSDBError(error, "\(what): \(details)") }
}

// Operations that change rows.
extension OperationArguments {
  private func insert(_ execution: Execution) throws(OVSDBError) -> JSON {
    let table = try table(execution)
    let transaction = execution.transaction
    var uuid = try Execution.explicitUUID(members["uuid"])
    if members["uuid-name"] != nil {
      uuid = transaction.names[try string("uuid-name")]
    }
    if let uuid, transaction.isKnown(table, uuid) {
      throw OVSDBError(
        "duplicate uuid", "table \(table.schema.name) has, or had in this transaction, a row \(uuid)")
    }
    var columns = table.defaults
    for (column, value) in try assignments(try member("row"), table.schema, transaction.names) {
      columns[column] = value
    }
    let row = Row(uuid: uuid ?? execution.database.uuids.next(), version: .zero, columns: columns)
    transaction.insert(table, row)
    return ["uuid": Atom.uuid(row.uuid).json]
  }

  private func update(_ execution: Execution) throws(OVSDBError) -> JSON {
    let table = try table(execution)
    let names = execution.transaction.names
    let assignments = try assignments(try member("row"), table.schema, names)
    for (column, _) in assignments where !table.schema.columns[column].isMutable {
      throw .constraint(
        "column \(table.schema.columns[column].name) of table \(table.schema.name) cannot be changed after the insert"
      )
    }
    let rows = try selection(table, execution)
    for var row in rows {
      for (column, value) in assignments { row.columns[column] = value }
      execution.transaction.replace(table, row)
    }
    return ["count": .integer(Int64(rows.count))]
  }

  private func mutate(_ execution: Execution) throws(OVSDBError) -> JSON {
    let table = try table(execution)
    var mutations: [Mutation] = []
    for json in try array("mutations") {
      mutations.append(try Mutation(json, table.schema, execution.transaction.names))
    }
    let rows = try selection(table, execution)
    for var row in rows {
      for mutation in mutations {
        let schema = table.schema.columns[mutation.column]
        do throws(OVSDBError) {
          let value = try mutation.apply(to: row.columns[mutation.column])
          try schema.type.check(value)
          row.columns[mutation.column] = value
        } catch { throw error.about("table \(table.schema.name), column \(schema.name)") }
      }
      execution.transaction.replace(table, row)
    }
    return ["count": .integer(Int64(rows.count))]
  }

  private func delete(_ execution: Execution) throws(OVSDBError) -> JSON {
    let table = try table(execution)
    let rows = try selection(table, execution)
    for row in rows { execution.transaction.delete(table, row.uuid) }
    return ["count": .integer(Int64(rows.count))]
  }
}

// Operations that look, and those about the transaction itself.
extension OperationArguments {
  private func select(_ execution: Execution) throws(OVSDBError) -> JSON {
    let table = try table(execution)
    let columns = try columns(table.schema)
    let rows = try selection(table, execution)
    try execution.transaction.spend(rows.count * (columns.count + 1) * Transaction.costOfValue)
    let named = columns.map { ($0, $0.name(table.schema), $0.type(table.schema)) }
    return [
      "rows": .array(
        rows.map { row in
          var members: [String: JSON] = [:]
          members.reserveCapacity(named.count)
          for (column, name, type) in named { members[name] = row[column].json(type) }
          return .object(members)
        })
    ]
  }

  /// Compares the rows selected with the rows given, as sets of rows of the columns named (RFC 7047 §5.2.6).
  private func wait(_ execution: Execution) throws(OVSDBError) -> JSON {
    let table = try table(execution)
    let columns = try columns(table.schema)
    let until = try string("until")
    guard until == "==" || until == "!=" else {
      throw .syntax("\"until\" must be \"==\" or \"!=\", not \"\(until)\"")
    }
    var wanted: Set<[Datum]> = []
    for json in try array("rows") { wanted.insert(try project(json, columns, table, execution)) }
    var timeout: Int64?
    if let json = members["timeout"] {
      guard let number = json.integer, number >= 0 else {
        throw .syntax("\"timeout\" must be a number of milliseconds, not \(json.excerpt)")
      }
      timeout = number
    }
    let rows = try selection(table, execution)
    try execution.transaction.spend(rows.count * columns.count)
    let found = Set(rows.map { row in columns.map { row[$0] } })
    if (found == wanted) == (until == "==") { return [:] }
    try execution.blocked(timeout)
    return [:]
  }

  /// A row object reduced to `columns`; a column it does not have has its default.
  private func project(
    _ json: JSON, _ columns: [ColumnReference], _ table: Table, _ execution: Execution
  ) throws(OVSDBError) -> [Datum] {
    guard case .object(let members) = json else {
      throw .syntax("a row must be an object, not \(json.excerpt)")
    }
    var result = columns.map { $0.type(table.schema).defaultDatum }
    for (name, value) in members {
      let reference = try ColumnReference(name, table.schema)
      let datum = try Datum(value, reference.type(table.schema), names: execution.transaction.names)
      if let index = columns.firstIndex(of: reference) { result[index] = datum }
    }
    return result
  }

  private func commit(_ execution: Execution) throws(OVSDBError) -> JSON {
    guard let durable = try member("durable").bool else { throw .syntax("\"durable\" must be a boolean") }
    if durable { execution.transaction.isDurable = true }
    return [:]
  }

  private func comment(_ execution: Execution) throws(OVSDBError) -> JSON {
    execution.transaction.comments.append(try string("comment"))
    return [:]
  }

  private func assert(_ execution: Execution) throws(OVSDBError) -> JSON {
    let lock = try string("lock")
    guard execution.owns(lock) else {
      throw OVSDBError("not owner", "this session does not own the lock \"\(lock)\"")
    }
    return [:]
  }
}

extension Execution {
  fileprivate func owns(_ lock: String) -> Bool { ownsLock(lock) }

  /// A `wait` is not satisfied: fails when its time is up, else stops the attempt.
  fileprivate func blocked(_ timeout: Int64?) throws(OVSDBError) {
    guard let timeout else {
      wait = (true, nil)
      return
    }
    let limit = UInt64(min(timeout, 1 << 40)) * 1_000_000
    let deadline = started &+ limit
    if monotonicNanoseconds() >= deadline {
      throw OVSDBError(
        "timed out", "\"wait\" timed out after \(timeout) ms: its rows did not become as asked")
    }
    wait = (true, deadline)
  }
}
