/// Decides by trial whether a poll thread lets bursts fill before it takes them (`Batch.prefersFullBursts`).
///
/// Waiting spares the drivers on the other processors a fight for their rings' cache lines, and so raises what they can
/// send; but where they send no more for it, it only makes frames late. Nothing the switch sees of itself tells the two
/// apart. So now and then short spells with and without waiting take turns, and waiting goes on only if clearly more was
/// forwarded with it.
struct PaceTrial {
  private(set) var waits = false

  private enum Length {
    /// Microseconds.
    static let spell: UInt64 = 500
    static let decision: UInt64 = 60_000
  }
  private static let spells = 8
  /// Frames in a decision's time below which there is nothing to try: half a million a second.
  private static let busyFrames = 30_000

  private let cyclesPerMicrosecond: UInt64
  private var ends: UInt64 = 0
  private var frames = 0
  /// The spell under way; negative while a decision holds.
  private var spell = -1
  private var with = 0
  private var without = 0

  /// A trial is under way.
  var isUndecided: Bool { spell >= 0 }

  init(cyclesPerMicrosecond: UInt64) { self.cyclesPerMicrosecond = cyclesPerMicrosecond }

  /// After every turn.
  @inline(__always)
  mutating func count(_ moved: Int, at now: UInt64) {
    frames = frames &+ moved
    if now >= ends { conclude(now) }
  }

  /// A spell or a decision's time is over.
  @inline(never)
  private mutating func conclude(_ now: UInt64) {
    let late = now &- ends
    defer { frames = 0 }
    if spell < 0 {
      if frames < Self.busyFrames || late > Length.decision &* cyclesPerMicrosecond {
        waits = false
        ends = now &+ Length.decision &* cyclesPerMicrosecond
      } else {
        begin(0, now)
      }
      return
    }
    // Somebody took the processor away: start over.
    if late > Length.spell &* cyclesPerMicrosecond / 4 { return begin(0, now) }
    if waits { with = with &+ frames } else { without = without &+ frames }
    if spell &+ 1 < Self.spells { return begin(spell &+ 1, now) }
    waits = with > without &+ without / 16
    spell = -1
    ends = now &+ Length.decision &* cyclesPerMicrosecond
  }

  private mutating func begin(_ next: Int, _ now: UInt64) {
    if next == 0 {
      with = 0
      without = 0
    }
    spell = next
    waits = next & 1 == 1
    ends = now &+ Length.spell &* cyclesPerMicrosecond
  }
}
