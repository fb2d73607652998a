// A poll thread's life
// ====================
//
//     while not stopped:
//       begin a turn (quiescent point; newest view)
//       for each of my receive queues: forward one burst
//       if nothing moved for the idle time: sleep
//
// Virtqueues are looked at every turn; a look costs one cache line. Queues that are received by system calls are only
// asked while they last had frames or epoll says they are readable; epoll itself is asked, without waiting, a few ten
// thousand times a second.
//
// To sleep, every queue is armed (a guest is asked to kick from now on), and looked at once more, so that a frame
// that arrived in between is not slept over. Then the thread leaves the quiescence protocol and blocks.

import CLinux
import Glibc
import Linux
import Ports
import Synchronization

/// What the control thread and one poll thread share.
struct PollShared: ~Copyable {
  let thread: Int
  let epoll: FileDescriptor
  let wakeup: EventFD
  let counters: PollCounters
  let stopped: Atomic<Bool>
  /// The published view; the same word for all threads.
  let view: UnsafeMutablePointer<Atomic<UInt>>
  let participant: Quiescence.Participant
  let idleCycles: UInt64

  /// The epoll event of `wakeup`; others carry port and queue.
  static var wakeupToken: UInt64 { .max }

  init(
    thread: Int, view: UnsafeMutablePointer<Atomic<UInt>>, participant: Quiescence.Participant,
    idleMicroseconds: Int
  ) throws(SystemError) {
    let raw = epoll_create1(Int32(EPOLL_CLOEXEC))
    guard raw >= 0 else { throw .last("create a poll thread's epoll descriptor") }
    let epoll = FileDescriptor(owning: raw)
    let wakeup = try EventFD()
    var event = epoll_event()
    event.events = EPOLLIN.rawValue
    event.data.u64 = Self.wakeupToken
    guard epoll_ctl(raw, EPOLL_CTL_ADD, wakeup.raw, &event) == 0 else {
      throw .last("watch a poll thread's eventfd")
    }
    self.thread = thread
    self.view = view
    self.participant = participant
    self.epoll = epoll
    self.wakeup = wakeup
    counters = PollCounters()
    stopped = Atomic(false)
    idleCycles = UInt64(idleMicroseconds) * TSCClock.shared.cyclesPerMicrosecond
  }

  deinit { counters.deallocate() }

  static func token(port: UInt16, queue: Int) -> UInt64 { UInt64(port) << 16 | UInt64(queue) }
}

/// The loop itself, on its own thread.
struct PollLoop: ~Copyable {
  private let shared: UnsafePointer<PollShared>
  private var pipeline: Pipeline
  private var current: UnsafePointer<View>?
  private var generation: UInt64 = 0
  private var queues = UnsafeMutableBufferPointer<ReceiveQueue>(start: nil, count: 0)
  private var hasSystemCallQueues = false
  private var nextReadinessCheck: UInt64 = 0
  private var idleSince: UInt64 = 0
  private let readinessInterval: UInt64
  private let clock = TSCClock.shared
  /// When the pipeline's second is over.
  private var secondEnds: UInt64 = 0
  private static var eventCapacity: Int { 64 }
  private let events: UnsafeMutablePointer<epoll_event>

  // SAFETY: `shared` outlives the thread, which is joined before it goes.
  init(_ shared: UnsafePointer<PollShared>) {
    self.shared = shared
    pipeline = Pipeline(thread: shared.pointee.thread)
    events = .allocate(capacity: Self.eventCapacity)
    events.initialize(repeating: epoll_event(), count: Self.eventCapacity)
    readinessInterval = 20 * clock.cyclesPerMicrosecond
  }

  deinit { events.deallocate() }

  mutating func run() {
    shared.pointee.participant.comeBack()
    var began = cl_tsc()
    while !shared.pointee.stopped.load(ordering: .relaxed) {
      shared.pointee.participant.beginTurn()
      adoptView()
      if began >= secondEnds { beginSecond(at: began) }
      let moved = turn()
      let ended = cl_tsc()
      account(moved, ended &- began)
      began = ended
      if hasSystemCallQueues && ended >= nextReadinessCheck {
        nextReadinessCheck = ended &+ readinessInterval
        collectReadiness()
      }
      if moved > 0 {
        idleSince = ended
      } else if ended &- idleSince >= shared.pointee.idleCycles {
        sleep()
        began = cl_tsc()
        idleSince = began
      } else {
        cl_pause()
      }
    }
    shared.pointee.participant.leave()
  }

