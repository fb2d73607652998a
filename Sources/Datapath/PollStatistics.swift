/// What one poll thread has done since it started. Cycles are of the time-stamp counter.
public struct PollThreadStatistics: Sendable {
  public let thread: Int
  /// The processor it is pinned to, or nil.
  public let cpu: Int?
  public let receiveQueues: Int
  /// Turns that moved frames, and the cycles they took.
  public let busyTurns: UInt64
  public let busyCycles: UInt64
  /// Turns that found nothing, and the cycles they took; sleeping is not counted.
  public let idleTurns: UInt64
  public let idleCycles: UInt64
  /// Frames received, and the bursts they came in.
  public let frames: UInt64
  public let bursts: UInt64
  public let sleeps: UInt64
  /// Over the window asked for.
  public let rates: WorkRates
}

/// What one receive queue has cost since its port was added, wherever it was polled.
public struct ReceiveQueueStatistics: Sendable {
  public let port: PortID
  public let queue: Int
  /// The poll thread it is polled by, and that thread's processor if it is pinned.
  public let thread: Int
  public let cpu: Int?
  /// Whether `pmd-rxq-affinity` put it there.
  public let isPinned: Bool
  public let frames: UInt64
  public let bursts: UInt64
  /// Receiving and forwarding its bursts took so many cycles.
  public let cycles: UInt64
  /// Over the window asked for.
  public let rates: WorkRates
}
