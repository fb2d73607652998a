// From a frame to its key
// =======================
//
// A key's words hold the headers' bytes as numbers, so that a word is one load, a byte swap and a mask. Nearly every
// frame is untagged IPv4 without options, TCP or UDP, with its headers in the snapshot: a few comparisons find that out,
// and six words are written. All others take the walk of `HeaderWalk`, which finds the same for
// these too (a test says so).
//
// How many words a key has follows from its first six, so that two keys which agree in six agree in how many more to
// compare: ARP has all fifteen, for its two link-layer addresses; IPv6 has eleven, or fifteen when it is a neighbour
// solicitation or advertisement; anything else has six.

import Flow

/// What was found beside the key.
struct KeyExtent: Equatable {
  /// Words that say something: 6, 11 or 15. Those behind them are undefined, and 0 by definition.
  @inline(__always) var words: Int { Int(bits & 0xFF) }
  /// Where the network header is, or would be.
  @inline(__always) var networkOffset: Int { Int(bits >> 8 & 0xFF) }
  /// Where the transport header is; 0 when there is no such place.
  @inline(__always) var transportOffset: Int { Int(bits >> 16 & 0xFF) }
  /// The private bytes ended inside a header: the key is not yet the frame's. Extract it from more of them, at most
  /// `HeaderWalk.walkedLength`.
  @inline(__always) var needsMore: Bool { bits & Self.needsMoreBit != 0 }
  /// Headers lie deeper than is ever looked: the key says of them what it says of malformed ones.
  @inline(__always) var isCut: Bool { bits & Self.isCutBit != 0 }

  // In one word, so that it stays in a register.
  private let bits: UInt32
  private static let needsMoreBit: UInt32 = 1 << 24
  private static let isCutBit: UInt32 = 1 << 25

  @inline(__always)
  init(words: Int, networkOffset: Int, transportOffset: Int, needsMore: Bool = false, isCut: Bool = false) {
    bits =
      UInt32(truncatingIfNeeded: words | networkOffset << 8 | transportOffset << 16)
      | (needsMore ? Self.needsMoreBit : 0) | (isCut ? Self.isCutBit : 0)
  }
}

enum KeyExtraction {
  /// Writes the words of a frame's key.
  ///
  /// - Parameters:
  ///   - header: the frame's first bytes, private.
  ///   - count: how many there are.
  ///   - frameLength: bytes of the whole frame, without FCS.
  ///   - key: 15 words; the bridge and in_port are in word 0 already, whose low 16 bits are 0 or what was extracted from
  ///     fewer bytes of the frame.
  // SAFETY: `plainProtocol` has compared `count` with what is read. `key` has 15 words by the caller's duty; 6 are
  // written.
  @inline(__always)
  static func extract(
    _ header: UnsafeRawPointer, count: Int, frameLength: Int, into key: UnsafeMutablePointer<UInt64>
  ) -> KeyExtent {
    let number = HeaderWalk.plainProtocol(header, count: count, frameLength: frameLength)
    guard number != 0 else { return walk(header, count: count, frameLength: frameLength, into: key) }
    let flags = number == HeaderWalk.IPProtocol.tcp ? UInt64(header.network16(46) & 0xFFF) : 0
    key[FlowWord.inPort] |= 0x0800
    key[FlowWord.ethernetDestination] = header.network64(0) & ~0xFFFF | UInt64(number) << 8
    key[FlowWord.ethernetSource] = header.network64(6) & ~0xFFFF | flags
    key[FlowWord.tags] = 0
    key[FlowWord.ipv4] = header.network64(26)
    key[FlowWord.transport] =
      UInt64(header.network32(34)) << 32 | UInt64(header.byte(15)) << 24 | UInt64(header.byte(22)) << 16
    return KeyExtent(words: 6, networkOffset: 14, transportOffset: 34)
  }

