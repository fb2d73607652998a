// Where a frame's headers lie
// ===========================
//
// One walk over private bytes: Ethernet, up to two tags, IPv4 with options or IPv6 with extension headers, TCP or UDP.
// It reads nothing at or beyond `count`, believes no length it has not checked against that, and follows at most
// eight extension headers. What lies beyond is simply not there: the fields that would need it stay nil.

/// Offsets of a frame's headers, in bytes from its first.
@frozen
public struct HeaderLayout: Equatable, Sendable {
  public enum Network: Sendable {
    case ipv4, ipv6
  }

  /// IP protocol numbers that are looked for.
  public enum IPProtocol {
    public static let tcp: UInt8 = 6
    public static let udp: UInt8 = 17
  }

  /// Tags before the EtherType: 0, 1 or 2. A third is left in `etherType`.
  public var tagCount = 0
  /// What follows the tags, in host byte order.
  public var etherType: UInt16 = 0
  /// Where the network header is, or would be.
  public var networkOffset = EthernetHeader.length
  /// nil when it is not IP, is malformed, or its fixed part is not wholly there.
  public var network: Network?
  /// The IP protocol of what `transportOffset` points to.
  public var transportProtocol: UInt8?
  /// Behind IPv4 options or IPv6 extension headers; nil in a fragment other than the first.
  public var transportOffset: Int?
  /// Behind a TCP or UDP header that is wholly there.
  public var payloadOffset: Int?
  /// A fragment of a datagram, the first included.
  public var isFragment = false
  /// The bytes ended inside a header.
  public var isTruncated = false

  /// Walks the headers in `bytes`; nil when there is not even an Ethernet header.
  ///
  /// - Parameters:
  ///   - bytes: private memory: each byte may be read more than once.
  ///   - count: how many bytes there are.
  // SAFETY: each read is preceded by a comparison of its end with `count`.
  public init?(_ bytes: UnsafeRawPointer, count: Int) {
    guard count >= EthernetHeader.length else { return nil }
    etherType = bytes.bigEndian16(EthernetHeader.addressesLength)
    while tagCount < 2, VLANTag.isTag(etherType) {
      guard count >= networkOffset &+ VLANTag.length else {
        isTruncated = true
        return
      }
      etherType = bytes.bigEndian16(networkOffset &+ 2)
      networkOffset = networkOffset &+ VLANTag.length
      tagCount = tagCount &+ 1
    }
    switch etherType {
    case EtherType.ipv4: walkIPv4(bytes, count)
    case EtherType.ipv6: walkIPv6(bytes, count)
    default: break
    }
  }

  // SAFETY: as above.
  private mutating func walkIPv4(_ bytes: UnsafeRawPointer, _ count: Int) {
    guard count >= networkOffset &+ 20 else {
      isTruncated = true
      return
    }
    let first = bytes.byte(networkOffset)
    let length = Int(first & 0xF) &* 4
    guard first >> 4 == 4, length >= 20 else { return }
    network = .ipv4
    let fragment = bytes.bigEndian16(networkOffset &+ 6)
    isFragment = fragment & 0x3FFF != 0
    transportProtocol = bytes.byte(networkOffset &+ 9)
    if fragment & 0x1FFF == 0 { walkTransport(bytes, count, at: networkOffset &+ length) }
  }

  // SAFETY: as above. Eight extension headers are followed at most.
  private mutating func walkIPv6(_ bytes: UnsafeRawPointer, _ count: Int) {
    guard count >= networkOffset &+ 40 else {
      isTruncated = true
      return
    }
    guard bytes.byte(networkOffset) >> 4 == 6 else { return }
    network = .ipv6
    var next = bytes.byte(networkOffset &+ 6)
    var offset = networkOffset &+ 40
    for _ in 0..<8 {
      guard Self.isExtension(next) else {
        transportProtocol = next
        walkTransport(bytes, count, at: offset)
        return
      }
      guard count >= offset &+ 8 else {
        isTruncated = true
        return
      }
      let length = Int(bytes.byte(offset &+ 1))
      switch next {
      case 44:
        isFragment = true
        transportProtocol = bytes.byte(offset)
        guard bytes.bigEndian16(offset &+ 2) & 0xFFF8 == 0 else { return }
        next = bytes.byte(offset)
        offset = offset &+ 8
      case 51:
        next = bytes.byte(offset)
        offset = offset &+ (length &+ 2) &* 4
      default:
        next = bytes.byte(offset)
        offset = offset &+ (length &+ 1) &* 8
      }
    }
  }

  /// Hop-by-hop options, routing, fragment, authentication, destination options, mobility (RFC 8200 §4).
  private static func isExtension(_ number: UInt8) -> Bool {
    switch number {
    case 0, 43, 44, 51, 60, 135: true
    default: false
    }
  }

  // SAFETY: as above.
  private mutating func walkTransport(_ bytes: UnsafeRawPointer, _ count: Int, at offset: Int) {
    guard offset <= count else {
      isTruncated = true
      return
    }
    transportOffset = offset
    var end = offset &+ 8
    switch transportProtocol {
    case IPProtocol.tcp:
      guard count >= offset &+ 20 else {
        isTruncated = true
        return
      }
      let length = Int(bytes.byte(offset &+ 12) >> 4) &* 4
      guard length >= 20 else { return }
      end = offset &+ length
    case IPProtocol.udp: break
    default: return
    }
    if end <= count { payloadOffset = end } else { isTruncated = true }
  }
}
