import Glibc
import JSONRPC
import Linux

// How a database's file is opened, or made.
extension Storage {
  /// Opens the database at `path`, or creates it, and its directory, with `schema` when there is no such file.
  static func open(_ path: String, creating schema: () throws(StorageError) -> DatabaseSchema)
    throws(StorageError)
    -> Database
  {
    let path = resolved(path)
    do throws(SystemError) {
      try createDirectories(directoryName(path))
      // Else it would open, never be compacted, and grow without end.
      try checkWritable(directory: directoryName(path), "the database")
    } catch { throw StorageError(error.description) }
    let lock = try acquireLock(path)
    // Of a compaction that a crash cut short; the file itself is whole.
    unlink(LogFile.temporaryName(path))
    if !exists(path) {
      let schema = try schema()
      let log = try LogFile.replace(path, [schema.json.bytes])
      Log.info("ovsdb", "created \(path) with the schema \(schema.name) \(schema.version)")
      return Database(schema, Storage(log, lock), isReadOnly: false)
    }
    var loader = Loader(path)
    var log = try LogFile.open(path) { (text, number) throws(StorageError) in try loader.take(text, number) }
    var loaded = try loader.finish()
    if let installed = installed(schema, path),
      let upgraded = try SchemaUpgrade.run(path, loaded, installed)
    {
      (loaded, log) = upgraded
    }
    return Database(loaded, Storage(log, lock))
  }

  /// The schema that is installed. A file that exists can be served without.
  private static func installed(
    _ schema: () throws(StorageError) -> DatabaseSchema, _ path: String
  ) -> DatabaseSchema? {
    do throws(StorageError) { return try schema() } catch {
      Log.warning("ovsdb", "\(path) is served with its own schema: \(error)")
      return nil
    }
  }

  /// Through symbolic links, so that the lock and the atomic replacement concern the file itself.
  static func resolved(_ path: String) -> String {
    let path = absolutePath(path)
    guard let real = realpath(path, nil) else { return path }
    defer { free(real) }
    return String(cString: real)
  }

  static func acquireLock(_ path: String) throws(StorageError) -> LockFile {
    do throws(LockError) {
      return try LockFile.acquire("\(directoryName(path))/.\(baseName(path)).~lock~")
    } catch {
      switch error {
      case .held(_, let pid):
        throw StorageError("\(path) is in use by process \(pid); stop that, or use another database file")
      case .system(let error): throw StorageError(error.description)
      }
    }
  }
}

/// Rebuilds a database's rows from the records of a log.
struct Loader {
  private let path: String
  private var database: Database?

  init(_ path: String) { self.path = path }

  /// Takes the text of record `number`; the first is the schema.
  mutating func take(_ text: ArraySlice<UInt8>, _ number: Int) throws(StorageError) {
    try apply(try parse(text, number), number)
  }

  /// What record `number` says.
  func parse(_ text: ArraySlice<UInt8>, _ number: Int) throws(StorageError) -> JSON {
    do throws(JSONError) {
      return try JSON(parsing: Array(text), limits: .init(bytes: .max, depth: 100, values: .max))
    } catch { throw StorageError("\(path): record \(number): \(error)") }
  }

  /// Does what record `number` says.
  mutating func apply(_ json: JSON, _ number: Int) throws(StorageError) {
    do throws(OVSDBError) {
      if let database {
        try LogRecord.apply(json, to: database)
      } else {
        database = Database(schema: try DatabaseSchema(json))
      }
    } catch {
      let what = database == nil ? "the schema: " : ""
      throw StorageError("\(path): record \(number): \(what)\(error.details)")
    }
  }

  /// The database as the last record left it; nothing is known yet about references and indexes.
  func finish() throws(StorageError) -> Database {
    guard let database else {
      throw StorageError("\(path) is empty: remove it, and it will be created anew")
    }
    return database
  }
}

extension Database {
  /// The rows of `other`, from now on kept in `storage`.
  convenience init(_ other: Database, _ storage: Storage?) {
    self.init(other.schema, storage, isReadOnly: false)
    for (table, rows) in zip(tables, other.tables.map(\.rows)) { table.rows = rows }
    rebuild()
  }
}
