// The CRC of SCTP (RFC 9260 §6.8, Appendix A), changed without its packet
// =======================================================================
//
// A CRC is linear: crc(a ^ b) = crc(a) ^ remainder(b), where the remainder is that of b as a polynomial, without the
// inversions. When only the first four bytes of a packet change, b is their difference followed by zeros, and its
// remainder is the difference times a power of x, modulo the polynomial. So ports are rewritten without the payload
// being looked at, in some thousand steps whatever its length; and a CRC that was wrong stays wrong.
//
// Polynomials are bit-reversed: the most significant bit of a word is the coefficient of x^0.

enum CRC32C {
  private static let polynomial: UInt32 = 0x82F6_3B78
  /// x^8: one byte further from the end.
  private static let oneByte: UInt32 = 0x0080_0000

  /// What the CRC of `length` bytes, 4 at least, is to be xored with when its first four change by `difference`: old
  /// xor new, the first byte least significant.
  @inline(never)
  static func change(_ difference: UInt32, length: Int) -> UInt32 {
    var result = difference
    var power = oneByte
    var left = length
    while left > 0 {
      if left & 1 == 1 { result = product(result, power) }
      left >>= 1
      if left > 0 { power = product(power, power) }
    }
    return result
  }

  @inline(__always)
  private static func product(_ left: UInt32, _ right: UInt32) -> UInt32 {
    var result: UInt32 = 0
    var factor = right
    var bits = left
    while bits != 0 {
      if bits >> 31 == 1 { result ^= factor }
      bits = bits &<< 1
      factor = factor & 1 == 1 ? factor &>> 1 ^ polynomial : factor &>> 1
    }
    return result
  }
}
