// A poll thread's life
// ====================
//
//     while not stopped:
//       begin a turn (quiescent point; newest view)
//       for each of my receive queues: forward one burst
//       if nothing moved for the idle time: sleep
//
// Every queue gets at most one burst a turn, so a port at full rate leaves each other its turn, and none waits longer
// than a burst of every other. Virtqueues are looked at every turn; a look costs one cache line. Queues that are
// received by system calls are only asked while they last had frames or epoll says they are readable; epoll itself is
// asked, without waiting, a few ten thousand times a second, whatever else there is to do. It names at most 64 at a
// time, and those it did not name first the next time.
//
// To sleep, every queue is armed (a guest is asked to kick from now on), and looked at once more, so that a frame
// that arrived in between is not slept over; and so is the view, whose announcement may have been fetched with other
// events. Then the thread leaves the quiescence protocol and blocks.
//
// The time-stamp counter is read once for each burst that had frames, and once for a turn that ended without.

import CLinux
import Glibc
import Linux
import Packet
import Ports
import Synchronization

/// What the control thread and one poll thread share.
struct PollShared: ~Copyable {
  let thread: Int
  let epoll: FileDescriptor
  let wakeup: EventFD
  let counters: WorkCounters
  let stopped: Atomic<Bool>
  /// The published view; the same word for all threads.
  let view: UnsafeMutablePointer<Atomic<UInt>>
  let participant: Quiescence.Participant
  /// How long to look for work before sleeping, in cycles.
  let idleCycles: Atomic<UInt64>
  /// Flows that frames of this thread have the control thread learn.
  let learned: LearnedFlows

  /// The epoll event of `wakeup`; others carry port and queue.
  static var wakeupToken: UInt64 { .max }

  init(
    thread: Int, view: UnsafeMutablePointer<Atomic<UInt>>, participant: Quiescence.Participant,
    idleMicroseconds: Int, learned: LearnedFlows
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
    self.learned = learned
    self.epoll = epoll
    self.wakeup = wakeup
    counters = WorkCounters()
    stopped = Atomic(false)
    idleCycles = Atomic(Self.cycles(microseconds: idleMicroseconds))
  }

  deinit { counters.deallocate() }

  static func cycles(microseconds: Int) -> UInt64 {
    UInt64(clamping: microseconds) &* TSCClock.shared.cyclesPerMicrosecond
  }

  static func token(port: UInt16, queue: Int) -> UInt64 {
    UInt64(port) << 32 | UInt64(UInt32(truncatingIfNeeded: queue))
  }
}

extension PollShared {
  static func owner(ofToken token: UInt64) -> (port: UInt16, queue: Int) {
    (UInt16(truncatingIfNeeded: token >> 32), Int(UInt32(truncatingIfNeeded: token)))
  }
}

/// The loop itself, on its own thread.
struct PollLoop: ~Copyable {
  private let shared: UnsafePointer<PollShared>
  private var pipeline: Pipeline
  private var current: UnsafePointer<View>?
  private var generation: UInt64 = 0
  private var queues = UnsafeBufferPointer<ReceiveQueue>(start: nil, count: 0)
  /// Those of `queues` that are looked at every turn come first.
  private var polledCount = 0
  /// Which of the others are asked, as far as is known; a bit each.
  private var ready = BitList()
  private var nextReadinessCheck: UInt64 = 0
  private var idleSince: UInt64 = 0
  private var patience = Patience()
  private var trial = PaceTrial(cyclesPerMicrosecond: TSCClock.shared.cyclesPerMicrosecond)
  private let readinessInterval: UInt64
  private let clock = TSCClock.shared
  /// When the pipeline's second is over.
  private var secondEnds: UInt64 = 0
  /// When cached flows next pass on what they counted.
  private var roundEnds: UInt64 = 0
  private static var eventCapacity: Int { 64 }
  private let events: UnsafeMutablePointer<epoll_event>

