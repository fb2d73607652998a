import Seeded
import Testing

@testable import Datapath

/// Which thread polls which queue.
@Suite struct QueuePlacementTests {
  @Test func aNewQueueGoesWhereFewestAre() {
    var placement = QueuePlacement(threadCount: 3, isolatesPinned: true)
    var order: [Int] = []
    for _ in 0..<6 {
      order.append(placement.emptiest)
      placement.add(to: placement.emptiest, pinned: false)
    }
    #expect(order == [0, 1, 2, 0, 1, 2])
    placement.remove(from: 1, pinned: false)
    #expect(placement.emptiest == 1)
  }

  @Test func aThreadWithPinnedQueuesTakesNoOthers() {
    var placement = QueuePlacement(threadCount: 2, isolatesPinned: true)
    placement.add(to: 0, pinned: true)
    #expect(placement.open == [1])
    placement.add(to: 1, pinned: false)
    placement.add(to: 1, pinned: false)
    #expect(placement.emptiest == 1)
    // Rather shared than not polled.
    placement.add(to: 1, pinned: true)
    #expect(placement.open == [0, 1])
    placement.remove(from: 0, pinned: true)
    #expect(placement.open == [0])
  }

  @Test func isolationCanBeTurnedOff() {
    var placement = QueuePlacement(threadCount: 2, isolatesPinned: false)
    placement.add(to: 0, pinned: true)
    #expect(placement.open == [0, 1])
  }

  @Test func theHeaviestQueueIsPlacedFirst() {
    let queues = [0.1, 0.6, 0.2, 0.5].map { QueueBalance.Queue(thread: 0, isPinned: false, load: $0) }
    let balance = QueueBalance(queues, threadCount: 2, open: [0, 1])
    #expect(balance.threads == [0, 0, 1, 1])
    #expect(balance.improvement > 99)
  }

  @Test func anIdleOrBalancedSwitchIsLeftAlone() {
    let idle = (0..<6).map { QueueBalance.Queue(thread: $0 % 3, isPinned: false, load: 0) }
    let unmoved = QueueBalance(idle, threadCount: 3, open: [0, 1, 2])
    #expect(unmoved.threads == idle.map(\.thread) && unmoved.improvement == 0)
    let even = (0..<4).map { QueueBalance.Queue(thread: 3 - $0, isPinned: false, load: 0.5) }
    #expect(QueueBalance(even, threadCount: 4, open: [0, 1, 2, 3]).threads == [3, 2, 1, 0])
  }

  /// Whatever the loads: pinned queues stay, others go to open threads, nothing gets lost, and no thread ends up with
  /// more than the mean of the open ones plus the largest queue.
  @Test(arguments: 0..<200)
  func balancesAreSound(seed: Int) {
    var random = SeededRandom(seed: UInt64(seed))
    let threads = Int.random(in: 1...6, using: &random)
    var placement = QueuePlacement(threadCount: threads, isolatesPinned: Bool.random(using: &random))
    let queues = (0..<Int.random(in: 0...40, using: &random)).map { _ in
      QueueBalance.Queue(
        thread: Int.random(in: 0..<threads, using: &random),
        isPinned: Int.random(in: 0..<10, using: &random) == 0,
        load: Double.random(in: 0...0.3, using: &random))
    }
    for queue in queues { placement.add(to: queue.thread, pinned: queue.isPinned) }
    let open = placement.open
    let balance = QueueBalance(queues, threadCount: threads, open: open)
    for (queue, thread) in zip(queues, balance.threads) {
      #expect(queue.isPinned ? thread == queue.thread : open.contains(thread))
    }
    #expect(abs(balance.loadsBefore.reduce(0, +) - balance.loadsAfter.reduce(0, +)) < 1e-9)
    guard placement.pinned.allSatisfy({ $0 == 0 }) else { return }
    let total = balance.loadsAfter.reduce(0, +)
    let largest = queues.map(\.load).max() ?? 0
    #expect(balance.loadsAfter.max()! <= total / Double(open.count) + largest + 1e-9)
  }
}
