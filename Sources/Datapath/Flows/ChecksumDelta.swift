/// How a ones' complement sum changes when some of its 16-bit words do (RFC 1624 §3, equation 3).
///
/// Words may be given four at a time, each field at a multiple of 16 bits: the sum of 32-bit or 64-bit halves folds to
/// that of their 16-bit words.
struct ChecksumDelta {
  /// 0 as long as nothing has changed, and only then.
  private var sum: UInt64 = 0

  @inline(__always) var isNothing: Bool { sum == 0 }

  /// `old`, a multiple of 16 bits of what is summed, in host byte order, became `new`.
  @inline(__always)
  mutating func replace(_ old: UInt64, with new: UInt64) {
    guard old != new else { return }
    let removed = (~old & 0xFFFF_FFFF) &+ (~old >> 32)
    sum = sum &+ removed &+ (new & 0xFFFF_FFFF) &+ (new >> 32)
  }

  @inline(__always)
  static func + (left: ChecksumDelta, right: ChecksumDelta) -> ChecksumDelta {
    var result = left
    result.sum = left.sum &+ right.sum
    return result
  }

  /// The folded sum, not inverted, after the change: of a partial checksum.
  @inline(__always)
  func applied(toSum old: UInt16) -> UInt16 {
    var folded = UInt64(old) &+ sum
    folded = (folded & 0xFFFF_FFFF) &+ (folded >> 32)
    folded = (folded & 0xFFFF) &+ (folded >> 16)
    folded = (folded & 0xFFFF) &+ (folded >> 16)
    return UInt16(truncatingIfNeeded: (folded & 0xFFFF) &+ (folded >> 16))
  }

  /// The checksum after the change.
  @inline(__always)
  func applied(toChecksum old: UInt16) -> UInt16 { ~applied(toSum: ~old) }
}