  // SAFETY: HeaderWalk says which headers are there and readable. `key` has 15 words by the caller's duty.
  @inline(never)
  private static func walk(
    _ header: UnsafeRawPointer, count: Int, frameLength: Int, into key: UnsafeMutablePointer<UInt64>
  ) -> KeyExtent {
    var walk = HeaderWalk(header, count: count, frameLength: frameLength)
    for index in 1..<6 { key[index] = 0 }
    guard frameLength >= 14, count >= 14 else {
      return KeyExtent(words: 6, networkOffset: 14, transportOffset: 0, needsMore: walk.needsMore)
    }
    // Not added: fewer bytes may have shown another type, where a tag or SNAP was cut off.
    key[FlowWord.inPort] = key[FlowWord.inPort] & ~0xFFFF | UInt64(walk.etherType)
    key[FlowWord.ethernetDestination] =
      header.network64(0) & ~0xFFFF | UInt64(walk.protocolNumber) << 8 | UInt64(walk.fragment)
    key[FlowWord.ethernetSource] = header.network64(6) & ~0xFFFF
    key[FlowWord.tags] = walk.tags
    var words = 6
    switch walk.etherType {
    case 0x86DD:
      words = 11
      addIPv6(header, &walk, key, &words)
    case 0x0806, 0x8035:
      words = 15
      addARP(header, walk, key)
    default:
      if walk.network == .ipv4 { addIPv4(header, walk, key) }
    }
    return KeyExtent(
      words: words, networkOffset: walk.networkOffset, transportOffset: walk.transportOffset,
      needsMore: walk.needsMore, isCut: walk.isCut)
  }

  // SAFETY: as above.
  @inline(__always)
  private static func addIPv4(
    _ header: UnsafeRawPointer, _ walk: HeaderWalk, _ key: UnsafeMutablePointer<UInt64>
  ) {
    let offset = walk.networkOffset
    key[FlowWord.ipv4] = header.network64(offset &+ 12)
    let service = header.byte(offset &+ 1)
    key[FlowWord.transport] = UInt64(service) << 24 | UInt64(header.byte(offset &+ 8)) << 16
    addTransport(header, walk, key)
  }

  // SAFETY: as above.
  @inline(__always)
  private static func addIPv6(
    _ header: UnsafeRawPointer, _ walk: inout HeaderWalk, _ key: UnsafeMutablePointer<UInt64>,
    _ words: inout Int
  ) {
    for index in 6..<11 { key[index] = 0 }
    guard walk.network == .ipv6 else { return }
    let offset = walk.networkOffset
    for index in 0..<4 {
      key[FlowWord.ipv6Source &+ index] = header.network64(offset &+ 8 &+ 8 &* index)
    }
    // Behind a chain of extension headers that is malformed nothing is known, the fixed header neither.
    guard walk.transportOffset > 0 else { return }
    let first = UInt64(header.network32(offset))
    key[FlowWord.ipv6Label] = (first & 0xF_FFFF) << 32
    key[FlowWord.transport] = (first >> 20 & 0xFF) << 24 | UInt64(header.byte(offset &+ 7)) << 16
    addTransport(header, walk, key)
    guard walk.isNeighborDiscovery(header) else { return }
    words = 15
    for index in 11..<15 { key[index] = 0 }
    guard let options = walk.neighborOptions(header), !options.isContradictory else { return }
    key[FlowWord.ndTarget] = header.network64(walk.transportOffset &+ 8)
    key[FlowWord.ndTarget &+ 1] = header.network64(walk.transportOffset &+ 16)
    key[FlowWord.arpSource] = options.source << 16
    key[FlowWord.arpTarget] = options.target << 16
  }

  // SAFETY: as above.
  @inline(__always)
  private static func addTransport(
    _ header: UnsafeRawPointer, _ walk: HeaderWalk, _ key: UnsafeMutablePointer<UInt64>
  ) {
    guard walk.hasTransport else { return }
    let first = UInt64(header.network32(walk.transportOffset))
    switch walk.protocolNumber {
    case HeaderWalk.IPProtocol.icmp, HeaderWalk.IPProtocol.icmpv6:
      key[FlowWord.transport] |= (first >> 24) << 48 | (first >> 16 & 0xFF) << 32
    case HeaderWalk.IPProtocol.tcp:
      key[FlowWord.transport] |= first << 32
      key[FlowWord.ethernetSource] |= UInt64(header.network16(walk.transportOffset &+ 12) & 0xFFF)
    default: key[FlowWord.transport] |= first << 32
    }
  }

  // SAFETY: as above.
  @inline(__always)
  private static func addARP(
    _ header: UnsafeRawPointer, _ walk: HeaderWalk, _ key: UnsafeMutablePointer<UInt64>
  ) {
    for index in 6..<15 { key[index] = 0 }
    guard walk.network == .arp else { return }
    let offset = walk.networkOffset
    key[FlowWord.ipv4] = UInt64(header.network32(offset &+ 14)) << 32 | UInt64(header.network32(offset &+ 24))
    key[FlowWord.arpSource] = header.address(offset &+ 8) << 16
    key[FlowWord.arpTarget] = header.address(offset &+ 18) << 16
  }
}
