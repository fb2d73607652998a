import Linux

/// Syncs a database's file for many commits at once, while the event loop goes on.
///
/// Theory of operation. A commit is written, and its reply waits here. Once a turn of the loop is over, one sync begins
/// for all that wait; it began after their writes, so when it ends they are on the medium. Whatever comes in the
/// meantime waits for the next sync, which begins when that one has ended.
final class GroupCommit {
  /// What brings one file to the medium; another one in tests.
  typealias Sync = @Sendable (OpenFile) throws(StorageError) -> Void
  typealias Completion = (StorageError?) -> Void

  private let loop: EventLoop
  private let worker: Worker
  private let sync: Sync
  /// What has to be synced as things are now.
  private let files: () -> [OpenFile]
  /// Told of the end of every sync, before those who waited for it; decides what they hear.
  private let ended: (StorageError?) -> StorageError?
  private var waiting: [Completion] = []
  private var isRunning = false
  private var isClosed = false

  init(
    _ loop: EventLoop, _ sync: @escaping Sync, files: @escaping () -> [OpenFile],
    ended: @escaping (StorageError?) -> StorageError?
  ) throws(SystemError) {
    self.loop = loop
    self.sync = sync
    self.files = files
    self.ended = ended
    worker = try Worker(loop, name: "db-sync")
  }

  /// Calls `completion` once everything written so far is on the medium, or could not be brought there.
  func add(_ completion: @escaping Completion) {
    waiting.append(completion)
    if waiting.count == 1, !isRunning { loop.later { [weak self] in self?.start() } }
  }

  /// Waits for the sync that runs, and does what is left itself.
  func close() {
    isClosed = true
    worker.close()
    start()
  }

  private func start() {
    guard !isRunning, !waiting.isEmpty else { return }
    let batch = waiting
    waiting = []
    let (files, sync) = (self.files(), self.sync)
    if isClosed { return finish(batch, Self.run(sync, files)) }
    isRunning = true
    worker.run {
      Self.run(sync, files)
    } then: { [self] error in
      isRunning = false
      finish(batch, error)
      start()
    }
  }

  private func finish(_ batch: [Completion], _ error: StorageError?) {
    let outcome = ended(error)
    for completion in batch { completion(outcome) }
  }

  private static func run(_ sync: Sync, _ files: [OpenFile]) -> StorageError? {
    do throws(StorageError) {
      for file in files { try sync(file) }
      return nil
    } catch { return error }
  }
}
