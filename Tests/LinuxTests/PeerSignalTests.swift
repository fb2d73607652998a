import Glibc
import Linux
import Synchronization
import Testing

/// Signals to an eventfd whose other owner wants to keep us waiting.
@Suite struct PeerSignalTests {
  /// A peer that makes its eventfd block and fills it: write(2) would wait for it to be read.
  @Test func `a signal to a full eventfd in blocking mode returns`() throws {
    let event = try EventFD()
    try #require(fcntl(event.raw, F_SETFL, fcntl(event.raw, F_GETFL) & ~O_NONBLOCK) == 0)
    var fill = UInt64.max - 1
    #expect(write(event.raw, &fill, 8) == 8)
    let raw = event.raw
    let isDone = Flag()
    let thread = try Thread(name: "signal") {
      for _ in 0..<3 { EventFD.signalPeer(raw) }
      isDone.set()
    }
    let end = monotonicNanoseconds() + 5_000_000_000
    while !isDone.isSet, monotonicNanoseconds() < end { usleep(100) }
    #expect(isDone.isSet)
    // Frees a thread that waits after all. The kernel has left the counter at its largest value.
    #expect(event.drain() == .max)
    thread.join()
  }

  @Test func `every signal counts, from any thread`() throws {
    let event = try EventFD()
    for _ in 0..<1000 { EventFD.signalPeer(event.raw) }
    let raw = event.raw
    // Each thread has what it signals with for itself, and gives it back: there is little of that.
    for _ in 0..<200 {
      let thread = try Thread(name: "signal") { for _ in 0..<10 { EventFD.signalPeer(raw) } }
      thread.join()
    }
    #expect(event.drain() == 3000)
    #expect(EventFD.signalsPeersWithoutWriting)
  }

  /// A peer that empties its eventfd and makes reads of it block.
  @Test func `taking from an empty eventfd in blocking mode returns`() throws {
    let event = try EventFD()
    try #require(fcntl(event.raw, F_SETFL, fcntl(event.raw, F_GETFL) & ~O_NONBLOCK) == 0)
    #expect(EventFD.drainPeer(event.raw) == 0)
    for _ in 0..<3 { event.signal() }
    #expect(EventFD.drainPeer(event.raw) == 3)
    #expect(EventFD.drainPeer(event.raw) == 0)
  }

  private final class Flag: Sendable {
    private let value = Atomic(false)
    var isSet: Bool { value.load(ordering: .acquiring) }
    func set() { value.store(true, ordering: .releasing) }
  }
}
