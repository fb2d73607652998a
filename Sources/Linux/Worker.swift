import CLinux
import Glibc

/// A thread that does for an event loop what would block it: one job after the other, in the order they were given.
/// What is to follow a job is called on the loop.
public final class Worker {
  private struct State {
    var jobs: [@Sendable () -> Void] = []
    var isEnding = false
  }

  /// What the two threads share.
  private final class Shared: Sendable {
    let state = Locked(State())
    /// Wakes the thread.
    let jobs: Int32
    /// Wakes the loop; counts jobs that are done.
    let done: Int32

    init(_ jobs: Int32, _ done: Int32) {
      self.jobs = jobs
      self.done = done
    }
  }

  private let jobs: EventFD
  private let done: EventFD
  private let shared: Shared
  private var thread: Thread?
  private var watch: EventLoop.Watch?
  /// In the order of the jobs.
  private var completions: [() -> Void] = []

  public init(_ loop: EventLoop, name: String) throws(SystemError) {
    jobs = try EventFD()
    done = try EventFD()
    let shared = Shared(jobs.raw, done.raw)
    self.shared = shared
    thread = try Thread(name: name) { Self.work(shared) }
    watch = loop.watch(done.raw, .read) { [weak self] _ in self?.complete() }
  }

  deinit { close() }

  /// Runs `job` on the thread, and then, on the loop, `completion` with what it returned.
  public func run<Result: Sendable>(
    _ job: @escaping @Sendable () -> Result, then completion: @escaping (Result) -> Void
  ) {
    let result = Locked<Result?>(nil)
    completions.append {
      if let value = result.withLock({ $0 }) { completion(value) }
    }
    shared.state.withLock { state in
      state.jobs.append {
        let value = job()
        result.withLock { $0 = value }
      }
    }
    jobs.signal()
  }

  /// Waits until every job given is done, calls what was to follow them, and ends the thread.
  public func close() {
    guard let thread = thread.take() else { return }
    shared.state.withLock { $0.isEnding = true }
    jobs.signal()
    thread.join()
    complete()
    watch?.cancel()
    watch = nil
  }

  private func complete() {
    let count = done.drain()
    for _ in 0..<count { completions.removeFirst()() }
  }

  private static func work(_ shared: Shared) {
    while true {
      let (job, isEnding) = shared.state.withLock { state in
        (state.jobs.isEmpty ? nil : state.jobs.removeFirst(), state.isEnding)
      }
      if let job {
        job()
        EventFD.signal(shared.done)
        continue
      }
      if isEnding { return }
      var wait = pollfd(fd: shared.jobs, events: Int16(POLLIN), revents: 0)
      _ = poll(&wait, 1, -1)
      EventFD.drain(shared.jobs)
    }
  }
}
