import Glibc
import JSONRPC
import Linux

/// A database's file: one record per commit, syncs, compaction. `StorageOpening.swift` has how it is opened.
///
/// A commit is written before it is acknowledged, so that it survives the end of the process; one that has to survive
/// the end of power is acknowledged when `synchronize` says so.
///
/// After a sync that failed nobody knows what of the file is on the medium. Then the whole database is written to a new
/// file, and while that fails nothing is accepted.
final class Storage {
  private var log: LogFile
  private var lock: LockFile?
  /// The file's length after it was last compacted, or opened.
  private var baseLength: Int
  /// Do not try to compact again below this length: the last try failed.
  private var retryLength = 0
  private weak var database: Database?
  private var loop: EventLoop?
  private var group: GroupCommit?
  private var compaction: Compaction?
  private var afterCompaction: [(StorageError?) -> Void] = []
  /// The directory, while a renaming in it may not be on the medium.
  private var directory: OpenFile?
  /// Why the file cannot be relied on.
  private(set) var failure: StorageError?
  private var retry: EventLoop.Timer?

  /// Sizes at which a log is compacted by itself.
  struct CompactionPolicy {
    var records = 100
    var bytes = 10 << 20
  }
  var policy = CompactionPolicy()
  /// How a file is synced.
  var sync: GroupCommit.Sync = { (file) throws(StorageError) in try file.synchronize() }

  init(_ log: LogFile, _ lock: LockFile) {
    self.log = log
    self.lock = lock
    baseLength = log.length
  }

  deinit { close() }

  var path: String { log.path }

  /// From now on this is the file of `database`, and what takes time is done beside `loop`.
  func attach(_ loop: EventLoop, _ database: Database) {
    self.loop = loop
    self.database = database
  }

  /// Writes one commit; on an error the file is as before.
  ///
  /// - Returns: whether there was anything to write.
  func append(
    _ changes: ChangeSet, _ database: Database, comments: [String]
  ) throws(OVSDBError) -> Bool {
    guard let text = LogRecord.text(changes, database, comments: comments) else { return false }
    do throws(StorageError) {
      if let failure { throw failure }
      let record = LogRecord.framed(text)
      try log.append(record)
      mirror(record)
      return true
    } catch {
      Log.error("ovsdb", error.description)
      throw OVSDBError("I/O error", "the change was not made: \(error)")
    }
  }

  /// Gives the file up.
  func close() {
    guard lock != nil else { return }
    if compaction != nil { endCompaction(StorageError("the database was closed")) }
    group?.close()
    group = nil
    retry?.cancel()
    do throws(StorageError) { try log.file.synchronize() } catch { Log.error("ovsdb", "\(error)") }
    lock = nil
  }
}

// Syncs.
extension Storage {
  /// Calls `completion` once everything written so far is on the medium, or with why it is not.
  func synchronize(then completion: @escaping (StorageError?) -> Void) {
    if group == nil, let loop {
      do throws(SystemError) {
        group = try GroupCommit(loop, sync) { [weak self] in
          self?.filesToSync ?? []
        } ended: { [weak self] error in
          guard let self else { return error ?? StorageError("the database was closed") }
          return ended(error)
        }
      } catch { Log.error("ovsdb", "\(error)") }
    }
    if let group { return group.add(completion) }
    do throws(StorageError) {
      try sync(log.file)
      completion(nil)
    } catch { completion(ended(error)) }
  }

  private var filesToSync: [OpenFile] {
    var files = [log.file]
    if let compaction, compaction.isMirroring { files.append(compaction.target.file) }
    if let directory { files.append(directory) }
    return files
  }

  /// A sync has ended; returns what those who waited for it are to be told.
  private func ended(_ error: StorageError?) -> StorageError? {
    guard let error else {
      directory = nil
      return failure
    }
    Log.error("ovsdb", "\(error); the database is written to a new file")
    failure = StorageError("\(error); the disk is tried again every second")
    recover()
    return failure
  }

  private func recover() {
    guard failure != nil, let database else { return }
    do throws(StorageError) {
      try rewrite(database)
      Log.info("ovsdb", "\(path) was written anew and is whole")
    } catch {
      Log.error("ovsdb", "\(error)")
      retry?.cancel()
      retry = loop?.after(milliseconds: 1000) { [weak self] in self?.recover() }
    }
  }
}

// Compaction.
extension Storage {
  /// Whether the log has grown enough to be worth compacting.
  var wantsCompaction: Bool {
    compaction == nil && log.records >= policy.records && log.length > policy.bytes
      && log.length >= 2 * baseLength && log.length >= retryLength
  }

  /// Replaces the file by the schema and one record of all rows, at once: on return they are on the medium.
  func rewrite(_ database: Database) throws(StorageError) {
    if compaction != nil { endCompaction(StorageError("the file was written anew meanwhile")) }
    log = try LogFile.replace(path, LogRecord.whole(database))
    baseLength = log.length
    directory = nil
    failure = nil
  }

  /// Does the same beside the loop, which goes on; then calls `completion`.
  func compact(_ database: Database, then completion: @escaping (StorageError?) -> Void) {
    guard let loop else {
      do throws(StorageError) {
        try rewrite(database)
        return completion(nil)
      } catch { return completion(error) }
    }
    afterCompaction.append(completion)
    guard compaction == nil else { return }
    do throws(StorageError) {
      compaction = try Compaction(database, log, loop) { [weak self] in
        // Both files to the medium, then the new one's turn.
        self?.synchronize { self?.takePlace($0) }
      } failed: { [weak self] error in
        self?.endCompaction(error)
      }
    } catch { endCompaction(error) }
  }

  private func takePlace(_ error: StorageError?) {
    guard let compaction else { return }
    if let error { return endCompaction(error) }
    do throws(StorageError) {
      let directory = try OpenFile.directory(of: path)
      try compaction.target.takePlace()
      compaction.finish()
      self.directory = directory
      log = compaction.target
      baseLength = log.length
    } catch { return endCompaction(error) }
    self.compaction = nil
    let completions = afterCompaction
    afterCompaction = []
    synchronize { error in
      for completion in completions { completion(error) }
    }
  }

  private func endCompaction(_ error: StorageError) {
    compaction?.abandon()
    compaction = nil
    retryLength = log.length + policy.bytes
    let completions = afterCompaction
    afterCompaction = []
    for completion in completions { completion(error) }
  }

  /// A commit goes to the file that will be the next, too.
  private func mirror(_ record: [UInt8]) {
    guard let compaction, compaction.isMirroring else { return }
    do throws(StorageError) { try compaction.target.append(record) } catch { endCompaction(error) }
  }
}
