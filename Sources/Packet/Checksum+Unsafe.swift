// The Internet checksum (RFC 1071) over bytes that lie in pieces
// ==============================================================
//
// A ones' complement sum does not care about byte order as long as it is consistent, so 16-bit words are added as the
// machine loads them and swapped once at the end. Each piece is summed 32 bytes at a time into 64-bit lanes that
// cannot overflow; a piece that begins at an odd place contributes its sum with the bytes swapped.

/// A running ones' complement sum.
@frozen
public struct Checksum: Sendable {
  /// Sum of 16-bit words in machine byte order, carries not yet added back.
  @usableFromInline var sum: UInt64 = 0
  /// Whether an odd number of bytes has been added.
  @usableFromInline var isOdd = false

  @inlinable public init() {}

  /// Adds `count` bytes; they follow those added before.
  // SAFETY: `count` readable bytes are the caller's duty. The memory may be changing: a byte is read once.
  public mutating func add(_ bytes: UnsafeRawPointer, count: Int) {
    guard count > 0 else { return }
    var piece = Self.sum(bytes, count)
    if isOdd { piece = UInt64(Self.fold(piece).byteSwapped) }
    sum = sum &+ piece
    if count & 1 == 1 { isOdd.toggle() }
  }

  /// Adds a 16-bit field given in host byte order. Only whole words may have been added before.
  @inlinable @inline(__always)
  public mutating func add(word: UInt16) { sum = sum &+ UInt64(word.bigEndian) }

  /// The sum folded to 16 bits, in host byte order, not inverted: what a partial checksum's field holds.
  @inlinable public var folded: UInt16 { UInt16(bigEndian: Self.fold(sum)) }

  /// The checksum: the inverted sum, in host byte order.
  @inlinable public var value: UInt16 { ~folded }

  /// The checksum as UDP writes it: never 0, which there means that there is none (RFC 768).
  @inlinable public var datagramValue: UInt16 { value == 0 ? 0xFFFF : value }

  /// `checksum` after a 16-bit field it covers changed (RFC 1624 §3, equation 3).
  @inlinable
  public static func updated(_ checksum: UInt16, replacing old: UInt16, with new: UInt16) -> UInt16 {
    let removed = UInt64((~checksum).bigEndian) &+ UInt64((~old).bigEndian)
    return ~UInt16(bigEndian: fold(removed &+ UInt64(new.bigEndian)))
  }

  /// Adds the pseudo-header of the IP header at `header` (RFC 9293 §3.1, RFC 8200 §8.1).
  ///
  /// - Parameter length: bytes of the transport header and its payload.
  // SAFETY: a whole fixed IP header is readable at `header`: HeaderLayout said so.
  mutating func addPseudoHeader(
    _ header: UnsafeRawPointer, _ network: HeaderLayout.Network, protocol number: UInt8, length: Int
  ) {
    switch network {
    case .ipv4: add(header + 12, count: 8)
    case .ipv6: add(header + 8, count: 32)
    }
    add(word: UInt16(number))
    add(word: UInt16(truncatingIfNeeded: length >> 16))
    add(word: UInt16(truncatingIfNeeded: length))
  }

  @inlinable @inline(__always)
  static func fold(_ sum: UInt64) -> UInt16 {
    var sum = (sum & 0xFFFF_FFFF) &+ (sum >> 32)
    sum = (sum & 0xFFFF) &+ (sum >> 16)
    sum = (sum & 0xFFFF) &+ (sum >> 16)
    sum = (sum & 0xFFFF) &+ (sum >> 16)
    return UInt16(truncatingIfNeeded: sum)
  }

  /// The sum of one piece, at most 2^32 - 1 per 64 KiB of it, as if it began at an even place.
  // SAFETY: every load ends at or before `count`.
  private static func sum(_ bytes: UnsafeRawPointer, _ count: Int) -> UInt64 {
    var offset = 0
    var low = SIMD4<UInt64>.zero
    var high = SIMD4<UInt64>.zero
    let mask = SIMD4<UInt64>(repeating: 0xFFFF_FFFF)
    while offset &+ 32 <= count {
      let words = bytes.loadUnaligned(fromByteOffset: offset, as: SIMD4<UInt64>.self)
      low = low &+ (words & mask)
      high = high &+ (words &>> 32)
      offset = offset &+ 32
    }
    let lanes = low &+ high
    var sum = UInt64(fold(lanes[0])) &+ UInt64(fold(lanes[1]))
    sum = sum &+ UInt64(fold(lanes[2])) &+ UInt64(fold(lanes[3]))
    while offset &+ 2 <= count {
      sum = sum &+ UInt64(bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
      offset = offset &+ 2
    }
    if offset < count { sum = sum &+ UInt64(UInt16(bytes.byte(offset)).littleEndian) }
    return sum
  }
}
