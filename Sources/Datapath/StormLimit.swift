import CLinux
import Linux
import Synchronization

/// How many frames a port may have flooded: Interface.other_config:storm-limit and storm-limit-burst.
public struct StormLimit: Equatable, Sendable {
  public let framesPerSecond: Int
  /// Frames that may be flooded at once after a quiet time.
  public let burst: Int

  public static let rates = 1...100_000_000

  /// Without `burst`, a tenth of a second's frames, and 32 at least. Values are clamped to `rates`.
  public init(framesPerSecond: Int, burst: Int? = nil) {
    let rate = min(max(framesPerSecond, Self.rates.lowerBound), Self.rates.upperBound)
    self.framesPerSecond = rate
    self.burst = min(max(burst ?? max(rate / 10, 32), 1), Self.rates.upperBound)
  }
}

/// A port's token bucket, shared by the poll threads of its receive queues.
///
/// Instead of tokens it holds the moment at which the bucket would be full again (the generic cell rate algorithm): one
/// word, which each flooded frame moves on by the time between two frames. So there is nothing to refill, and threads
/// need no lock and cannot exceed the limit together.
struct StormBucket: ~Copyable {
  /// Time-stamp counter cycles per frame; 0: no limit.
  private let interval = Atomic<UInt64>(0)
  /// Cycles the bucket holds.
  private let depth = Atomic<UInt64>(0)
  private let fullAt = Atomic<UInt64>(0)

  /// Poll threads go by the new limit from their next frame on.
  func set(_ limit: StormLimit?, cyclesPerSecond: UInt64) {
    guard let limit else { return interval.store(0, ordering: .relaxed) }
    let rate = UInt64(limit.framesPerSecond)
    // Rounded up: never more than the limit.
    let cycles = max(1, (cyclesPerSecond + rate - 1) / rate)
    depth.store(cycles.multipliedReportingOverflow(by: UInt64(limit.burst)).partialValue, ordering: .relaxed)
    interval.store(cycles, ordering: .relaxed)
  }

  /// Takes a token, if there is one or no limit.
  @inline(__always)
  func admits() -> Bool { interval.load(ordering: .relaxed) == 0 || admits(at: cl_tsc()) }

  /// Takes a token at time `now`, in cycles, if there is one.
  func admits(at now: UInt64) -> Bool {
    let interval = interval.load(ordering: .relaxed)
    let depth = depth.load(ordering: .relaxed)
    var full = fullAt.load(ordering: .relaxed)
    while true {
      // An empty bucket is full `depth` from now; a counter that is ahead by more stepped back, and starts anew.
      let ahead = full > now && full &- now <= depth ? full &- now : 0
      if ahead &+ interval > depth { return false }
      let exchange = fullAt.weakCompareExchange(
        expected: full, desired: now &+ ahead &+ interval, ordering: .relaxed)
      if exchange.exchanged { return true }
      full = exchange.original
    }
  }
}
