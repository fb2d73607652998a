import Glibc
import JSONRPC
import Linux

/// What can be done with a database file without serving it. Reading needs no lock: a log only grows, and is replaced
/// as a whole, so that what is read is the database as it was at one moment, also while a server has it.
public enum DatabaseFile {
  /// Makes a new file with an empty database.
  public static func create(_ path: String, _ schema: DatabaseSchema) throws(StorageError) {
    let path = Storage.resolved(path)
    let lock = try Storage.acquireLock(path)
    try withExtendedLifetime(lock) { () throws(StorageError) in
      try checkMissing(path)
      _ = try LogFile.replace(path, [schema.json.bytes])
    }
  }

  /// Writes the database in `path` without its history: to `target`, or in its place, if nobody serves it.
  ///
  /// - Returns: the number of bytes before and after.
  public static func compact(_ path: String, to target: String?) throws(StorageError) -> (
    before: Int, after: Int
  ) {
    let path = Storage.resolved(path)
    let lock = target == nil ? try Storage.acquireLock(path) : nil
    return try withExtendedLifetime(lock) { () throws(StorageError) in
      if let target { try checkMissing(target) }
      let bytes = try readFile(path)
      var loader = Loader(path)
      try read(bytes, path) { (entry) throws(StorageError) in try loader.take(entry.text, entry.number) }
      let log = try LogFile.replace(target ?? path, LogRecord.whole(try loader.finish()))
      return (bytes.count, log.length)
    }
  }

  /// Writes the whole records of `path` to a new file.
  public static func backUp(_ path: String, to target: String) throws(StorageError) {
    try checkMissing(target)
    try copy(path, to: target)
  }

  /// Writes a new file with the rows of a database as a server gave them.
  ///
  /// - Parameters:
  ///   - schema: the reply to `get_schema`.
  ///   - rows: for each table the `rows` of a `select` of all its columns.
  public static func save(_ target: String, schema: JSON, rows: [String: [JSON]]) throws(StorageError) {
    try checkMissing(target)
    let database: Database
    do throws(OVSDBError) {
      database = Database(schema: try DatabaseSchema(schema))
      for (name, rows) in rows {
        let table = try database.table(name)
        for json in rows {
          let row = try Row(json, table)
          table.rows[row.uuid] = row
        }
      }
    } catch { throw StorageError("the database sent what cannot be written: \(error.details)") }
    _ = try LogFile.replace(target, LogRecord.whole(database, comment: "backup"))
  }

  /// Copies the whole records of one file to another, which it replaces.
  static func copy(_ path: String, to target: String) throws(StorageError) {
    let bytes = try readFile(path)
    var end = 0
    try read(bytes, path) { (entry) throws(StorageError) in end = entry.end }
    let file = try LogFile.createTemporary(target)
    do throws(StorageError) {
      try file.write(bytes[..<end], at: 0)
      try file.synchronize()
      try LogFile(target, file).takePlace()
      try OpenFile.directory(of: target).synchronize()
    } catch {
      unlink(LogFile.temporaryName(target))
      throw error
    }
  }

  private static func checkMissing(_ path: String) throws(StorageError) {
    if exists(path) { throw StorageError("\(path) exists already; remove it, or choose another name") }
  }

  /// One record as it stands in a file.
  struct Entry {
    struct Place {
      /// From 1; the first record is the schema.
      let number: Int
      /// Where the record begins.
      let byte: Int
    }

    let place: Place
    /// Where the record ends.
    let end: Int
    let text: ArraySlice<UInt8>

    var number: Int { place.number }
  }

  /// Gives every whole record to `body`; what is wrong with the end, if anything, is returned.
  @discardableResult
  static func read(
    _ bytes: [UInt8], _ path: String, _ body: (Entry) throws(StorageError) -> Void
  ) throws(StorageError) -> String? {
    if bytes.isEmpty { throw StorageError("\(path) is empty; this is not an OVSDB database file") }
    var reader = LogReader(bytes)
    var start = 0
    return try reader.readAll(path) { (text, number) throws(StorageError) in
      try body(Entry(place: .init(number: number, byte: start), end: text.endIndex, text: text))
      start = text.endIndex
    }
  }
}

extension Row {
  /// A row as `select` writes it, with `_uuid` and `_version`.
  fileprivate init(_ json: JSON, _ table: Table) throws(OVSDBError) {
    guard case .object(let members) = json, let name = members["_uuid"], let version = members["_version"],
      let uuid = try Datum(name, ColumnReference.uuidType).uuid,
      let version = try Datum(version, ColumnReference.uuidType).uuid
    else { throw .syntax("a row of table \(table.schema.name) without _uuid and _version") }
    self.init(uuid: uuid, version: version, columns: table.defaults)
    for (name, value) in members {
      guard let index = table.schema.columnIndex[name] else { continue }
      columns[index] = try Datum(value, table.schema.columns[index].type, checking: false)
    }
  }
}
