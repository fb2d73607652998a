/// How long a poll thread looks for work before it sleeps.
///
/// Waking up takes ten times as long as finding a frame by looking. So a thread that keeps being woken shortly after it
/// went to sleep looks longer, up to `stretch` times the configured time; one whose frames come seldom goes back to that.
/// Traffic of a few hundred frames a second or more is then met awake, and less costs almost nothing.
struct Patience {
  static let stretch: UInt64 = 20

  /// Cycles without a frame after which to sleep.
  private(set) var limit: UInt64 = 0

  /// After a sleep: `gap` cycles passed since the last frame; `configured` is the shortest limit.
  mutating func woke(after gap: UInt64, configured: UInt64) {
    limit = gap < configured &* Self.stretch ? min(gap &+ gap / 4, configured &* Self.stretch) : 0
  }

  /// Whether `idle` cycles without a frame are enough.
  @inline(__always)
  func isOver(_ idle: UInt64, configured: UInt64) -> Bool { idle >= configured && idle >= limit }
}
