import Glibc
import JSONRPC
import Linux

/// A database's file: loading it, one record per commit, compaction.
final class Storage {
  private var log: LogFile
  private let lock: LockFile
  /// The file's length after it was last compacted, or opened.
  private var baseLength: Int
  /// Do not try to compact again below this length: the last try failed.
  private var retryLength = 0

  /// Sizes at which a log is compacted by itself.
  struct CompactionPolicy {
    var records = 100
    var bytes = 10 << 20
  }
  var policy = CompactionPolicy()

  private init(_ log: LogFile, _ lock: LockFile) {
    self.log = log
    self.lock = lock
    baseLength = log.length
  }

  var path: String { log.path }

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
    if !exists(path) {
      let schema = try schema()
      let log = try LogFile.replace(path, [schema.json.bytes])
      Log.info("ovsdb", "created \(path) with the schema \(schema.name) \(schema.version)")
      return Database(schema, Storage(log, lock), isReadOnly: false)
    }
    var loader: Loader?
    let log = try LogFile.open(path) { (text, number) throws(StorageError) in
      do throws(StorageError) {
        let json = try parse(text)
        if let loader { try loader.apply(json) } else { loader = try Loader(json) }
      } catch { throw StorageError("\(path): record \(number): \(error)") }
    }
    guard let loader else { throw StorageError("\(path) is empty: remove it, and it will be created anew") }
    let database = Database(loader.database.schema, Storage(log, lock), isReadOnly: false)
    for (table, loaded) in zip(database.tables, loader.database.tables) { table.rows = loaded.rows }
    database.rebuild()
    return database
  }

  private static func parse(_ text: [UInt8]) throws(StorageError) -> JSON {
    do throws(JSONError) {
      return try JSON(parsing: text, limits: .init(bytes: .max, depth: 100, values: .max))
    } catch { throw StorageError(error.description) }
  }

  /// Through symbolic links, so that the lock and the atomic replacement concern the file itself.
  private static func resolved(_ path: String) -> String {
    let path = absolutePath(path)
    guard let real = realpath(path, nil) else { return path }
    defer { free(real) }
    return String(cString: real)
  }

  private static func acquireLock(_ path: String) throws(StorageError) -> LockFile {
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

  /// Writes one commit; on an error the file is as before.
  func append(
    _ changes: ChangeSet, _ database: Database, comments: [String], durable: Bool
  ) throws(OVSDBError) {
    guard let text = LogRecord.text(changes, database, comments: comments) else { return }
    let (length, records) = (log.length, log.records)
    do throws(StorageError) {
      try log.append(text)
      if durable { try log.synchronize() }
    } catch {
      log.rewind(length: length, records: records)
      Log.error("ovsdb", error.description)
      throw OVSDBError("I/O error", "the change was not made: \(error)")
    }
  }

  /// Whether the log has grown enough to be worth compacting.
  var wantsCompaction: Bool {
    log.records >= policy.records && log.length > policy.bytes && log.length >= 2 * baseLength
      && log.length >= retryLength
  }

  /// Replaces the file by the schema and one record of all rows.
  func compact(_ database: Database) throws(StorageError) {
    var texts = [database.schema.json.bytes]
    var all: ChangeSet = []
    for table in database.tables where !table.rows.isEmpty {
      all.append((table.place, table.rows.values.map { RowChange(uuid: $0.uuid, old: nil, new: $0) }))
    }
    if let text = LogRecord.text(all, database, comments: ["compacting database"]) { texts.append(text) }
    do throws(StorageError) {
      log = try LogFile.replace(path, texts)
    } catch {
      retryLength = log.length + policy.bytes
      throw error
    }
    baseLength = log.length
  }

  func synchronize() throws(StorageError) { try log.synchronize() }

  /// Gives the file up.
  func close() { lock.remove() }
}

/// Rebuilds tables from records.
private struct Loader {
  let database: Database

  init(_ schema: JSON) throws(StorageError) {
    do throws(OVSDBError) {
      database = Database(schema: try DatabaseSchema(schema))
    } catch { throw StorageError("the schema: \(error.details)") }
  }

  func apply(_ json: JSON) throws(StorageError) {
    do throws(OVSDBError) { try LogRecord.apply(json, to: database) } catch {
      throw StorageError(error.details)
    }
  }
}
