import OVSDB

/// A row of the working copy: it exists in the database, or will.
struct Row: Hashable {
  let table: String
  let uuid: UUID
}

/// The replica with the invocation's own changes on top, and the transaction that carries them out.
///
/// Commands read and write here, so that each sees what those before it did; nothing is sent before all have run.
final class WorkingCopy {
  let replica: Replica
  var schema: DatabaseSchema { replica.schema }

  struct Change {
    let isInserted: Bool
    /// Whether the server has to take the new row's UUID over.
    var keepsUUID = false
    var isDeleted = false
    var written: [String: Datum] = [:]
    /// Columns whose value the outcome depends on: the transaction fails if another client changed them.
    var verified: Set<String> = []
  }

  private(set) var changes: [Row: Change] = [:]
  /// In the order of the first change, so that equal invocations send equal transactions.
  private(set) var order: [Row] = []

  init(_ replica: Replica) { self.replica = replica }

  // MARK: Reading

  /// The table's rows: those of the database by UUID, then new ones.
  func rows(_ table: String) -> [Row] {
    let stored = (replica.tables[table] ?? [:]).keys.sorted().map { Row(table: table, uuid: $0) }
    let inserted = order.filter { $0.table == table && changes[$0]?.isInserted == true }
    return (stored + inserted).filter(exists)
  }

  func exists(_ row: Row) -> Bool {
    if let change = changes[row] { return !change.isDeleted }
    return replica.row(row.table, row.uuid) != nil
  }

  subscript(row: Row, column: String) -> Datum {
    if let written = changes[row]?.written[column] { return written }
    if let stored = replica.row(row.table, row.uuid)?.columns[column] { return stored }
    return schema[table: row.table]?[column: column]?.type.defaultDatum ?? .empty
  }

  /// The rows that a column of references names, as far as they exist.
  func references(_ row: Row, _ column: String, _ table: String) -> [Row] {
    self[row, column].uuids.map { Row(table: table, uuid: $0) }.filter(exists)
  }

  // MARK: Writing

  /// - Parameter keepsUUID: `uuid` is the new row's own, not one made up until the server chooses.
  func insert(
    _ table: String, _ uuid: UUID = .random(), _ columns: [String: Datum] = [:], keepsUUID: Bool = false
  ) -> Row {
    let row = Row(table: table, uuid: uuid)
    order.append(row)
    changes[row] = Change(isInserted: true, keepsUUID: keepsUUID, written: columns)
    return row
  }

  func write(_ row: Row, _ column: String, _ datum: Datum) {
    change(row) { $0.written[column] = datum }
  }

  /// Marks the row as deleted. Rows of tables that are not roots go when nothing refers to them any more.
  func delete(_ row: Row) {
    change(row) { $0.isDeleted = true }
  }

  func verify(_ row: Row, _ column: String) {
    change(row) { $0.verified.insert(column) }
  }

  private func change(_ row: Row, _ body: (inout Change) -> Void) {
    if changes[row] == nil {
      order.append(row)
      changes[row] = Change(isInserted: false)
    }
    if var change = changes[row] {
      // Out of the dictionary while it is changed: no copy of its columns.
      changes[row] = nil
      body(&change)
      changes[row] = change
    }
  }

  // MARK: The transaction

  /// Adds the operations. Returns where each new row's insert is, and whether anything changes at all.
  func commit(to builder: inout TransactionBuilder) -> (inserts: [Row: Int], hasChanges: Bool) {
    for row in order { verify(row, &builder) }
    var inserts: [Row: Int] = [:]
    var hasChanges = false
    for row in order {
      guard let change = changes[row], let table = schema[table: row.table] else { continue }
      switch (change.isInserted, change.isDeleted) {
      case (true, true): break
      case (true, false):
        let columns = change.written.filter { table[column: $0]?.type.defaultDatum != $1 }
        inserts[row] = builder.insert(table, row.uuid, columns, keepsUUID: change.keepsUUID)
        hasChanges = true
      case (false, true):
        guard table.isRoot else { break }
        builder.delete(table, row.uuid)
        hasChanges = true
      case (false, false):
        guard !change.written.isEmpty else { break }
        builder.update(table, row.uuid, change.written)
        let stored = replica.row(row.table, row.uuid)
        if change.written.contains(where: { stored?.columns[$0] != $1 }) { hasChanges = true }
      }
    }
    return (inserts, hasChanges)
  }

  private func verify(_ row: Row, _ builder: inout TransactionBuilder) {
    guard let change = changes[row], let table = schema[table: row.table],
      let stored = replica.row(row.table, row.uuid)
    else { return }
    let expected = stored.columns.filter { change.verified.contains($0.key) }
    if !expected.isEmpty { builder.expect(table, row.uuid, expected) }
  }
}
