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
  public let flowCache: FlowCacheStatistics
  /// Over the window asked for.
  public let rates: WorkRates
}

/// A poll thread's cache of flow decisions, a quarter of a second ago.
public struct FlowCacheStatistics: Equatable, Sendable {
  /// Decisions in it, and the different masks they have.
  public let entries: UInt64
  public let masks: UInt64
  /// Frames not found by the hash of their headers, so that every mask was tried.
  public let searches: UInt64
  /// Frames that no decision was found for, so that they were taken through the tables.
  public let misses: UInt64
  /// Decisions compared with changes of flows, when a frame used them again.
  public let renewals: UInt64
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