  @inline(never)
  private mutating func beginSecond(at cycles: UInt64) {
    pipeline.now = clock.second(at: cycles)
    secondEnds = clock.beginning(of: pipeline.now &+ 1)
  }

  /// One burst from each queue; returns the frames moved.
  // SAFETY: `current` and `queues` belong to the view adopted this turn.
  @inline(__always)
  private mutating func turn() -> Int {
    guard let view = current else { return 0 }
    var moved = 0
    var queue = queues.baseAddress
    for _ in 0..<queues.count {
      let here = queue!
      if !here.pointee.bySystemCall || here.pointee.ready {
        let frames = pipeline.forward(here, view.pointee)
        if frames == 0 { here.pointee.ready = false }
        moved = moved &+ frames
      }
      queue = here + 1
    }
    return moved
  }

  /// Goes over to the newest view. Its queues all count as ready: nobody has asked them yet. Views are told apart by
  /// generation, because a new one may lie where a freed one lay.
  @inline(__always)
  private mutating func adoptView() {
    let published = UnsafePointer<View>(bitPattern: shared.pointee.view.pointee.load(ordering: .acquiring))
    if let published, published.pointee.generation != generation { adopt(published) }
  }

  @inline(never)
  private mutating func adopt(_ view: UnsafePointer<View>) {
    current = view
    generation = view.pointee.generation
    pipeline.outputs.grow(toPortLimit: view.pointee.portLimit)
    queues = view.pointee.queues[shared.pointee.thread]
    hasSystemCallQueues = queues.contains { $0.bySystemCall }
  }

  @inline(__always)
  private func account(_ moved: Int, _ cycles: UInt64) {
    let counters = shared.pointee.counters
    if moved > 0 {
      counters.add(.busyTurns, 1)
      counters.add(.busyCycles, cycles)
      counters.add(.frames, UInt64(truncatingIfNeeded: moved))
    } else {
      counters.add(.idleTurns, 1)
      counters.add(.idleCycles, cycles)
    }
  }

  /// Blocks until a descriptor of this thread is ready, unless a queue turns out to have work.
  @inline(never)
  private mutating func sleep() {
    var armed = 0
    var isEmpty = true
    while isEmpty && armed < queues.count {
      let queue = queues[armed]
      isEmpty = queue.io.sleep(queue: queue.queue) && !(queue.bySystemCall && queue.ready)
      armed += 1
    }
    if isEmpty {
      shared.pointee.counters.add(.sleeps, 1)
      shared.pointee.participant.leave()
      let events = waitForEvents(timeout: -1)
      shared.pointee.participant.comeBack()
      // The view may be another by now, and the old one freed: what was armed is found again in the new one, where
      // waking a queue that was never armed does no harm.
      adoptView()
      armed = queues.count
      note(events)
    }
    for index in 0..<armed { queues[index].io.wake(queue: queues[index].queue) }
  }

  /// Asks epoll, without waiting, which system-call queues are readable.
  private mutating func collectReadiness() { note(waitForEvents(timeout: 0)) }

  private mutating func waitForEvents(timeout: Int32) -> Int {
    let count = epoll_wait(shared.pointee.epoll.raw, events, Int32(Self.eventCapacity), timeout)
    return max(0, Int(count))
  }

  /// Marks the queues that `count` fetched events name. A kick needs no mark: virtqueues are looked at anyway.
  private mutating func note(_ count: Int) {
    for index in 0..<count {
      let token = events[index].data.u64
      if token == PollShared.wakeupToken {
        shared.pointee.wakeup.drain()
        continue
      }
      for position in 0..<queues.count
      where queues[position].bySystemCall
        && PollShared.token(port: queues[position].port, queue: queues[position].queue) == token
      {
        queues[position].ready = true
        break
      }
    }
  }
}
