/// An Ethernet MAC address: its 48 bits as a number, first byte on the wire most significant.
@frozen
public struct MACAddress: Hashable, Sendable, CustomStringConvertible {
  public let bits: UInt64

  /// The low 48 bits of `bits`.
  @inlinable
  public init(bits: UInt64) { self.bits = bits & 0xFFFF_FFFF_FFFF }

  /// Six hexadecimal pairs separated by colons.
  public init?(_ text: some StringProtocol) {
    let pairs = text.split(separator: ":", omittingEmptySubsequences: false)
    guard pairs.count == 6 else { return nil }
    var bits: UInt64 = 0
    for pair in pairs {
      guard (1...2).contains(pair.utf8.count), let byte = UInt8(pair, radix: 16) else { return nil }
      bits = bits << 8 | UInt64(byte)
    }
    self.bits = bits
  }

  @inlinable public static var broadcast: MACAddress { MACAddress(bits: 0xFFFF_FFFF_FFFF) }

  /// The group bit: multicast or broadcast.
  @inlinable public var isGroup: Bool { bits >> 40 & 1 == 1 }

  /// 01:80:c2:00:00:0x, which a bridge never forwards (IEEE 802.1Q §8.6.3).
  @inlinable public var isReserved: Bool { bits & ~0xF == 0x0180_C200_0000 }

  public var description: String {
    stride(from: 40, through: 0, by: -8).map { shift in
      let byte = String(bits >> UInt64(shift) & 0xFF, radix: 16)
      return byte.count == 1 ? "0" + byte : byte
    }.joined(separator: ":")
  }
}
