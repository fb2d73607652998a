import JSONRPC

/// A database's rows under another schema, as `ovsdb-tool convert` makes them: tables and columns that are gone take
/// their contents with them, new ones get defaults, and what stays has to fit.
enum SchemaConversion {
  /// The rows of `database` in a new one in memory. UUIDs stay. All that holds for a transaction holds for the result:
  /// rows that nothing refers to any more go, and so do weak references to them.
  ///
  /// - Throws: the first value, reference, index or number of rows that `schema` does not allow; `database` is as it was.
  static func converted(
    _ database: Database, to schema: DatabaseSchema
  ) throws(OVSDBError) -> Database {
    let result = Database(schema: schema)
    // One's own rows are not a client's request.
    result.workLimit = .max
    let transaction = Transaction(result)
    for table in result.tables {
      guard let place = database.schema.tableIndex[table.schema.name] else { continue }
      let old = database.tables[place]
      let columns = Column.list(from: old.schema, to: table)
      for row in old.rows.values {
        var values = table.defaults
        for column in columns {
          do throws(OVSDBError) { values[column.new] = try column.convert(row.columns[column.old]) } catch {
            throw error.about("table \(table.schema.name), row \(row.uuid), column \(column.name)")
          }
        }
        transaction.insert(table, Row(uuid: row.uuid, version: row.version, columns: values))
      }
    }
    _ = try transaction.commit()
    result.workLimit = database.workLimit
    return result
  }

  /// What of `old` has no place in `new`: the first such table or column, for a person; nil if there is none.
  static func loss(from old: DatabaseSchema, to new: DatabaseSchema) -> String? {
    for table in old.tables {
      guard let other = new[table: table.name] else { return "the table \(table.name)" }
      if let gone = table.columns.first(where: { other[column: $0.name] == nil }) {
        return "the column \(gone.name) of table \(table.name)"
      }
    }
    return nil
  }

  /// A column that both schemas have.
  private struct Column {
    let name: String
    let old: Int
    let new: Int
    let oldType: ColumnType
    let newType: ColumnType

    static func list(from old: TableSchema, to table: Table) -> [Column] {
      table.schema.columns.enumerated().compactMap { index, column in
        old.columnIndex[column.name].map { place in
          Column(
            name: column.name, old: place, new: index, oldType: old.columns[place].type, newType: column.type)
        }
      }
    }

    func convert(_ value: Datum) throws(OVSDBError) -> Datum {
      oldType == newType ? value : try Datum(value.json(oldType), newType)
    }
  }
}
