import Glibc
import Testing

@testable import Linux

@Suite struct EventLoopTests {
  @Test func timersFireInTheOrderOfTheirDeadlines() throws {
    let loop = try EventLoop()
    var fired: [Int] = []
    loop.after(milliseconds: 20) { fired.append(20) }
    loop.after(milliseconds: 0) { fired.append(0) }
    loop.after(milliseconds: 10) { fired.append(10) }
    #expect(loop.run(atMost: 10_000) { fired.count == 3 })
    #expect(fired == [0, 10, 20])
  }

  @Test func aCancelledTimerNeverFires() throws {
    let loop = try EventLoop()
    var fired = false
    var end = false
    let victim = loop.after(milliseconds: 5) { fired = true }
    loop.after(milliseconds: 0) { victim.cancel() }
    loop.after(milliseconds: 20) { end = true }
    #expect(loop.run(atMost: 10_000) { end })
    #expect(!fired)
    #expect(!victim.isPending)
  }

  /// Two descriptors are ready in one turn; the first one's handler cancels the second's watch.
  @Test func aCancelledWatchIsNotCalledForAnEventAlreadyFetched() throws {
    let loop = try EventLoop()
    let first = try EventFD()
    let second = try EventFD()
    first.signal()
    second.signal()
    var calls: [Int32] = []
    var watches: [Int32: EventLoop.Watch] = [:]
    for raw in [first.raw, second.raw] {
      watches[raw] = loop.watch(raw, .read) { _ in
        calls.append(raw)
        for watch in watches.values { watch.cancel() }
      }
    }
    loop.turn(atMostMilliseconds: 1000)
    loop.turn(atMostMilliseconds: 0)
    #expect(calls.count == 1)
  }

  /// A handler that keeps the loop alive, as a daemon's signal handler does, lets go of it when it is cancelled.
  @Test func `A watch whose handler holds the last reference to the loop can be cancelled`() throws {
    weak var observed: EventLoop?
    let event = try EventFD()
    var watch: EventLoop.Watch?
    do {
      let loop = try EventLoop()
      observed = loop
      watch = loop.watch(event.raw, .read) { _ in loop.stop() }
    }
    #expect(observed != nil)
    watch?.cancel()
    #expect(observed == nil)
  }

  @Test func `A watch that outlives its loop can be changed and cancelled`() throws {
    let event = try EventFD()
    var loop: EventLoop? = try EventLoop()
    let watch = try #require(loop?.watch(event.raw, .read) { _ in })
    loop = nil
    watch.update([.read, .write])
    watch.cancel()
  }

  /// In the order in which a program's members go: the loop first.
  @Test func `Signals that outlive every other user of their loop end cleanly`() throws {
    var loop: EventLoop? = try EventLoop()
    var signals: Signals? = try Signals(#require(loop), [SIGUSR2]) { [loop] _ in loop?.stop() }
    weak let observed = loop
    loop = nil
    #expect(signals != nil)
    signals = nil
    #expect(observed == nil)
  }

  @Test func aWatchCanBeMadeAgainInItsOwnCallback() throws {
    let loop = try EventLoop()
    let event = try EventFD()
    let raw = event.raw
    event.signal()
    var second = false
    var watch: EventLoop.Watch?
    watch = loop.watch(raw, .read) { _ in
      watch?.cancel()
      watch = loop.watch(raw, .read) { _ in
        EventFD.drain(raw)
        second = true
      }
    }
    #expect(loop.run(atMost: 10_000) { second })
    watch?.cancel()
  }

  @Test func laterRunsBeforeTheNextWait() throws {
    let loop = try EventLoop()
    var order: [String] = []
    loop.later {
      order.append("a")
      loop.later { order.append("c") }
    }
    loop.later { order.append("b") }
    loop.turn(atMostMilliseconds: 10_000)
    #expect(order == ["a", "b", "c"])
  }

  @Test func aSignalIsAnEvent() throws {
    let loop = try EventLoop()
    var received: [Int32] = []
    let signals = try Signals(loop, [SIGUSR1]) { received.append($0) }
    pthread_kill(pthread_self(), SIGUSR1)
    // The signal is for this thread, whose mask `Signals` set; a signalfd reads the calling thread's queue.
    #expect(loop.run(atMost: 10_000) { received == [SIGUSR1] })
    withExtendedLifetime(signals) {}
  }
}
