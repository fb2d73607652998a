import Linux
import VhostUser

// What each queue of a guest did. `rx` is what the guest sends, as everywhere; queues are named by their pair.
extension VhostUserPort {
  // SAFETY: for all: pairs and their counters live until the port is closed, and each number is read by itself.

  /// Frames, bytes, notifications and drops of every pair the guest has used, since the port was made.
  public var queueStatistics: [(name: String, value: UInt64)] {
    countKicks()
    return (0..<options.queuePairs).flatMap { number -> [(name: String, value: UInt64)] in
      guard let pair = pointer.pointee.pair(number) else { return [] }
      let sent = figures(
        "rx_q\(number)", pair.received, frames: .receivedFrames, bytes: .receivedBytes, ring: 2 * number + 1)
      let delivered = figures(
        "tx_q\(number)", pair.transmitted, frames: .transmittedFrames, bytes: .transmittedBytes,
        ring: 2 * number)
      return sent + delivered
    }
  }

  /// Of drops only those that happened: there are many reasons, and of most a queue knows nothing.
  private func figures(
    _ prefix: String, _ counters: PortCounters, frames: PortCounters.Field, bytes: PortCounters.Field,
    ring: Int
  ) -> [(name: String, value: UInt64)] {
    let drops = DropReason.allCases.filter { counters[$0] > 0 }.map { reason in
      (name: "\(prefix)_\(reason.statisticName.dropFirst(3))", value: counters[reason])
    }
    return [
      ("\(prefix)_packets", counters[frames]), ("\(prefix)_bytes", counters[bytes]),
      ("\(prefix)_kicks", kicks[ring, default: 0]), ("\(prefix)_calls", counters[.notificationsSent]),
      ("\(prefix)_calls_suppressed", counters[.notificationsSuppressed]),
    ] + drops
  }

  /// Adds the kicks that came by all rings. One that was about to wake a poll thread does not: epoll looks at the
  /// eventfd again before it tells, and finds it empty. So that is done here.
  private func countKicks() {
    guard let session else { return }
    var count: UInt64 = 0
    for index in session.vrings.indices { count |= countKicks(index, session) }
    if count > 0 { environment?.wake() }
  }

  /// Adds the kicks that came by ring `index`, and empties the eventfd; returns how many. Who waits for its edge has to be
  /// woken.
  @discardableResult
  func countKicks(_ index: Int, _ session: Session) -> UInt64 {
    guard let kick = session.vrings[index].kick else { return 0 }
    let count = EventFD.drainPeer(kick.raw)
    if count > 0 { kicks[index, default: 0] &+= count }
    return count
  }
}

/// How front-ends came and went.
struct FrontEndHistory {
  private(set) var connects: UInt64 = 0
  private(set) var disconnects: UInt64 = 0
  /// Why the last one went: half a sentence.
  private(set) var lastDisconnectReason: String?
  /// When the last one came or went (`WallClock.seconds`); nil while none has.
  private(set) var changed: Int?

  mutating func noteConnect() {
    connects &+= 1
    changed = WallClock.seconds()
  }

  mutating func noteDisconnect(_ reason: String) {
    disconnects &+= 1
    lastDisconnectReason = reason
    changed = WallClock.seconds()
  }
}
