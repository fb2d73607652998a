import JSONRPC

/// Looks for what is wrong with a database file: records, schema, values, references, indexes.
public enum DatabaseCheck {
  /// What a sound file has.
  public struct Summary: Sendable {
    public let schema: DatabaseSchema
    public let records: Int
    public let rows: Int
    /// What was cut short at the end, if anything was: nothing of what was acknowledged.
    public let tornEnd: String?
  }

  /// Throws the first thing that is wrong, with its place.
  public static func run(_ path: String) throws(StorageError) -> Summary {
    var loader = Loader(path)
    // The record that wrote a row last, and where it begins.
    var writers: [UUID: DatabaseFile.Entry.Place] = [:]
    var records = 0
    let tornEnd = try DatabaseFile.read(try readFile(path), path) { (entry) throws(StorageError) in
      let json: JSON
      do throws(StorageError) {
        json = try loader.parse(entry.text, entry.number)
        try loader.apply(json, entry.number)
      } catch {
        throw StorageError("\(error) (the record begins at byte \(entry.place.byte))")
      }
      records = entry.number
      if records == 1 { return }
      for case .object(let rows) in (json.object ?? [:]).values {
        for uuid in rows.keys.compactMap({ UUID($0) }) { writers[uuid] = entry.place }
      }
    }
    let database = try loader.finish()
    for table in database.tables {
      do throws(Fault) { try check(table, database, writers) } catch {
        let writer = error.row.flatMap { writers[$0] }
        let place = writer.map { " (written by record \($0.number) at byte \($0.byte))" } ?? ""
        let row = error.row.map { ", row \($0)" } ?? ""
        throw StorageError("\(path): table \(table.schema.name)\(row)\(place): \(error.reason)")
      }
    }
    let rows = database.tables.reduce(0) { $0 + $1.rows.count }
    return Summary(schema: database.schema, records: records, rows: rows, tornEnd: tornEnd)
  }

  private struct Fault: Error {
    var row: UUID?
    let reason: String
  }

  private static func check(
    _ table: Table, _ database: Database, _ writers: [UUID: DatabaseFile.Entry.Place]
  ) throws(Fault) {
    if let maximum = table.schema.maximumRows, table.rows.count > maximum {
      throw Fault(reason: "it has \(table.rows.count) rows, more than its maximum of \(maximum)")
    }
    // The first fault is the one that was written first.
    let rows = table.rows.values.sorted {
      (writers[$0.uuid]?.number ?? 0, $0.uuid) < (writers[$1.uuid]?.number ?? 0, $1.uuid)
    }
    var seen = table.schema.indexes.map { _ in [[Datum]: UUID]() }
    for row in rows {
      try checkValues(row, table)
      try checkReferences(row, table, database)
      for index in table.schema.indexes.indices {
        guard let other = seen[index].updateValue(row.uuid, forKey: table.indexKey(index, row)) else {
          continue
        }
        let names = table.schema.indexes[index].map { table.schema.columns[$0].name }.joined(separator: ", ")
        throw Fault(row: row.uuid, reason: "it has the same \(names) as row \(other)")
      }
    }
  }

  private static func checkValues(_ row: Row, _ table: Table) throws(Fault) {
    for (column, value) in zip(table.schema.columns, row.columns) {
      do throws(OVSDBError) { try column.type.check(value) } catch {
        throw Fault(row: row.uuid, reason: "column \(column.name): \(error.details)")
      }
    }
  }

  /// Weak references to rows that are gone are dropped by whoever opens the file; strong ones there must not be.
  private static func checkReferences(_ row: Row, _ table: Table, _ database: Database) throws(Fault) {
    for reference in table.references {
      var missing: (table: String, uuid: UUID)?
      reference.forEach(row) { target, uuid in
        let other = database.tables[target.table]
        if target.isStrong, other.rows[uuid] == nil { missing = missing ?? (other.schema.name, uuid) }
      }
      guard let missing else { continue }
      let column = table.schema.columns[reference.column].name
      throw Fault(
        row: row.uuid,
        reason: "column \(column) refers to row \(missing.uuid), which table \(missing.table) does not have")
    }
  }
}
