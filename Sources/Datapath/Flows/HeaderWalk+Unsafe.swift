// Where a frame's headers lie, for flows
// ======================================
//
// One walk over private bytes finds what keys are made of and what rewriting touches, with Open vSwitch's idea of what
// is valid, so that the same flows match the same frames. Two ends matter at each step and must not be mixed up:
//
//     |---- private bytes, walked ----|                         walkedLength at most
//     |---- what the headers claim: frame, then IP length ----|~~ padding ~~|
//
// A header that does not fit in what the headers around it claim is malformed: it and what follows it are not there.
// A header that fits there, but not in the private bytes, ends the walk: with more private bytes it would be found
// (`needsMore`), or it lies deeper than is ever looked (`isCut`), which only chains of IPv6 extension headers do. Of a
// cut chain nothing behind the addresses is known, as if it were malformed.
//
// `HeaderLayout` answers another question: whether an offload request can be true, whatever IP's lengths say.

/// The headers of a frame, by offsets in bytes from its first.
struct HeaderWalk {
  /// So many bytes of a frame are walked at most: Ethernet, two tags, SNAP, IPv4 with all options and TCP need 110.
  @inline(__always) static var walkedLength: Int { 240 }

  enum Network: UInt8 {
    case none, ipv4, ipv6, arp
  }

  /// IP protocol numbers that are looked for.
  enum IPProtocol {
    static let icmp: UInt8 = 1
    static let tcp: UInt8 = 6
    static let udp: UInt8 = 17
    static let fragment: UInt8 = 44
    static let icmpv6: UInt8 = 58
    static let sctp: UInt8 = 132
  }

  /// Bits of `fragment`: part of a datagram; not its first part.
  enum Fragment {
    static let any: UInt8 = 1
    static let later: UInt8 = 2
  }

  /// What follows the tags and SNAP; 0x05ff for an 802.3 frame without a type.
  private(set) var etherType: UInt16 = 0
  /// The tags as the key's word has them: TPID and TCI with the presence bit, the outer one in the upper half.
  private(set) var tags: UInt64 = 0
  private(set) var tagCount = 0
  private(set) var networkOffset = 14
  /// The network header, when it is there and valid.
  private(set) var network = Network.none
  /// The last header's number, behind extension headers; the low byte of an ARP operation; 0 when it is not known.
  private(set) var protocolNumber: UInt8 = 0
  private(set) var fragment: UInt8 = 0
  /// Behind IPv4 options or IPv6 extension headers; 0 when there is no such place.
  private(set) var transportOffset = 0
  /// Bytes from there to the end of the IP packet, padding excluded; 0 in a fragment other than the first.
  private(set) var transportLength = 0
  /// The transport header is whole: ports, or ICMP's type and code, are there.
  private(set) var hasTransport = false
  /// A routing header has segments left: the destination address is not yet the one checksums cover (RFC 8200 §8.1).
  private(set) var isSourceRouted = false
  private(set) var needsMore = false
  private(set) var isCut = false

  /// Private bytes that may be looked at.
  private let count: Int
  /// Whether more private bytes can be asked for.
  private let canDeepen: Bool

  /// - Parameters:
  ///   - header: the frame's first bytes, private.
  ///   - count: how many there are.
  ///   - frameLength: bytes of the whole frame.
  // SAFETY: each read ends at or before `count`, by a comparison before it.
  @inline(__always)
  init(_ header: UnsafeRawPointer, count: Int, frameLength: Int) {
    self.count = min(count, Self.walkedLength)
    canDeepen = count < min(frameLength, Self.walkedLength)
    guard frameLength >= 14, isVisible(14) else { return }
    guard walkLink(header, frameLength) else { return }
    let size = frameLength &- networkOffset
    switch etherType {
    case 0x0800: walkIPv4(header, size)
    case 0x86DD: walkIPv6(header, size)
    case 0x0806, 0x8035: walkARP(header, size)
    default: break
    }
  }

  /// The walk of a frame that `plainProtocol` says is plain, with that protocol.
  // SAFETY: 18 bytes of it are readable.
  @inline(__always)
  init(plain number: UInt8, _ header: UnsafeRawPointer, count: Int) {
    self.count = count
    canDeepen = false
    etherType = 0x0800
    network = .ipv4
    protocolNumber = number
    transportOffset = 34
    transportLength = Int(header.network16(16)) &- 20
    hasTransport = true
  }