  // SAFETY: `shared` outlives the thread, which is joined before it goes.
  init(_ shared: UnsafePointer<PollShared>) {
    self.shared = shared
    pipeline = Pipeline(thread: shared.pointee.thread, learned: shared.pointee.learned)
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
      if began >= roundEnds { beginRound(at: began) }
      pipeline.turnBegan = began
      let (moved, ended) = turn(began)
      account(moved, ended &- began)
      trial.count(moved, at: ended)
      pipeline.batch.prefersFullBursts = trial.waits
      pipeline.workOnFlows()
      began = ended
      if polledCount < queues.count && ended >= nextReadinessCheck {
        nextReadinessCheck = ended &+ readinessInterval
        collectReadiness()
      }
      if moved > 0 {
        idleSince = ended
      } else if patience.isOver(
        ended &- idleSince, configured: shared.pointee.idleCycles.load(ordering: .relaxed))
      {
        sleep()
        began = cl_tsc()
        // Where all frames come by system calls, looking longer gains little, and takes the processor from their senders.
        if polledCount > 0 {
          patience.woke(
            after: began &- idleSince, configured: shared.pointee.idleCycles.load(ordering: .relaxed))
        }
        idleSince = began
      } else if polledCount > 0 {
        cl_pause()
      } else {
        // Frames that come by system calls come from this machine's processes: whoever wants the processor goes first.
        sched_yield()
      }
    }
    shared.pointee.participant.leave()
  }

  /// Four times a second.
  @inline(never)
  private mutating func beginRound(at cycles: UInt64) {
    roundEnds = cycles &+ clock.cyclesPerSecond / 4
    pipeline.beginFlowRound(at: cycles, shared.pointee.counters)
    guard cycles >= secondEnds else { return roundEnds = min(roundEnds, secondEnds) }
    pipeline.now = clock.second(at: cycles)
    secondEnds = clock.beginning(of: pipeline.now &+ 1)
  }

  /// One burst from each queue. Returns the frames moved, and when it was over.
  // SAFETY: `current` and `queues` belong to the view adopted this turn, and `ready` has a bit for each queue.
  @inline(__always)
  private mutating func turn(_ began: UInt64) -> (moved: Int, ended: UInt64) {
    guard let view = current, let first = queues.baseAddress else { return (0, cl_tsc()) }
    var moved = 0
    var last = began
    var position = 0
    while position < polledCount {
      moved = moved &+ burst(first + position, view, &last)
      position = position &+ 1
    }
    var word = 0
    while word < ready.wordCount {
      var bits = ready.word(word)
      while bits != 0 {
        let number = word &* 64 &+ bits.trailingZeroBitCount
        bits &= bits &- 1
        let frames = burst(first + (polledCount &+ number), view, &last)
        if frames == 0 { ready.remove(number) }
        moved = moved &+ frames
      }
      word = word &+ 1
    }
    // Looks that followed the last burst are part of the next turn.
    return (moved, moved > 0 ? last : cl_tsc())
  }

  /// Forwards one burst; the time since `last` is what it cost, and now is the new `last`.
  @inline(__always)
  private mutating func burst(
    _ queue: UnsafePointer<ReceiveQueue>, _ view: UnsafePointer<View>, _ last: inout UInt64
  ) -> Int {
    let frames = pipeline.forward(queue, view.pointee)
    if frames == 0 { return 0 }
    let now = cl_tsc()
    let work = queue.pointee.work
    work.add(.frames, UInt64(truncatingIfNeeded: frames))
    work.add(.bursts, 1)
    work.add(.busyCycles, now &- last)
    shared.pointee.counters.add(.bursts, 1)
    last = now
    return frames
  }

  /// Goes over to the newest view. Views are told apart by generation, because a new one may lie where a freed one
  /// lay.
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
    let list = view.pointee.queues[shared.pointee.thread]
    queues = UnsafeBufferPointer(list.all)
    polledCount = list.polledCount
    // Positions are others now: epoll says again who is readable.
    ready.reset(count: queues.count - polledCount)
    nextReadinessCheck = 0
    // A queue that another thread armed before it slept need not kick any longer.
    for queue in queues { queue.io.wake(queue: queue.queue) }
  }

  @inline(__always)
  private mutating func account(_ moved: Int, _ cycles: UInt64) {
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
    guard ready.isEmpty else { return }
    pipeline.finishFlows(shared.pointee.counters)
    var armed = 0
    var isEmpty = true
    while isEmpty && armed < queues.count {
      let queue = queues[armed]
      isEmpty = queue.io.sleep(queue: queue.queue)
      armed += 1
    }
    if isEmpty && !hasNews {
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

  /// Whether a newer view was published, or this thread is to end.
  private var hasNews: Bool {
    let published = UnsafePointer<View>(bitPattern: shared.pointee.view.pointee.load(ordering: .acquiring))
    if let published, published.pointee.generation != generation { return true }
    return shared.pointee.stopped.load(ordering: .relaxed)
  }

  /// Asks epoll, without waiting, which system-call queues are readable.
  private mutating func collectReadiness() { note(waitForEvents(timeout: 0)) }

  private mutating func waitForEvents(timeout: Int32) -> Int {
    let count = epoll_wait(shared.pointee.epoll.raw, events, Int32(Self.eventCapacity), timeout)
    return max(0, Int(count))
  }

  /// Marks the queues that `count` fetched events name. A kick needs no mark: virtqueues are looked at anyway. An event
  /// fetched under an earlier view may name a queue that is gone, or another's: at worst somebody is asked in vain.
  // SAFETY: the kernel wrote `count` events; a position is in the current view's list.
  private mutating func note(_ count: Int) {
    for index in 0..<count {
      let token = events[index].data.u64
      if token == PollShared.wakeupToken {
        shared.pointee.wakeup.drain()
        continue
      }
      let (port, queue) = PollShared.owner(ofToken: token)
      guard let current,
        let position = current.pointee.position(port: port, queue: queue, thread: shared.pointee.thread),
        position >= polledCount
      else { continue }
      ready.insert(position - polledCount)
    }
  }
}
