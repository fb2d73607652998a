import CLinux
import Linux
import Packet

/// Keeps a poll thread a burst behind a driver that sends fast.
///
/// Taking each frame the moment it appears makes both sides fight for the cache lines of the ring's indices, which
/// costs more than all other work together. So while frames arrive densely, few pending ones are left to become more,
/// for at most `window`. At low rates nothing waits, nor when the poll thread finds that it does not pay.
struct Pace {
  /// Longest wait, in cycles of the time-stamp counter.
  private let window: UInt64
  private var lastTaken: UInt64 = 0
  private var waitingSince: UInt64 = 0
  private var isDense = false

  init() { window = TSCClock.shared.cyclesPerMicrosecond * 6 }

  /// Whether to leave `pending` frames (counted up to one more than a batch) where they are, for now.
  mutating func holdsBack(_ pending: Int, allowed: Bool) -> Bool {
    let now = cl_tsc()
    if allowed && isDense && pending <= Batch.capacity {
      if waitingSince == 0 {
        waitingSince = now
        return true
      }
      if now &- waitingSince < window { return true }
    }
    // Dense: half a batch or more would have come within the window.
    let elapsed = now &- lastTaken
    isDense = elapsed < window &* 16 && UInt64(pending) &* window >= elapsed &* UInt64(Batch.capacity / 2)
    lastTaken = now
    waitingSince = 0
    return false
  }
}
