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
  /// Poll threads may use rings and memory. Set by the control thread; cleared by either.
  private let active = Atomic<Bool>(false)
  private let violation = Atomic<Int>(0)
  /// Readable on the control thread when a violation or a missed address was reported.
  let signal: EventFD

  init() throws(SystemError) { signal = try EventFD() }

  var isActive: Bool { active.load(ordering: .acquiring) }

  func open() { active.store(true, ordering: .releasing) }
  func close() { active.store(false, ordering: .releasing) }

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
