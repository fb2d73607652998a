import OVSDB

extension Replica {
  /// Nil where the reference leads nowhere, or to a table that is not monitored.
  public func row<Row: TableRow>(_ reference: RowReference<Row>) -> Row? {
    row(Row.table, reference.uuid).map(Row.init)
  }

  /// The table's rows, in no particular order; none for a table that is not monitored.
  public func rows<Row: TableRow>(_: Row.Type) -> [Row] { rows(Row.table).map(Row.init) }

  /// The only row of the table; nil when there is none or more than one.
  public func onlyRow<Row: TableRow>(_: Row.Type) -> Row? { onlyRow(Row.table).map(Row.init) }
}

/// What the server's schema lacks is left out: see `TableRow`.
extension TransactionBuilder {
  /// Inserts the row, with the columns it has; `row.reference` names it in this transaction. Returns its operation's
  /// index; nil when the schema lacks the table.
  @discardableResult
  public mutating func insert<Row: TableRow>(_ row: Row, _ schema: DatabaseSchema) -> Int? {
    schema[table: Row.table].map { insert($0, row.uuid, row.columns) }
  }

  /// Sets the columns that `changes` has, if any. Returns the operation's index; nil when there is nothing to set.
  @discardableResult
  public mutating func update<Row: TableRow>(_ changes: Row, _ schema: DatabaseSchema) -> Int? {
    guard let table = schema[table: Row.table] else { return nil }
    let columns = changes.columns.filter { table[column: $0.key] != nil }
    return columns.isEmpty ? nil : update(table, changes.uuid, columns)
  }

  /// Fails the transaction unless the table is empty. Returns the operation's index; nil when the schema lacks it.
  @discardableResult
  public mutating func expectEmpty<Row: TableRow>(_: Row.Type, _ schema: DatabaseSchema) -> Int? {
    schema[table: Row.table].map { expectEmpty($0) }
  }
}
