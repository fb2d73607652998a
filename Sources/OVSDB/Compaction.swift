import Glibc
import Linux

/// A log being rewritten without its history, while its database goes on being changed.
///
/// Theory of operation. The rows as they are at the beginning are written to a temporary file by a thread of their own;
/// that the tables' dictionaries are values makes them a snapshot that costs nothing. What was committed in the meantime
/// is in the old log, and is copied behind it: by the thread while it is much, at last by the loop. From then on each
/// commit is written to both files (`mirror`), and syncs concern both, so that at any moment the new file may take the
/// old one's name: whoever was told that his change is durable finds it in either.
final class Compaction {
  /// The rows of a database at one moment.
  struct Snapshot: Sendable {
    let schema: DatabaseSchema
    let rows: [[UUID: Row]]

    init(_ database: Database) {
      schema = database.schema
      rows = database.tables.map(\.rows)
    }

    /// The records of a log without history.
    var records: [[UInt8]] {
      let copy = Database(schema: schema)
      for (table, rows) in zip(copy.tables, rows) { table.rows = rows }
      return LogRecord.whole(copy).map(LogRecord.framed)
    }
  }

  /// What the loop copies itself, in bytes.
  private static let small = 1 << 16

  let target: LogFile
  private let source: LogFile
  private let worker: Worker
  /// How much of `source` the new file stands for.
  private var position: Int
  private var sourceRecords: Int
  private var rounds = 0
  /// Both files are the database now; called once, or `failed` is.
  private let mirrored: () -> Void
  private let failed: (StorageError) -> Void
  /// Whether commits are to be written to `target` too.
  private(set) var isMirroring = false

  init(
    _ database: Database, _ source: LogFile, _ loop: EventLoop, mirrored: @escaping () -> Void,
    failed: @escaping (StorageError) -> Void
  ) throws(StorageError) {
    do throws(SystemError) { worker = try Worker(loop, name: "db-compact") } catch {
      throw StorageError(error.description)
    }
    self.source = source
    self.mirrored = mirrored
    self.failed = failed
    position = source.length
    sourceRecords = source.records
    target = LogFile(source.path, try LogFile.createTemporary(source.path))
    writeSnapshot(Snapshot(database))
  }

  /// Gives up: the old file stays.
  func abandon() {
    worker.close()
    unlink(LogFile.temporaryName(source.path))
  }

  /// Ends the thread, which has nothing more to do.
  func finish() { worker.close() }

  private func writeSnapshot(_ snapshot: Snapshot) {
    let file = target.file
    worker.run {
      () -> Result<[Int], StorageError> in
      do throws(StorageError) {
        var lengths: [Int] = []
        for record in snapshot.records {
          try file.write(record[...], at: lengths.reduce(0, +))
          lengths.append(record.count)
        }
        try file.synchronize()
        return .success(lengths)
      } catch { return .failure(error) }
    } then: { [weak self] result in
      self?.advance(result.map { ($0.reduce(0, +), $0.count) })
    }
  }

  /// Goes on after a job of the thread added so many bytes and records.
  private func advance(_ result: Result<(bytes: Int, records: Int), StorageError>) {
    switch result {
    case .failure(let error): failed(error)
    case .success(let (bytes, records)):
      target.skip(bytes, records)
      // A database that is written faster than this copies is stopped for the last of it.
      if source.length - position > Self.small, rounds < 8 { return copyInBackground() }
      do throws(StorageError) {
        let tail = try source.file.read(position..<source.length)
        try target.append(tail, records: source.records - sourceRecords)
        isMirroring = true
        mirrored()
      } catch { failed(error) }
    }
  }

  private func copyInBackground() {
    rounds += 1
    let (from, to) = (source.file, target.file)
    let (range, offset) = (position..<source.length, target.length)
    let records = source.records - sourceRecords
    position = source.length
    sourceRecords = source.records
    worker.run {
      () -> Result<(bytes: Int, records: Int), StorageError> in
      do throws(StorageError) {
        try to.write(try from.read(range)[...], at: offset)
        try to.synchronize()
        return .success((range.count, records))
      } catch { return .failure(error) }
    } then: { [weak self] result in
      self?.advance(result)
    }
  }
}
