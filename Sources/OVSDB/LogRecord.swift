import Glibc
import JSONRPC

/// The text of a log record: `{"_date":ms,"_is_diff":true,"_comment":"…","Table":{"UUID":{column:value}|null}}`.
package enum LogRecord {
  /// Nil when nothing of the change belongs on disk. Inserts leave out defaults; ephemeral columns never appear.
  static func text(_ changes: ChangeSet, _ database: Database, comments: [String]) -> [UInt8]? {
    var output: [UInt8] = []
    var record = ObjectWriter()
    for (place, rows) in changes {
      let table = database.tables[place]
      var members = ObjectWriter()
      for change in rows {
        guard let new = change.new else {
          begin(&record, table, &members, change.uuid, &output)
          output.append(contentsOf: "null".utf8)
          continue
        }
        let columns = changedColumns(table, change.old, new)
        if columns.isEmpty, change.old != nil { continue }
        begin(&record, table, &members, change.uuid, &output)
        write(columns, table.schema, change.old, new, &output)
      }
      if !members.isEmpty { members.close(&output) }
    }
    if record.isEmpty, comments.isEmpty { return nil }
    if !comments.isEmpty {
      record.key("_comment", to: &output)
      JSON.write(comments.joined(separator: "\n"), to: &output)
    }
    record.key("_date", to: &output)
    JSON.write(milliseconds(), to: &output)
    record.key("_is_diff", to: &output)
    output.append(contentsOf: "true".utf8)
    record.close(&output)
    return output
  }

  private static func begin(
    _ record: inout ObjectWriter, _ table: Table, _ members: inout ObjectWriter, _ uuid: UUID,
    _ output: inout [UInt8]
  ) {
    if members.isEmpty { record.key(table.schema.name, to: &output) }
    members.key(uuid, to: &output)
  }

  private static func changedColumns(_ table: Table, _ old: Row?, _ new: Row) -> [Int] {
    let before = old?.columns ?? table.defaults
    return new.columns.indices.filter {
      !table.schema.columns[$0].isEphemeral && before[$0] != new.columns[$0]
    }
  }

  private static func write(
    _ columns: [Int], _ schema: TableSchema, _ old: Row?, _ new: Row, _ output: inout [UInt8]
  ) {
    var object = ObjectWriter()
    for index in columns {
      let column = schema.columns[index]
      object.key(column.name, to: &output)
      if let old, column.type.isPlural {
        old.columns[index].difference(to: new.columns[index]).write(column.type, to: &output)
      } else {
        new.columns[index].write(column.type, to: &output)
      }
    }
    object.close(&output)
  }

  /// The texts of a log that begins with `database` as it is: its schema, and one record of all rows.
  static func whole(_ database: Database, comment: String = "compacting database") -> [[UInt8]] {
    var all: ChangeSet = []
    for table in database.tables where !table.rows.isEmpty {
      all.append((table.place, table.rows.values.map { RowChange(uuid: $0.uuid, old: nil, new: $0) }))
    }
    let rows = text(all, database, comments: [comment])
    return [database.schema.json.bytes] + (rows.map { [$0] } ?? [])
  }

  /// A record as it stands in the file: its header, `text` and a newline.
  package static func framed(_ text: [UInt8]) -> [UInt8] {
    var body = text
    body.append(UInt8(ascii: "\n"))
    var record = Array("OVSDB JSON \(body.count) ".utf8)
    record.reserveCapacity(body.count + 64)
    record.append(contentsOf: SHA1.hexadecimal(body[...]))
    record.append(UInt8(ascii: "\n"))
    record.append(contentsOf: body)
    return record
  }

  private static func milliseconds() -> Int64 {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    return Int64(now.tv_sec) * 1000 + Int64(now.tv_nsec) / 1_000_000
  }

  /// Repeats what a record says. The record was checked when it was written: only its form is verified.
  static func apply(_ json: JSON, to database: Database) throws(OVSDBError) {
    guard case .object(let members) = json else { throw .syntax("a record must be an object") }
    let isDifference = members["_is_diff"]?.bool ?? false
    for (name, rows) in members where !name.hasPrefix("_") {
      let table = try database.table(name)
      guard case .object(let rows) = rows else { throw .syntax("table \(name): expected an object of rows") }
      for (text, columns) in rows {
        guard let uuid = UUID(text) else { throw .syntax("table \(name): \"\(text)\" is not a UUID") }
        do throws(OVSDBError) {
          try apply(columns, uuid, table, database, isDifference)
        } catch { throw error.about("table \(name), row \(uuid)") }
      }
    }
  }

  private static func apply(
    _ json: JSON, _ uuid: UUID, _ table: Table, _ database: Database, _ isDifference: Bool
  ) throws(OVSDBError) {
    if json.isNull {
      guard table.rows.removeValue(forKey: uuid) != nil else {
        throw .syntax("it is deleted but did not exist")
      }
      return
    }
    guard case .object(let columns) = json else { throw .syntax("expected an object of columns") }
    var row = Row(uuid: uuid, version: .zero, columns: table.defaults)
    let isNew = table.rows[uuid] == nil
    for (name, value) in columns {
      guard let index = table.schema.columnIndex[name] else { throw .unknownColumn(name, table.schema.name) }
      let type = table.schema.columns[index].type
      let datum = try Datum(value, type.anyCount, checking: false)
      if isNew {
        row.columns[index] = datum
      } else if isDifference, type.isPlural {
        table.rows[uuid]?.columns[index].apply(datum)
      } else {
        table.rows[uuid]?.columns[index] = datum
      }
    }
    guard isNew else { return }
    row.version = database.uuids.next()
    table.rows[uuid] = row
  }
}
