import CLinux
import Glibc
import Linux
import Synchronization

/// The poll threads: started and stopped together, sharing one published view.
final class PollThreads {
  let count: Int
  /// The processor of each, or empty.
  let cpus: [Int]
  private let quiescence: UnsafeMutablePointer<Quiescence>
  private let view: UnsafeMutablePointer<Atomic<UInt>>
  private var shared: [UnsafeMutablePointer<PollShared>] = []
  private var joins: [() -> Void] = []
  /// The view published last, freed when the next is.
  private var current: UnsafeMutablePointer<View>?
  private var watched: [UInt64: Watched] = [:]

  private struct Watched: Equatable {
    let thread: Int
    let descriptor: Int32
  }

  /// Starts one thread per processor of `settings`, or one that is not pinned.
  init(_ settings: PollSettings, learned: LearnedFlows) throws(SystemError) {
    cpus = Array(settings.cpus.prefix(Quiescence.threadLimit))
    count = max(cpus.count, 1)
    quiescence = .allocate(capacity: 1)
    quiescence.initialize(to: Quiescence())
    view = .allocate(capacity: 1)
    view.initialize(to: Atomic(0))
    do {
      for thread in 0..<count {
        let state = try PollShared(
          thread: thread, view: view, participant: quiescence.pointee.participant(thread),
          idleMicroseconds: settings.idleMicroseconds, learned: learned)
        let pointer = UnsafeMutablePointer<PollShared>.allocate(capacity: 1)
        pointer.initialize(to: state)
        shared.append(pointer)
        try start(thread, pointer)
      }
    } catch {
      stop()
      throw error
    }
  }

  // SAFETY: `PollShared` is freed only after the thread was joined; what it holds is made for two threads.
  private func start(_ thread: Int, _ state: UnsafeMutablePointer<PollShared>) throws(SystemError) {
    let address = UInt(bitPattern: state)
    let cpu = cpu(of: thread)
    let running = try Thread(name: "poll\(thread)", cpu: cpu) { runPollLoop(address) }
    var box: Thread? = consume running
    joins.append { box.take()?.join() }
  }

  /// Makes `next` what all threads see, and frees its predecessor once none uses it.
  // SAFETY: `synchronize` is the quiescent point between publishing and freeing.
  func publish(_ next: consuming View) {
    let pointer = UnsafeMutablePointer<View>.allocate(capacity: 1)
    pointer.initialize(to: next)
    view.pointee.store(UInt(bitPattern: pointer), ordering: .releasing)
    wake()
    synchronize()
    if let old = current {
      old.deinitialize(count: 1)
      old.deallocate()
    }
    current = pointer
  }

  func setIdleTime(microseconds: Int) {
    for state in shared {
      state.pointee.idleCycles.store(PollShared.cycles(microseconds: microseconds), ordering: .relaxed)
    }
  }

  func synchronize() { quiescence.pointee.synchronize() }

  func wake() {
    for state in shared { state.pointee.wakeup.signal() }
  }

  /// Has `thread` woken by `descriptor` on behalf of a receive queue; nil ends that.
  func watch(port: UInt16, queue: Int, descriptor: Int32?, edgeTriggered: Bool, thread: Int) {
    let token = PollShared.token(port: port, queue: queue)
    if let old = watched.removeValue(forKey: token) {
      var unused = epoll_event()
      epoll_ctl(shared[old.thread].pointee.epoll.raw, EPOLL_CTL_DEL, old.descriptor, &unused)
    }
    guard let descriptor else { return }
    var event = epoll_event()
    event.events = EPOLLIN.rawValue | (edgeTriggered ? 1 << 31 : 0)
    event.data.u64 = token
    if epoll_ctl(shared[thread].pointee.epoll.raw, EPOLL_CTL_ADD, descriptor, &event) == 0 {
      watched[token] = Watched(thread: thread, descriptor: descriptor)
    } else {
      Log.warning("datapath", "\(SystemError.last("watch a receive queue's descriptor"))")
    }
  }

  /// The processor `thread` is pinned to.
  func cpu(of thread: Int) -> Int? { cpus.isEmpty ? nil : cpus[thread] }

  /// The thread pinned to `cpu`.
  func thread(on cpu: Int) -> Int? { cpus.firstIndex(of: cpu) }

  func counters(of thread: Int) -> WorkCounters { shared[thread].pointee.counters }

  /// Ends and joins all threads. Nothing may be published afterwards.
  func stop() {
    for state in shared { state.pointee.stopped.store(true, ordering: .relaxed) }
    wake()
    for join in joins { join() }
    joins.removeAll()
    for state in shared {
      state.deinitialize(count: 1)
      state.deallocate()
    }
    shared.removeAll()
    watched.removeAll()
    if let current {
      current.deinitialize(count: 1)
      current.deallocate()
    }
    current = nil
  }

  deinit {
    stop()
    quiescence.deinitialize(count: 1)
    quiescence.deallocate()
    view.deallocate()
  }
}

/// A free function, so that no actor's isolation reaches the new thread.
private func runPollLoop(_ address: UInt) {
  var loop = PollLoop(UnsafePointer<PollShared>(bitPattern: address)!)
  loop.run()
}
