import CLinux
import Linux

/// The time-stamp counter as a clock: calibrated once against the kernel's.
struct TSCClock: Sendable {
  let cyclesPerMicrosecond: UInt64
  private let origin: UInt64
  private let cyclesPerSecond: UInt64

  /// Takes two milliseconds.
  static func calibrate() -> TSCClock {
    let startTime = monotonicNanoseconds()
    let startCycles = cl_tsc()
    while monotonicNanoseconds() - startTime < 2_000_000 { cl_pause() }
    let cycles = cl_tsc() &- startCycles
    let nanoseconds = monotonicNanoseconds() - startTime
    return TSCClock(cyclesPerSecond: cycles &* 1_000_000 / nanoseconds * 1000, origin: startCycles)
  }

  private init(cyclesPerSecond: UInt64, origin: UInt64) {
    self.cyclesPerSecond = max(cyclesPerSecond, 1_000_000)
    self.origin = origin
    cyclesPerMicrosecond = self.cyclesPerSecond / 1_000_000
  }

  /// Whole seconds since calibration.
  @inline(__always)
  func seconds(at cycles: UInt64) -> UInt32 {
    UInt32(truncatingIfNeeded: (cycles &- origin) / cyclesPerSecond)
  }
}