  /// TCP or UDP if the frame is an untagged IPv4 packet of that without options, no fragment, with valid lengths and
  /// with its headers in the private bytes: nearly every frame. 0 otherwise.
  // SAFETY: reads end at byte 42, at 54 of TCP, and `count` is compared with that first.
  @inline(__always)
  static func plainProtocol(_ header: UnsafeRawPointer, count: Int, frameLength: Int) -> UInt8 {
    // EtherType, version 4, five words of header.
    guard count >= 42, header.network32(12) >> 8 == 0x080045 else { return 0 }
    let total = Int(header.network16(16))
    guard header.network16(20) & 0x3FFF == 0, UInt(bitPattern: frameLength &- 14 &- total) <= 0xFFFF else {
      return 0
    }
    let number = header.byte(23)
    if number == IPProtocol.tcp {
      guard count >= 54 else { return 0 }
      let length = Int(header.byte(46) >> 4) &* 4
      return length >= 20 && 20 &+ length <= total ? number : 0
    }
    return number == IPProtocol.udp && total >= 28 ? number : 0
  }

  /// Whether the bytes before `end`, which belong to the frame, may be read; if not, the walk is over.
  @inline(__always)
  private mutating func isVisible(_ end: Int) -> Bool {
    if end <= count { return true }
    endEarly()
    return false
  }

  /// The walk met the end of the private bytes inside a header.
  @inline(__always)
  private mutating func endEarly() {
    if canDeepen { needsMore = true } else { isCut = true }
  }

  // SAFETY: as above.
  @inline(__always)
  private mutating func walkLink(_ header: UnsafeRawPointer, _ frameLength: Int) -> Bool {
    var offset = 12
    etherType = header.network16(12)
    while etherType == 0x8100 || etherType == 0x88A8, tagCount < 2, offset &+ 6 <= frameLength {
      guard isVisible(offset &+ 6) else { return false }
      let tag = UInt64(header.network32(offset) | 0x1000)
      tags |= tagCount == 0 ? tag << 32 : tag
      tagCount = tagCount &+ 1
      offset = offset &+ 4
      etherType = header.network16(offset)
    }
    networkOffset = offset &+ 2
    if etherType >= 0x0600 { return true }
    etherType = 0x05FF
    guard networkOffset &+ 8 <= frameLength else { return true }
    guard isVisible(networkOffset &+ 8) else { return false }
    // LLC and SNAP with the OUI that says that a type follows (RFC 1042).
    let snap = header.network64(networkOffset)
    guard snap >> 16 == 0xAAAA_0300_0000 else { return true }
    networkOffset = networkOffset &+ 8
    if snap & 0xFFFF >= 0x0600 { etherType = UInt16(truncatingIfNeeded: snap) }
    return true
  }

  // SAFETY: as above.
  @inline(__always)
  private mutating func walkIPv4(_ header: UnsafeRawPointer, _ size: Int) {
    guard size >= 20, isVisible(networkOffset &+ 20) else { return }
    let length = Int(header.byte(networkOffset) & 0xF) &* 4
    let total = Int(header.network16(networkOffset &+ 2))
    guard length >= 20, length <= total, total <= size, size &- total <= 0xFFFF else { return }
    network = .ipv4
    protocolNumber = header.byte(networkOffset &+ 9)
    let place = header.network16(networkOffset &+ 6)
    if place & 0x3FFF != 0 {
      fragment = place & 0x1FFF != 0 ? Fragment.any | Fragment.later : Fragment.any
    }
    transportOffset = networkOffset &+ length
    walkTransport(header, total &- length)
  }

