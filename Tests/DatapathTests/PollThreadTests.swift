import Glibc
import Linux
import Packet
import Ports
import Synchronization
import Testing

@testable import Datapath

/// Receive queues moving between poll threads, and what is counted.
@Suite struct PollThreadTests {
  private static let sink: UInt64 = 0x0200_0000_00FF

  /// Frames that carry their number, from `source` to the sink.
  private func numbered(_ number: Int, from source: Int) -> [UInt8] {
    let bytes = (0..<4).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) }
    return frame(to: Self.sink, from: 0x0200_0000_0000 + UInt64(source), payload: bytes + [UInt8(source)])
  }

  /// Ports 0..<sources send to the last one while `disturb` changes things. Every frame has to arrive, and those of one
  /// source in the order they were sent.
  private func expectAllInOrder(
    _ bench: Bench, sources: Int, each: Int, _ disturb: (_ received: Int) throws -> Void
  ) throws {
    bench.send(frame(to: .max >> 16, from: Self.sink), at: sources)
    for index in 0..<sources { _ = bench.received(at: index) }
    var sent = [Int](repeating: 0, count: sources)
    var next = sent
    var received = 0
    while received < sources * each {
      for source in 0..<sources {
        for _ in 0..<64 where sent[source] < each && sent.reduce(0, +) - received < 3000 {
          #expect(bench.ports[source].port.send(numbered(sent[source], from: source)))
          sent[source] += 1
        }
      }
      try disturb(received)
      for bytes in bench.received(at: sources) {
        let number = (0..<4).reduce(0) { $0 | Int(bytes[14 + $1]) << (8 * $1) }
        let source = Int(bytes[18])
        #expect(number == next[source])
        next[source] = number + 1
        received += 1
      }
    }
    for source in 0..<sources { #expect(bench.statistics(source).receiveDrops == 0) }
    #expect(bench.statistics(sources).transmitDrops == 0)
  }

  @Test func movingQueuesLosesAndReordersNothing() throws {
    let trunk = VLANConfiguration()
    let bench = try Bench([trunk, trunk, trunk, trunk], cpus: [0, 1, 2])
    var step = 0
    try expectAllInOrder(bench, sources: 3, each: 8000) { _ in
      step += 1
      // Around the threads, each queue at its own pace.
      for source in 0..<3 where step % (source + 1) == 0 {
        bench.datapath.setAffinity([0: (step / (source + 1)) % 3], of: bench.ports[source].id)
      }
      if step % 7 == 0 { bench.datapath.rebalance() }
    }
    let queues = bench.datapath.receiveQueueStatistics()
    for source in 0..<3 { #expect(queues[source].frames == 8000) }
  }

  /// The old thread is held in the middle of a turn, at the sink's transmit lock, while its queue is given to another,
  /// which has all the time it wants to take the frames a second time.
  @Test func aQueueMovesOnlyWhenItsOldThreadIsDone() throws {
    let trunk = VLANConfiguration()
    let bench = try Bench([trunk, trunk], cpus: [0, 1])
    var settings = bench.poll
    settings.idleMicroseconds = 1_000_000
    try bench.datapath.apply(settings)
    bench.send(frame(to: .max >> 16, from: Self.sink), at: 1)
    _ = bench.received(at: 0)
    nonisolated(unsafe) let lock = bench.datapath.ports[1]!.entry(isInterim: false).slot.pointee.transmitLock(
      0)
    nonisolated(unsafe) let counters = (0..<2).map { bench.datapath.threads.counters(of: $0) }
    for round in 0..<8 {
      let (old, new) = (round % 2, 1 - round % 2)
      bench.datapath.setAffinity([0: old], of: bench.ports[0].id)
      while lock.pointee.exchange(true, ordering: .acquiring) {}
      let before = bench.statistics(0)[.receivedFrames]
      for number in 0..<10 { #expect(bench.ports[0].port.send(numbered(number, from: 0))) }
      while bench.statistics(0)[.receivedFrames] == before { usleep(5) }
      let turns = counters[new][.idleTurns]
      let helper = try Thread(name: "release") {
        for _ in 0..<20_000 where counters[new][.idleTurns] < turns + 1000 { usleep(5) }
        lock.pointee.store(false, ordering: .releasing)
      }
      bench.datapath.setAffinity([0: new], of: bench.ports[0].id)
      helper.join()
      while bench.statistics(1)[.transmittedFrames] < UInt64(10 * (round + 1)) { usleep(5) }
      bench.ports[0].port.synchronize()
      #expect(bench.received(at: 1).map { Int($0[14]) } == Array(0..<10))
    }
  }

  /// Threads that go over to an unlocked transmit queue of their own, and those that still lock a shared one, must not
  /// meet: all lock, and each its own, in between.
  @Test func transmitQueuesAreLockedWhileTheirNumberChanges() {
    let state = PortState(
      MemoryPort(name: "p"), index: 0, bridge: 0, number: 1, vlan: VLANConfiguration(), affinity: [:],
      threadCount: 2)
    defer {
      state.port.close()
      state.free()
    }
    func shows(_ isInterim: Bool) -> [Int] {
      let entry = state.entry(isInterim: isInterim)
      return [Int(entry.transmitQueues), entry.locksTransmit ? 1 : 0]
    }
    #expect(!state.needsInterim && shows(false) == [1, 1])
    state.noteShown()
    for (count, before, after) in [(2, [2, 1], [2, 0]), (1, [2, 1], [1, 1]), (5, [2, 1], [2, 0])] {
      state.transmitQueues = count
      #expect(state.needsInterim && shows(true) == before && shows(false) == after)
      state.noteShown()
      #expect(!state.needsInterim && shows(true) == after)
    }
  }

  @Test func everythingElseChangingLosesNothing() throws {
    let trunk = VLANConfiguration()
    let bench = try Bench([trunk, trunk, trunk, VLANConfiguration(tag: 9)], cpus: [0, 1])
    var visitors: [PortID] = []
    var step = 0
    try expectAllInOrder(bench, sources: 2, each: 6000) { _ in
      step += 1
      // A hundred ports at once, and gone again.
      if visitors.isEmpty {
        bench.datapath.change {
          for index in 0..<100 {
            let port = MemoryPort(name: "v\(index)", capacity: 1)
            if let id = try? bench.datapath.addPort(port, to: bench.bridge, vlan: VLANConfiguration(tag: 7)) {
              visitors.append(id)
            }
          }
        }
        #expect(visitors.count == 100)
      } else {
        bench.datapath.change { for id in visitors { bench.datapath.removePort(id) } }
        visitors = []
      }
      bench.datapath.setVLAN(VLANConfiguration(tag: 10 + step % 2), of: bench.ports[3].id)
      var settings = bench.poll
      settings.idleMicroseconds = step % 50
      try bench.datapath.apply(settings)
    }
  }

  @Test func newPollThreadsTakeOverWithoutLoss() throws {
    let trunk = VLANConfiguration()
    let bench = try Bench([trunk, trunk, trunk], cpus: [0, 1])
    var step = 0
    try expectAllInOrder(bench, sources: 2, each: 3000) { _ in
      step += 1
      guard step % 5 == 0 else { return }
      var settings = bench.poll
      settings.cpus = Array(0..<(1 + step / 5 % 4))
      try bench.datapath.apply(settings)
    }
    #expect(bench.statistics(0)[.receivedFrames] == 3000)
    #expect(bench.datapath.receiveQueueStatistics()[1].frames == 3000)
  }

  @Test func affinityIsolatesAndFallsBack() throws {
    let trunk = VLANConfiguration()
    let bench = try Bench([trunk, trunk, trunk, trunk], cpus: [0, 1])
    func threads() -> [Int] { bench.datapath.receiveQueueStatistics().map(\.thread) }
    #expect(threads() == [0, 1, 0, 1])
    bench.datapath.setAffinity([0: 1], of: bench.ports[0].id)
    #expect(threads() == [1, 0, 0, 0])
    #expect(bench.datapath.receiveQueueStatistics()[0].isPinned)
    // Processor 5 has no thread.
    bench.datapath.setAffinity([0: 5], of: bench.ports[0].id)
    #expect(!bench.datapath.receiveQueueStatistics()[0].isPinned)
    var settings = bench.poll
    settings.cpus = [1, 5]
    try bench.datapath.apply(settings)
    let first = bench.datapath.receiveQueueStatistics()[0]
    #expect(first.isPinned && first.cpu == 5 && threads() == [1, 0, 0, 0])
    settings.isolatesPinned = false
    try bench.datapath.apply(settings)
    bench.remove(3)
    bench.remove(2)
    bench.remove(1)
    #expect(bench.datapath.pollThreadStatistics().map(\.receiveQueues) == [0, 1])
  }

  @Test func anOverloadedThreadGivesQueuesAway() throws {
    let trunk = VLANConfiguration()
    let bench = try Bench([trunk, trunk, trunk], cpus: [0, 1])
    func threads() -> [Int] { bench.datapath.receiveQueueStatistics().prefix(2).map(\.thread) }
    var settings = bench.poll
    settings.isolatesPinned = false
    try bench.datapath.apply(settings)
    for (id, _) in bench.ports { bench.datapath.setAffinity([0: 0], of: id) }
    for (id, _) in bench.ports { bench.datapath.setAffinity([:], of: id) }
    try expectAllInOrder(bench, sources: 2, each: 2000) { _ in }
    #expect(threads() == [0, 0])
    settings.balancing.isEnabled = true
    settings.balancing.loadThreshold = 0
    settings.balancing.improvementThreshold = 101
    try bench.datapath.apply(settings)
    for _ in 0..<60 { bench.datapath.balanceWhenDue() }
    #expect(threads() == [0, 0])
    settings.balancing.improvementThreshold = 1
    try bench.datapath.apply(settings)
    for _ in 0..<59 { bench.datapath.balanceWhenDue() }
    #expect(threads() == [0, 0])
    bench.datapath.balanceWhenDue()
    #expect(threads().sorted() == [0, 1])
  }

  /// Every frame counts once for its queue and once for its thread, and so does every burst.
  @Test func countersAddUp() throws {
    let trunk = VLANConfiguration()
    let bench = try Bench([trunk, trunk, trunk], cpus: [0, 1])
    try expectAllInOrder(bench, sources: 2, each: 2000) { _ in }
    bench.ports[0].port.synchronize()
    let threads = bench.datapath.pollThreadStatistics()
    let queues = bench.datapath.receiveQueueStatistics()
    for thread in threads {
      let own = queues.filter { $0.thread == thread.thread }
      #expect(own.reduce(0) { $0 + $1.frames } == thread.frames)
      #expect(own.reduce(0) { $0 + $1.bursts } == thread.bursts)
      #expect(own.reduce(0) { $0 + $1.cycles } == thread.busyCycles)
      #expect(thread.bursts >= thread.busyTurns && thread.bursts <= thread.frames)
    }
  }

  /// Two ports that always have more to send get a burst in turn, and a third that seldom sends waits for no more than
  /// one burst of each. The frames are there before the switch knows the ports, so that it finds them all at once.
  @Test func aBusyPortLeavesOthersTheirShare() throws {
    let bench = try Bench([])
    let each = 4000
    let sink = MemoryPort(name: "sink", capacity: 3 * each)
    let sources = (0..<3).map { MemoryPort(name: "source\($0)", capacity: each) }
    for number in 0..<each {
      for source in 0..<2 { #expect(sources[source].send(numbered(number, from: source))) }
    }
    #expect(sources[2].send(numbered(0, from: 2)))
    bench.datapath.change {
      for port in [sink] + sources {
        #expect(throws: Never.self) { try bench.datapath.addPort(port, to: bench.bridge) }
      }
    }
    var arrived = [0, 0, 0]
    while arrived.reduce(0, +) < 2 * each + 1 {
      guard let next = sink.next() else { continue }
      let source = Int(next.bytes[18])
      arrived[source] += 1
      if arrived[0] < each && arrived[1] < each { #expect(abs(arrived[0] - arrived[1]) <= Batch.capacity) }
      if source == 2 { #expect(arrived[0] + arrived[1] <= 2 * Batch.capacity) }
    }
    #expect(arrived == [each, each, 1])
  }

  @Test func ratesAreOverTheirWindow() {
    let counters = WorkCounters()
    defer { counters.deallocate() }
    let second = TSCClock.shared.cyclesPerSecond
    var history = WorkHistory(counters, at: 0)
    // A second of 1,000 frames in bursts of 10 at 100 cycles each, then two idle ones; for two minutes and a half.
    for tick in 1...150 {
      if tick % 3 == 1 {
        counters.add(.frames, 1000)
        counters.add(.bursts, 100)
        counters.add(.busyCycles, 100_000)
      } else {
        counters.add(.idleCycles, second / 4)
      }
      history.sample(at: UInt64(tick) * second)
    }
    let minute = history.rates(seconds: 60, at: 150 * second)
    // The sample taken 60 ago is 59 seconds old.
    #expect(minute.seconds == 59)
    #expect(minute.framesPerSecond * 59 == 20_000 || minute.framesPerSecond * 59 == 19_000)
    #expect(minute.cyclesPerFrame == 100 && minute.framesPerBurst == 10)
    #expect(abs(minute.idle - 0.1667) < 0.01)
    #expect(minute.asleep > 0.8 && minute.asleep < 0.85)
    let last = history.rates(seconds: 1, at: 151 * second)
    #expect(last.seconds == 1 && last.framesPerSecond == 0 && last.cyclesPerFrame == nil)
  }
}
