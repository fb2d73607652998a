import Virtio

/// Translations that were asked for and have not come: each page once at a time, and not more than a limit.
///
/// A guest may use an address nobody translates, and map it later without a word. So what was not answered for a second
/// may be asked for again.
struct TranslationMisses {
  static let limit = 1024
  /// No more is asked for ahead while so many are outstanding: the front-end answers in order, and after an invalidation
  /// what rings and frames wait for is asked for behind them.
  private static let window = 32
  private static let patience: UInt64 = 1_000_000_000

  private struct Page: Hashable {
    var number: UInt64
    var isForWriting: Bool
  }

  /// When each was asked for, in nanoseconds of the monotonic clock.
  private var asked: [Page: UInt64] = [:]

  var count: Int { asked.count }

  /// Notes that the page of `address` is asked for at `now`; false when it has been already, or too many have.
  mutating func ask(_ address: UInt64, forWriting: Bool, at now: UInt64) -> Bool {
    let page = Page(number: address >> 12, isForWriting: forWriting)
    if let before = asked[page], now &- before < Self.patience { return false }
    guard hasRoom(for: Self.limit, at: now) else { return false }
    asked[page] = now
    return true
  }

  /// Whether there is room to ask ahead.
  mutating func mayAskAhead(at now: UInt64) -> Bool { hasRoom(for: Self.window, at: now) }

  private mutating func hasRoom(for limit: Int, at now: UInt64) -> Bool {
    if asked.count >= limit { asked = asked.filter { now &- $0.value < Self.patience } }
    return asked.count < limit
  }

  /// It could not be asked for after all.
  mutating func forget(_ address: UInt64, forWriting: Bool) {
    asked[Page(number: address >> 12, isForWriting: forWriting)] = nil
  }

  /// The addresses `first` to `last` are translated now.
  mutating func answer(_ first: UInt64, _ last: UInt64, _ permissions: TranslationCache.Permissions) {
    asked = asked.filter { page, _ in
      let granted = permissions.contains(page.isForWriting ? .write : .read)
      return !(granted && first >> 12 <= page.number && page.number <= last >> 12)
    }
  }

  mutating func forgetAll() { asked = [:] }
}
