import Linux
import Synchronization
import Virtio

/// What a guest did that costs it its connection.
enum RingViolation: Int {
  case none
  case ringRules
  case memoryTruncated
  case logTruncated

  /// A sentence for the interface's row.
  var sentence: String {
    switch self {
    case .none: "no violation"
    case .ringRules:
      "the guest broke a ring's rules: its available index is further ahead, or a chain longer, than the ring is long"
    case .memoryTruncated: "the front-end truncated the guest memory it shares"
    case .logTruncated: "the front-end truncated the log of changed pages it shares"
    }
  }
}

/// What poll threads and the control thread of one port say to each other.
struct VhostUserGate: ~Copyable {
  enum State: UInt8, AtomicRepresentable {
    /// Nothing of the port may be used.
    case closed
    /// Rings and memory may not be used. What comes for the guest is kept (`WaitingFrames`): they are back soon.
    case paused
    case open
  }

  /// Opened and paused by the control thread; closed by either.
  private let current = Atomic<State>(.closed)
  private let violation = Atomic<Int>(0)
  /// Readable on the control thread when a violation or a missed address was reported, or a frame is kept.
  let signal: EventFD

  init() throws(SystemError) { signal = try EventFD() }

  var state: State { current.load(ordering: .acquiring) }
  /// Poll threads may use rings and memory.
  var isActive: Bool { state == .open }

  func open() { current.store(.open, ordering: .releasing) }
  func pause() { current.store(.paused, ordering: .releasing) }
  func close() { current.store(.closed, ordering: .releasing) }

  /// Shuts the port off and tells the control thread why.
  @inline(never)
  func report(_ kind: RingViolation) {
    close()
    let (first, _) = violation.compareExchange(
      expected: RingViolation.none.rawValue, desired: kind.rawValue, ordering: .acquiringAndReleasing)
    if first { signal.signal() }
  }

  var reported: RingViolation {
    RingViolation(rawValue: violation.load(ordering: .acquiring)) ?? .none
  }

  /// For the control thread, while no poll thread is inside.
  func forgetViolation() {
    violation.store(RingViolation.none.rawValue, ordering: .releasing)
    signal.drain()
  }
}
