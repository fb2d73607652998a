import CLinux

/// The processor's time-stamp counter as a clock, calibrated once per process against the kernel's monotonic clock.
///
/// Cycles here are those of the counter, which runs at one rate whatever the processor's own.
public struct TSCClock: Sendable {
  /// At least 1.
  public let cyclesPerSecond: UInt64
  /// At least 1.
  public let cyclesPerMicrosecond: UInt64
  /// When it was calibrated: second 0.
  private let origin: UInt64

  /// The first use takes two milliseconds.
  public static let shared = calibrate()

  private static func calibrate() -> TSCClock {
    let startTime = monotonicNanoseconds()
    let startCycles = cl_tsc()
    while monotonicNanoseconds() - startTime < 2_000_000 { cl_pause() }
    let cycles = cl_tsc() &- startCycles
    let nanoseconds = monotonicNanoseconds() - startTime
    let rate = max(cycles &* 1_000_000 / nanoseconds * 1000, 1_000_000)
    return TSCClock(cyclesPerSecond: rate, origin: startCycles)
  }

  private init(cyclesPerSecond: UInt64, origin: UInt64) {
    self.cyclesPerSecond = cyclesPerSecond
    self.origin = origin
    cyclesPerMicrosecond = cyclesPerSecond / 1_000_000
  }

  /// Whole seconds since calibration at counter value `cycles`. A division: not for every turn of a loop.
  public func second(at cycles: UInt64) -> UInt32 {
    UInt32(truncatingIfNeeded: (cycles &- origin) / cyclesPerSecond)
  }

  /// Whole milliseconds since calibration, likewise. A division.
  public func milliseconds(at cycles: UInt64) -> UInt64 { (cycles &- origin) / (cyclesPerSecond / 1000) }

  /// Nanoseconds since calibration, likewise; they last for 500 years. Two divisions.
  public func nanoseconds(at cycles: UInt64) -> UInt64 {
    let (microseconds, rest) = (cycles &- origin).quotientAndRemainder(dividingBy: cyclesPerMicrosecond)
    return microseconds &* 1000 &+ rest &* 1000 / cyclesPerMicrosecond
  }

  /// The counter value at which `second` begins.
  public func beginning(of second: UInt32) -> UInt64 { origin &+ UInt64(second) &* cyclesPerSecond }
}
