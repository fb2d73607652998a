// Neighbour solicitations and advertisements (RFC 4861 §4.3, §4.4): a fixed part of 24 bytes from the ICMPv6 type on,
// with the target address at 8, then options of eight bytes times their length.

/// The link-layer addresses such a message gives.
struct NeighborOptions {
  static let sourceAddress: UInt8 = 1
  static let targetAddress: UInt8 = 2

  /// Addresses, 0 where there is none.
  private(set) var source: UInt64 = 0
  private(set) var target: UInt64 = 0
  /// An address is given twice: then the message says nothing, its target neither.
  private(set) var isContradictory = false
  /// Where the first option with an address is, or 0: what rewriting writes.
  private(set) var first = 0
  /// The bytes that may be read ended before the options did.
  private(set) var isShort = false

  /// - Parameters:
  ///   - offset: where options begin.
  ///   - end: where the message ends.
  ///   - count: bytes of `header` that may be read.
  // SAFETY: eight bytes are read at `offset` once that is compared with `count`. Every turn of the loop goes at least
  // eight bytes on.
  @inline(never)
  init(_ header: UnsafeRawPointer, from offset: Int, end: Int, count: Int) {
    var offset = offset
    while offset &+ 8 <= end, !isContradictory {
      guard offset &+ 8 <= count else {
        isShort = true
        return
      }
      let length = Int(header.byte(offset &+ 1)) &* 8
      guard length > 0, offset &+ length <= end else { return }
      if length == 8 { add(header.byte(offset), header.address(offset &+ 2), at: offset) }
      offset = offset &+ length
    }
  }

  private mutating func add(_ type: UInt8, _ address: UInt64, at offset: Int) {
    guard type == Self.sourceAddress || type == Self.targetAddress else { return }
    if first == 0 { first = offset }
    if type == Self.sourceAddress {
      isContradictory = source != 0
      source = address
    } else {
      isContradictory = target != 0
      target = address
    }
  }
}
