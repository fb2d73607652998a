import JSONRPC
import Linux

/// A database file's history, for people.
public enum DatabaseLog {
  /// Gives a text for each record to `output`.
  ///
  /// - Parameter detailed: also what each record changed.
  /// - Returns: what is wrong with the file's end, if anything is.
  @discardableResult
  public static func describe(
    _ path: String, detailed: Bool, _ output: (String) -> Void
  ) throws(StorageError) -> String? {
    var loader = Loader(path)
    return try DatabaseFile.read(try readFile(path), path) { (entry) throws(StorageError) in
      let place = "record \(entry.number) at byte \(entry.place.byte)"
      let json = try loader.parse(entry.text, entry.number)
      let before = detailed && entry.number > 1 ? rows(json, try loader.finish()) : nil
      try loader.apply(json, entry.number)
      let database = try loader.finish()
      if entry.number == 1 {
        let schema = database.schema
        let checksum = schema.checksum.map { ", cksum=\"\($0)\"" } ?? ""
        return output("\(place): \"\(schema.name)\" schema, version=\"\(schema.version)\"\(checksum)\n")
      }
      var text = place + (date(json).map { ": \($0)" } ?? "")
      if let comment = json["_comment"]?.string { text += " \"\(comment)\"" }
      text += "\n"
      if let before { text += changes(json, before, database) }
      output(text)
    }
  }

  private static func date(_ json: JSON) -> String? {
    // Up to the year 9999: what is beyond was not written by a clock. Old logs have seconds.
    guard let number = json["_date"]?.integer, (0...253_402_300_799_999).contains(number) else { return nil }
    if number < 1 << 32 { return WallClock.text(Int(number)) }
    return WallClock.text(Int(number / 1000), milliseconds: Int(number % 1000))
  }

  /// The rows a record is about, as they are before it.
  private static func rows(_ json: JSON, _ database: Database) -> [RowName: Row] {
    var result: [RowName: Row] = [:]
    for (name, rows) in json.object ?? [:] {
      guard let place = database.schema.tableIndex[name] else { continue }
      for uuid in (rows.object ?? [:]).keys.compactMap({ UUID($0) }) {
        result[RowName(table: place, uuid: uuid)] = database.tables[place].rows[uuid]
      }
    }
    return result
  }

  private static func changes(_ json: JSON, _ before: [RowName: Row], _ database: Database) -> String {
    var text = ""
    for (name, rows) in (json.object ?? [:]).sorted(by: { $0.key < $1.key }) {
      guard let place = database.schema.tableIndex[name], let rows = rows.object else { continue }
      let table = database.tables[place]
      for (key, columns) in rows.sorted(by: { $0.key < $1.key }) {
        guard let uuid = UUID(key) else { continue }
        let old = before[RowName(table: place, uuid: uuid)]
        let verb = columns.isNull ? "delete" : old == nil ? "insert" : "modify"
        let title = rowName(table.rows[uuid] ?? old, table).map { " \($0)" } ?? ""
        text += "  table \(name) \(verb) row\(title) (\(key.prefix(8))):\n"
        for (column, value) in (columns.object ?? [:]).sorted(by: { $0.key < $1.key }) {
          let isDifference = old != nil && json["_is_diff"]?.bool == true
          let sign = isDifference && table.schema[column: column]?.type.isPlural == true ? " diff " : "="
          text += "    \(column)\(sign)\(value)\n"
        }
      }
    }
    return text
  }

  /// What people call the row, if its table has a column for that.
  private static func rowName(_ row: Row?, _ table: Table) -> String? {
    guard let row, let index = table.schema.columnIndex["name"] ?? table.schema.columnIndex["target"] else {
      return nil
    }
    return row.columns[index].scalar?.description
  }
}
