/// A table's rows, and what is known about them to answer quickly: reference counts and indexes.
///
/// `rows` changes while a transaction runs (and is put back if that fails); the rest changes when it commits.
final class Table {
  let schema: TableSchema
  /// The table's place in the schema.
  let place: Int
  var rows: [UUID: Row] = [:]
  /// How many strong references lead to a row; only rows that have some. One from the row itself does
  /// not count.
  var strongReferences: [UUID: Int] = [:]
  /// Which rows refer weakly to a row of this table, and how often.
  var weakReferrers: [UUID: [RowName: Int]] = [:]
  /// For each index of the schema, the row with those values.
  var indexes: [[[Datum]: UUID]]
  let references: [ReferenceColumn]
  /// The columns of a row nothing was written to.
  let defaults: [Datum]

  init(_ schema: TableSchema, _ place: Int, _ database: DatabaseSchema) {
    self.schema = schema
    self.place = place
    indexes = schema.indexes.map { _ in [:] }
    references = schema.columns.indices.compactMap { ReferenceColumn($0, schema.columns[$0].type, database) }
    defaults = schema.columns.map(\.type.defaultDatum)
  }

  /// The values of a row that an index is made of.
  func indexKey(_ index: Int, _ row: Row) -> [Datum] { schema.indexes[index].map { row.columns[$0] } }
}

/// A row anywhere in the database.
struct RowName: Hashable {
  let table: Int
  let uuid: UUID
}

/// A column whose keys or values name rows.
struct ReferenceColumn {
  struct Target {
    let table: Int
    let isStrong: Bool
  }

  let column: Int
  let key: Target?
  let value: Target?

  init?(_ column: Int, _ type: ColumnType, _ database: DatabaseSchema) {
    func target(_ base: BaseType?) -> Target? {
      guard let base, let name = base.referenceTable, let table = database.tableIndex[name] else {
        return nil
      }
      return Target(table: table, isStrong: base.referenceKind == .strong)
    }
    self.column = column
    key = target(type.key)
    value = target(type.value)
    if key == nil, value == nil { return nil }
  }

  var hasStrong: Bool { key?.isStrong == true || value?.isStrong == true }
  var hasWeak: Bool { key?.isStrong == false || value?.isStrong == false }

  /// Calls `body` for every reference in the column of `row` to another row.
  func forEach(_ row: Row, _ body: (Target, UUID) -> Void) {
    let datum = row.columns[column]
    if let key {
      for case .uuid(let uuid) in datum.keys where uuid != row.uuid { body(key, uuid) }
    }
    if let value {
      for case .uuid(let uuid) in datum.values where uuid != row.uuid { body(value, uuid) }
    }
  }

  /// Calls `body` for every reference in the column that a change took away (-1) or made (1).
  func forEachChange(_ old: Row?, _ new: Row?, _ body: (Target, UUID, _ step: Int) -> Void) {
    guard var old, var new else {
      if let old { forEach(old) { body($0, $1, -1) } }
      if let new { forEach(new) { body($0, $1, 1) } }
      return
    }
    guard old.columns[column] != new.columns[column] else { return }
    if value == nil {
      // Of a long set only the elements that differ.
      let (before, after) = (old.columns[column], new.columns[column])
      old.columns[column] = before.removing(after)
      new.columns[column] = after.removing(before)
    }
    forEach(old) { body($0, $1, -1) }
    forEach(new) { body($0, $1, 1) }
  }
}
