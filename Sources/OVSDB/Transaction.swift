import JSONRPC

/// One run of the operations of a `transact` request (RFC 7047 §4.1.3).
///
/// Theory of operation. Operations change the tables in place, so that each sees what the ones before it did;
/// `originals` keeps every row as it was at first touch. A failure puts those back and nothing remains. If all
/// succeed, `commit` (Commit.swift) collects garbage, checks what only holds for the whole, writes the log, and only
/// then tells the monitors.
final class Transaction {
  let database: Database
  var names: NamedUUIDs = [:]
  /// The tables touched: few, so that they are looked for one by one.
  private(set) var touched: [TouchedTable] = []
  var comments: [String] = []
  var isDurable = false
  /// Whether the commit wrote what has to be synced before it is acknowledged.
  var needsSync = false
  /// How much work is left before the transaction is refused: rows looked at and values returned.
  private var budget: Int

  init(_ database: Database) {
    self.database = database
    budget = database.workLimit
  }

  struct TouchedTable {
    let table: Table
    /// The rows touched as they were before; `.some(nil)` for a row that did not exist.
    var originals: [UUID: Row?] = [:]
  }

  /// A value in a reply, compared with looking at a row: mostly memory.
  static let costOfValue = 20

  func spend(_ work: Int) throws(OVSDBError) {
    budget -= work
    if budget < 0 {
      throw OVSDBError("resources exhausted", "the transaction looks at or returns too many rows; split it")
    }
  }

  /// The rows a condition selects.
  func rows(_ table: Table, _ condition: Condition) throws(OVSDBError) -> [Row] {
    if let uuid = condition.uuid {
      try spend(1)
      guard let row = table.rows[uuid], condition.matches(row) else { return [] }
      return [row]
    }
    try spend(table.rows.count + 1)
    if condition.clauses.isEmpty { return Array(table.rows.values) }
    return table.rows.values.filter { condition.matches($0) }
  }

  func insert(_ table: Table, _ row: Row) {
    remember(table, row.uuid)
    table.rows[row.uuid] = row
  }

  /// Replaces the columns of a row that exists.
  func replace(_ table: Table, _ row: Row) {
    remember(table, row.uuid)
    table.rows[row.uuid] = row
  }

  func delete(_ table: Table, _ uuid: UUID) {
    remember(table, uuid)
    table.rows[uuid] = nil
  }

  /// Whether there is such a row, or was before this transaction.
  func isKnown(_ table: Table, _ uuid: UUID) -> Bool {
    if table.rows[uuid] != nil { return true }
    if case .some(.some) = original(table, uuid) { return true }
    return false
  }

  /// A row as it was before; nil when it was not touched.
  func original(_ table: Table, _ uuid: UUID) -> Row?? {
    touched.first { $0.table === table }?.originals[uuid]
  }

  private func remember(_ table: Table, _ uuid: UUID) {
    guard let place = touched.firstIndex(where: { $0.table === table }) else {
      touched.append(TouchedTable(table: table, originals: [uuid: table.rows[uuid]]))
      return
    }
    if touched[place].originals[uuid] == nil {
      touched[place].originals.updateValue(table.rows[uuid], forKey: uuid)
    }
  }

  /// Puts everything back.
  func rollBack() {
    for part in touched {
      for (uuid, row) in part.originals { part.table.rows[uuid] = row }
    }
    touched = []
  }
}

/// One row before and after a commit.
struct RowChange {
  let uuid: UUID
  let old: Row?
  let new: Row?
}

/// What one commit changed: for each table (by place) the rows that differ.
typealias ChangeSet = [(table: Int, rows: [RowChange])]
