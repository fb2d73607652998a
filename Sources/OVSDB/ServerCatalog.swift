import JSONRPC

/// The database `_Server` (ovsdb-server(5)): one row per database served, itself included.
enum ServerCatalog {
  static let schema: DatabaseSchema = {
    func column(_ name: String, _ type: AtomType, optional: Bool = false) -> ColumnSchema {
      var columnType = ColumnType(key: BaseType(type))
      if optional { columnType.minimum = 0 }
      return ColumnSchema(name, columnType)
    }
    var model = column("model", .string)
    model.type.key.enumeration = Datum(strings: ["standalone", "clustered", "relay"])
    return DatabaseSchema(
      name: "_Server", version: "1.2.0",
      tables: [
        TableSchema(
          name: "Database",
          columns: [
            column("name", .string), model, column("connected", .boolean), column("leader", .boolean),
            column("schema", .string, optional: true), column("cid", .uuid, optional: true),
            column("sid", .uuid, optional: true), column("index", .integer, optional: true),
          ])
      ])
  }()

  /// Makes the rows those of `databases`; nil when they were.
  static func describe(_ databases: [Database], in catalog: Database) -> ChangeSet? {
    guard let table = catalog.tables.first, let name = table.schema.columnIndex["name"] else { return nil }
    let transaction = Transaction(catalog)
    var old = [String: Row](
      table.rows.values.map { ($0.columns[name].string ?? "", $0) }, uniquingKeysWith: { $1 })
    for database in databases {
      let columns = columns(database, table)
      if var row = old.removeValue(forKey: database.name) {
        row.columns = columns
        transaction.replace(table, row)
      } else {
        transaction.insert(table, Row(uuid: catalog.uuids.next(), version: .zero, columns: columns))
      }
    }
    for row in old.values { transaction.delete(table, row.uuid) }
    guard let changes = try? transaction.commit(), !changes.isEmpty else { return nil }
    return changes
  }

  private static func columns(_ database: Database, _ table: Table) -> [Datum] {
    let values: [String: Datum] = [
      "name": Datum(database.name), "model": Datum("standalone"), "connected": Datum(true),
      "leader": Datum(true), "schema": Datum(database.schema.json.text),
    ]
    var columns = table.defaults
    for (name, value) in values {
      if let index = table.schema.columnIndex[name] { columns[index] = value }
    }
    return columns
  }
}