  // SAFETY: as above. Every turn of the loop goes at least eight bytes on.
  @inline(__always)
  private mutating func walkIPv6(_ header: UnsafeRawPointer, _ size: Int) {
    guard size >= 40, isVisible(networkOffset &+ 40) else { return }
    var left = Int(header.network16(networkOffset &+ 4))
    guard left &+ 40 <= size, size &- 40 &- left <= 0xFFFF else { return }
    network = .ipv6
    var next = header.byte(networkOffset &+ 6)
    var offset = networkOffset &+ 40
    var fragment: UInt8 = 0
    while Self.isExtension(next) {
      guard left >= 8, isVisible(offset &+ 8) else { return }
      let length = Self.extensionLength(next, header.byte(offset &+ 1))
      guard length <= left else { return }
      if next == 43, header.byte(offset &+ 3) != 0 { isSourceRouted = true }
      let isFragment = next == IPProtocol.fragment
      next = header.byte(offset)
      if isFragment {
        let place = header.network16(offset &+ 2)
        if place != 0 { fragment = Fragment.any }
        if place & 0xFFF8 != 0 {
          fragment = Fragment.any | Fragment.later
          next = IPProtocol.fragment
        }
      }
      offset = offset &+ length
      left = left &- length
      if fragment & Fragment.later != 0 { break }
    }
    self.fragment = fragment
    protocolNumber = next
    transportOffset = offset
    walkTransport(header, left)
    if isCut {
      protocolNumber = 0
      self.fragment = 0
      transportOffset = 0
      transportLength = 0
      hasTransport = false
    }
  }

  /// Hop-by-hop options, routing, fragment, authentication, destination options (RFC 8200 §4). Others end the chain.
  @inline(__always)
  private static func isExtension(_ number: UInt8) -> Bool {
    switch number {
    case 0, 43, 44, 51, 60: true
    default: false
    }
  }

  /// Bytes of extension header `number` whose second byte is `length`.
  @inline(__always)
  private static func extensionLength(_ number: UInt8, _ length: UInt8) -> Int {
    switch number {
    case IPProtocol.fragment: 8
    case 51: (Int(length) &+ 2) &* 4
    default: (Int(length) &+ 1) &* 8
    }
  }

  // SAFETY: as above.
  @inline(__always)
  private mutating func walkTransport(_ header: UnsafeRawPointer, _ length: Int) {
    guard fragment & Fragment.later == 0 else { return }
    let needed =
      switch (protocolNumber, network) {
      case (IPProtocol.tcp, _): 20
      case (IPProtocol.udp, _), (IPProtocol.icmp, .ipv4), (IPProtocol.icmpv6, .ipv6): 8
      case (IPProtocol.sctp, _): 12
      default: 0
      }
    guard isVisible(transportOffset &+ min(needed, length)) else { return }
    transportLength = length
    guard needed > 0, length >= needed else { return }
    if protocolNumber == IPProtocol.tcp {
      let headerLength = Int(header.byte(transportOffset &+ 12) >> 4) &* 4
      guard headerLength >= 20, headerLength <= length else { return }
    }
    hasTransport = true
    if isNeighborDiscovery(header), length >= 24 { _ = isVisible(transportOffset &+ 24) }
  }

  /// Whether it is a neighbour solicitation or advertisement, of whatever length.
  // SAFETY: `hasTransport` says that eight bytes of ICMPv6 are readable.
  @inline(__always)
  func isNeighborDiscovery(_ header: UnsafeRawPointer) -> Bool {
    guard network == .ipv6, protocolNumber == IPProtocol.icmpv6, hasTransport else { return false }
    let typeAndCode = header.network16(transportOffset)
    return typeAndCode == 135 << 8 || typeAndCode == 136 << 8
  }

  /// The options of such a message; nil when there is none, or its fixed part is not whole.
  // SAFETY: NeighborOptions reads nothing at or beyond `count`.
  @inline(__always)
  mutating func neighborOptions(_ header: UnsafeRawPointer) -> NeighborOptions? {
    guard isNeighborDiscovery(header), transportLength >= 24, !needsMore else { return nil }
    let options = NeighborOptions(
      header, from: transportOffset &+ 24, end: transportOffset &+ transportLength, count: count)
    if options.isShort { endEarly() }
    return options
  }

  // SAFETY: as above.
  @inline(__always)
  private mutating func walkARP(_ header: UnsafeRawPointer, _ size: Int) {
    guard size >= 28, isVisible(networkOffset &+ 28) else { return }
    // Ethernet and IPv4, with addresses of those lengths (RFC 826).
    guard header.network32(networkOffset) == 0x0001_0800, header.network16(networkOffset &+ 4) == 0x0604
    else { return }
    network = .arp
    let operation = header.network16(networkOffset &+ 6)
    if operation <= 0xFF { protocolNumber = UInt8(truncatingIfNeeded: operation) }
  }
}
