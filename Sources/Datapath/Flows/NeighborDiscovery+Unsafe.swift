// Neighbour solicitations and advertisements (RFC 4861 §4.3, §4.4): a fixed part of 24 bytes from the ICMPv6 type on,
// with the target address at 8, then options of eight bytes times their length.

/// The link-layer addresses of a neighbour solicitation or advertisement, 0 where there is none.
struct NeighborAddresses {
  var source: UInt64 = 0
  var target: UInt64 = 0
  /// False when an address is given twice: then the message says nothing, its target neither.
  var isValid = true
}

extension HeaderWalk {
  enum NeighborOption {
    static let sourceAddress: UInt8 = 1
    static let targetAddress: UInt8 = 2
  }

  /// Whether it is a neighbour solicitation or advertisement, of whatever length.
  // SAFETY: `hasTransport` says that eight bytes of ICMPv6 are readable.
  @inline(__always)
  func isNeighborDiscovery(_ header: UnsafeRawPointer) -> Bool {
    guard network == .ipv6, protocolNumber == IPProtocol.icmpv6, hasTransport else { return false }
    let typeAndCode = header.network16(transportOffset)
    return typeAndCode == 135 << 8 || typeAndCode == 136 << 8
  }

  /// Reads the options; they begin 24 bytes behind `transportOffset`.
  // SAFETY: each read is preceded by `isVisible`. Every turn of the loop goes at least eight bytes on.
  mutating func neighborAddresses(_ header: UnsafeRawPointer) -> NeighborAddresses {
    var addresses = NeighborAddresses()
    var offset = transportOffset &+ 24
    let end = transportOffset &+ transportLength
    while offset &+ 8 <= end, isVisible(offset &+ 8) {
      let length = Int(header.byte(offset &+ 1)) &* 8
      guard length > 0, offset &+ length <= end else { break }
      if length == 8 {
        switch header.byte(offset) {
        case NeighborOption.sourceAddress:
          if addresses.source != 0 { return NeighborAddresses(isValid: false) }
          addresses.source = header.address(offset &+ 2)
        case NeighborOption.targetAddress:
          if addresses.target != 0 { return NeighborAddresses(isValid: false) }
          addresses.target = header.address(offset &+ 2)
        default: break
        }
      }
      offset = offset &+ length
    }
    return addresses
  }

  /// Where the first option that gives a link-layer address is, or 0: what rewriting writes.
  // SAFETY: as above.
  mutating func neighborOption(_ header: UnsafeRawPointer) -> Int {
    var offset = transportOffset &+ 24
    let end = transportOffset &+ transportLength
    while offset &+ 8 <= end, isVisible(offset &+ 8) {
      let length = Int(header.byte(offset &+ 1)) &* 8
      guard length > 0, offset &+ length <= end else { break }
      let type = header.byte(offset)
      if length == 8, type == NeighborOption.sourceAddress || type == NeighborOption.targetAddress {
        return offset
      }
      offset = offset &+ length
    }
    return 0
  }
}
