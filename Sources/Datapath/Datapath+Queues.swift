import CLinux
import Linux
import Ports

// Which poll thread polls which receive queue: see QueuePlacement.
extension Datapath {
  /// Takes over how many queues a port has and how long its frames may be; new receive queues get a thread.
  func adoptQueues(of state: PortState) {
    state.mtu = state.port.status.mtu
    state.transmitQueues = state.port.transmitQueueCount
    let wanted = max(state.port.receiveQueueCount, 0)
    var isolationChanged = false
    while state.queues.count > wanted {
      let last = state.queues.removeLast()
      placement.remove(from: last.thread, pinned: last.isPinned)
      isolationChanged = isolationChanged || last.isPinned
      whenUnused { last.work.deallocate() }
      watch(state, state.queues.count)
    }
    while state.queues.count < wanted {
      let number = state.queues.count
      let pinned = state.affinity[number].flatMap { threads.thread(on: $0) }
      let thread = pinned ?? placement.emptiest
      isolationChanged = isolationChanged || pinned != nil
      placement.add(to: thread, pinned: pinned != nil)
      state.queues.append(QueueState(thread: thread, isPinned: pinned != nil, at: cl_tsc()))
      watch(state, number)
    }
    if isolationChanged { placeAll(anew: false) }
  }

  /// Gives every receive queue its thread: by affinity, else the one it has if that is open to it and not `anew`, else
  /// the emptiest.
  func placeAll(anew: Bool) {
    var places = QueuePlacement(threadCount: threads.count, isolatesPinned: settings.isolatesPinned)
    var floating: [(state: PortState, queue: Int)] = []
    for case let state? in ports {
      for queue in state.queues.indices {
        if let thread = state.affinity[queue].flatMap({ threads.thread(on: $0) }) {
          places.add(to: thread, pinned: true)
          move(state, queue, to: thread, pinned: true, anew: anew)
        } else {
          floating.append((state, queue))
        }
      }
    }
    let isOpen = (0..<threads.count).map { places.isOpen($0) }
    var homeless: [(state: PortState, queue: Int)] = []
    for place in floating {
      let thread = place.state.queues[place.queue].thread
      if !anew && isOpen[thread] {
        places.add(to: thread, pinned: false)
        move(place.state, place.queue, to: thread, pinned: false, anew: false)
      } else {
        homeless.append(place)
      }
    }
    for (state, queue) in homeless {
      let thread = places.emptiest
      places.add(to: thread, pinned: false)
      move(state, queue, to: thread, pinned: false, anew: anew)
    }
    placement = places
  }

  /// Has `thread` poll a queue from the next view on.
  ///
  /// Its descriptor goes along at once. Whichever of the two threads misses an event of it meanwhile is woken by the
  /// view's publication, and the new one then looks at the queue.
  private func move(_ state: PortState, _ queue: Int, to thread: Int, pinned: Bool, anew: Bool) {
    let hasMoved = state.queues[queue].thread != thread
    state.queues[queue].thread = thread
    state.queues[queue].isPinned = pinned
    if (hasMoved || anew) && state.descriptors[queue] != nil { watch(state, queue) }
  }

  // MARK: Rebalancing

  /// Distributes the receive queues that have no affinity by what they cost during the last minute. Returns how many
  /// moved. No frame is lost, and none overtakes another.
  @discardableResult
  public func rebalance() -> Int { apply(balance()) }

  /// The receive queues in the order of `QueueBalance.threads`.
  private var allQueues: [(state: PortState, queue: Int)] {
    ports.flatMap { state in state.map { state in state.queues.indices.map { (state, $0) } } ?? [] }
  }

  private func balance() -> QueueBalance {
    let now = cl_tsc()
    let queues = allQueues.map { state, queue in
      let load = state.queues[queue].history.rates(seconds: WorkHistory.longest, at: now).busy
      return QueueBalance.Queue(
        thread: state.queues[queue].thread, isPinned: state.queues[queue].isPinned, load: load)
    }
    return QueueBalance(queues, threadCount: threads.count, open: placement.open)
  }

  private func apply(_ balance: QueueBalance) -> Int {
    var moved = 0
    for ((state, queue), thread) in zip(allQueues, balance.threads) {
      let old = state.queues[queue]
      guard old.thread != thread else { continue }
      placement.remove(from: old.thread, pinned: old.isPinned)
      placement.add(to: thread, pinned: old.isPinned)
      move(state, queue, to: thread, pinned: old.isPinned, anew: false)
      moved += 1
    }
    if moved > 0 { publish() }
    return moved
  }

  /// `pmd-auto-lb`: when a thread is overloaded, and moving queues would spread the load noticeably better.
  func balanceWhenDue() {
    secondsUnbalanced += 1
    guard settings.balancing.isEnabled, threads.count > 1,
      secondsUnbalanced >= settings.balancing.interval * 60
    else { return }
    secondsUnbalanced = 0
    let now = cl_tsc()
    let loads = threadHistories.map { $0.rates(seconds: WorkHistory.longest, at: now).busy }
    guard loads.contains(where: { $0 * 100 >= Double(settings.balancing.loadThreshold) }) else { return }
    let balance = balance()
    guard balance.improvement >= Double(settings.balancing.improvementThreshold) else { return }
    let moved = apply(balance)
    if moved > 0 {
      Log.info(
        "datapath",
        "moved \(moved) receive queues between poll threads: the variance of their load falls by \(Int(balance.improvement)) %"
      )
    }
  }

  // MARK: Statistics

  func startHistories() {
    let now = cl_tsc()
    threadHistories = (0..<threads.count).map { WorkHistory(threads.counters(of: $0), at: now) }
  }

  func sampleLoad(at time: UInt64) {
    for thread in threadHistories.indices { threadHistories[thread].sample(at: time) }
    for case let state? in ports {
      for queue in state.queues.indices { state.queues[queue].history.sample(at: time) }
    }
  }

  /// By thread.
  /// - Parameter seconds: what rates are over, 1 to 60.
  public func pollThreadStatistics(seconds: Int = 5) -> [PollThreadStatistics] {
    let now = cl_tsc()
    return (0..<threads.count).map { thread in
      let counters = threads.counters(of: thread)
      return PollThreadStatistics(
        thread: thread, cpu: threads.cpu(of: thread), receiveQueues: placement.queues[thread],
        busyTurns: counters[.busyTurns], busyCycles: counters[.busyCycles], idleTurns: counters[.idleTurns],
        idleCycles: counters[.idleCycles], frames: counters[.frames], bursts: counters[.bursts],
        sleeps: counters[.sleeps],
        flowCache: FlowCacheStatistics(
          entries: counters[.flowEntries], masks: counters[.flowMasks], searches: counters[.flowSearches],
          misses: counters[.flowMisses], renewals: counters[.flowRenewals]),
        rates: threadHistories[thread].rates(seconds: seconds, at: now))
    }
  }

  /// By port and queue.
  /// - Parameter seconds: what rates are over, 1 to 60.
  public func receiveQueueStatistics(seconds: Int = 5) -> [ReceiveQueueStatistics] {
    let now = cl_tsc()
    return allQueues.map { state, number in
      let queue = state.queues[number]
      return ReceiveQueueStatistics(
        port: PortID(index: state.index), queue: number, thread: queue.thread,
        cpu: threads.cpu(of: queue.thread), isPinned: queue.isPinned, frames: queue.work[.frames],
        bursts: queue.work[.bursts], cycles: queue.work[.busyCycles],
        rates: queue.history.rates(seconds: seconds, at: now))
    }
  }
}
