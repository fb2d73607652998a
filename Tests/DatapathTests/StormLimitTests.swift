import Linux
import Ports
import Synchronization
import Testing

@testable import Datapath

/// SECURITY: a loop of cables, or a guest that only broadcasts.
@Suite("Row 27: storms") struct StormLimitTests {
  private let a: UInt64 = 0x0200_0000_000A
  private let b: UInt64 = 0x0200_0000_000B
  private let everybody: UInt64 = 0xFFFF_FFFF_FFFF

  /// In any stretch of time no more than the burst and the rate allow, and no less where frames keep coming.
  @Test(arguments: [(1000, 1), (1000, 10), (1_000_000, 1000), (7, 3), (1, 1)])
  func `Row 27: a bucket lets the burst through, then the rate`(rate: Int, burst: Int) {
    let bucket = StormBucket()
    let second: UInt64 = 3_000_000_000
    bucket.set(StormLimit(framesPerSecond: rate, burst: burst), cyclesPerSecond: second)
    let interval = second / UInt64(rate)
    var now: UInt64 = 1 << 40
    var admitted = 0
    for _ in 0..<burst + 5 where bucket.admits(at: now) { admitted += 1 }
    #expect(admitted == burst)
    // Three asked for at each of the moments at which one is due.
    for _ in 0..<100 {
      now += interval + 1
      for _ in 0..<3 where bucket.admits(at: now) { admitted += 1 }
    }
    #expect(admitted == burst + 100)
    // After a long rest, no more than a burst again.
    now += second * 1000
    for _ in 0..<burst + 5 where bucket.admits(at: now) { admitted += 1 }
    #expect(admitted == 2 * burst + 100)
  }

  @Test func `Row 27: threads cannot exceed the limit together`() throws {
    let bucket = SharedBucket(StormLimit(framesPerSecond: 1, burst: 1000))
    let admitted = Atomic<Int>(0)
    var joins: [() -> Void] = []
    for index in 0..<3 {
      var thread: Thread? = try Thread(name: "storm\(index)") {
        for _ in 0..<5000 where bucket.admits() { admitted.add(1, ordering: .relaxed) }
      }
      joins.append { thread.take()?.join() }
    }
    for join in joins { join() }
    #expect(admitted.load(ordering: .relaxed) == 1000)
  }

  @Test(arguments: [1, 2])
  func `Row 27: what is flooded beyond the limit is dropped by name, and the rest goes on`(threads: Int)
    throws
  {
    let trunk = VLANConfiguration()
    let bench = try Bench([trunk, trunk, trunk], threads: threads)
    bench.send(frame(to: a, from: b), at: 1)
    for index in 0..<3 { _ = bench.received(at: index) }
    // One a second: within the test, that is the burst.
    bench.datapath.setStormLimit(StormLimit(framesPerSecond: 1, burst: 20), of: bench.ports[0].id)
    let began = monotonicNanoseconds()
    for number in 0..<60 {
      // Broadcast, multicast and unknown unicast alike.
      let destination = [everybody, 0x0100_5E00_0001, 0x0200_0000_00FF][number % 3]
      bench.send(frame(to: destination, from: a), at: 0)
      bench.send(frame(to: b, from: a), at: 0)
      bench.send(frame(to: everybody, from: b), at: 1)
    }
    let most = 20 + Int((monotonicNanoseconds() - began) / 1_000_000_000) + 1
    let dropped = Int(bench.statistics(0)[.stormLimit])
    #expect(60 - dropped >= 20 && 60 - dropped <= most, "\(dropped) of 60 dropped")
    #expect(bench.statistics(0).receiveDrops == UInt64(dropped))
    #expect(bench.received(at: 2).count == 60 - dropped + 60)
    #expect(bench.received(at: 1).count == 60 - dropped + 60)
    #expect(bench.received(at: 0).count == 60)
    #expect(bench.statistics(1).receiveDrops == 0)

    bench.datapath.setStormLimit(nil, of: bench.ports[0].id)
    for _ in 0..<40 { bench.send(frame(to: everybody, from: a), at: 0) }
    #expect(bench.received(at: 2).count == 40)
  }

  @Test func `Row 27: a limit outlives a change of poll threads`() throws {
    let trunk = VLANConfiguration()
    let bench = try Bench([trunk, trunk])
    bench.datapath.setStormLimit(StormLimit(framesPerSecond: 1, burst: 1), of: bench.ports[0].id)
    var settings = PollSettings()
    settings.cpus = [0, 0]
    try bench.datapath.apply(settings)
    for _ in 0..<50 { bench.send(frame(to: everybody, from: a), at: 0) }
    #expect(bench.statistics(0)[.stormLimit] > 0)
  }

  /// A bucket several threads may hold, at a moment that does not pass.
  private final class SharedBucket: @unchecked Sendable {
    private let bucket = StormBucket()
    init(_ limit: StormLimit) { bucket.set(limit, cyclesPerSecond: 1 << 40) }
    func admits() -> Bool { bucket.admits(at: 1 << 60) }
  }
}
