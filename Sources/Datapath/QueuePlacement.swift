// Which poll thread polls which receive queue
// ===========================================
//
// A queue with an affinity is polled by the thread of that processor and by no other. A thread that polls such queues
// polls only them (Open vSwitch: `pmd-rxq-isolate`), as long as any thread is left for the others. A new queue goes to
// the thread with the fewest. Where queues have measured loads, the heaviest is placed first, each where least is
// borne so far (Open vSwitch's assignment by cycles).

/// How queues are distributed over poll threads.
struct QueuePlacement: Equatable {
  /// Queues per thread, and how many of them are there by affinity.
  private(set) var queues: [Int]
  private(set) var pinned: [Int]
  private let isolatesPinned: Bool

  init(threadCount: Int, isolatesPinned: Bool) {
    queues = [Int](repeating: 0, count: threadCount)
    pinned = queues
    self.isolatesPinned = isolatesPinned
  }

  /// Notes that `thread` polls a further queue.
  mutating func add(to thread: Int, pinned isPinned: Bool) {
    queues[thread] += 1
    if isPinned { pinned[thread] += 1 }
  }

  mutating func remove(from thread: Int, pinned isPinned: Bool) {
    queues[thread] -= 1
    if isPinned { pinned[thread] -= 1 }
  }

  /// Threads that queues without affinity may go to; all of them when none is left.
  var open: [Int] {
    let all = Array(queues.indices)
    guard isolatesPinned else { return all }
    let free = all.filter { pinned[$0] == 0 }
    return free.isEmpty ? all : free
  }

  func isOpen(_ thread: Int) -> Bool { open.contains(thread) }

  /// Where a queue of unknown load goes.
  var emptiest: Int { open.min { (queues[$0], $0) < (queues[$1], $1) }! }
}

/// A distribution by measured load.
struct QueueBalance {
  struct Queue {
    let thread: Int
    let isPinned: Bool
    /// Share of a thread's time, 0 to 1.
    let load: Double
  }

  /// The thread of each queue of `queues`.
  let threads: [Int]
  /// Per thread, before and after.
  let loadsBefore: [Double]
  let loadsAfter: [Double]

  /// - Parameter open: threads that queues which are not pinned may go to (not empty).
  init(_ queues: [Queue], threadCount: Int, open: [Int]) {
    var before = [Double](repeating: 0, count: threadCount)
    var after = before
    var counts = [Int](repeating: 0, count: threadCount)
    for queue in queues {
      before[queue.thread] += queue.load
      guard queue.isPinned else { continue }
      after[queue.thread] += queue.load
      counts[queue.thread] += 1
    }
    var threads = queues.map(\.thread)
    let movable = queues.indices.filter { !queues[$0].isPinned }
      .sorted { (-queues[$0].load, $0) < (-queues[$1].load, $1) }
    for index in movable {
      let stays = queues[index].thread
      // Of equally loaded threads the one with the fewest queues, and of those the one it is on.
      let best = open.min {
        (after[$0], counts[$0], $0 == stays ? 0 : 1) < (after[$1], counts[$1], $1 == stays ? 0 : 1)
      }!
      threads[index] = best
      after[best] += queues[index].load
      counts[best] += 1
    }
    self.threads = threads
    loadsBefore = before
    loadsAfter = after
  }

  /// By how many percent the variance of the threads' loads falls, as Open vSwitch reckons what a move is worth.
  var improvement: Double {
    let before = Self.variance(loadsBefore)
    guard before > 0 else { return 0 }
    return (before - Self.variance(loadsAfter)) * 100 / before
  }

  private static func variance(_ values: [Double]) -> Double {
    let mean = values.reduce(0, +) / Double(values.count)
    return values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count)
  }
}
