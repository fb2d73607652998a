// What flows can match, as words
// ==============================
//
// A key holds every field of a frame, and of the pipeline's own state, at a fixed place in 25 words of 64 bits, in host
// byte order. A mask has the same layout: a one says that the bit matters. So whatever a match is made of, comparing
// it with a frame is `(key ^ value) & mask == 0`, word by word, and "which bits did this decision depend on" is a mask.
//
//     word  bits 63 … 0
//       0   bridge 32            | in_port 16           | eth_type 16
//       1   eth_dst 48                                  | nw_proto 8 (low byte of arp_op) | nw_frag 8
//       2   eth_src 48                                  | tcp_flags 16
//       3   TPID 16 | TCI 16  (outer tag)               | TPID 16 | TCI 16  (inner tag)
//       4   nw_src 32 (arp_spa)                         | nw_dst 32 (arp_tpa)
//       5   tp_src 16 (icmp_type) | tp_dst 16 (icmp_code) | nw_tos 8 | nw_ttl 8 | unused 16
//       6   ipv6_label 32                               | unused 32
//      7-8  ipv6_src          9-10 ipv6_dst            11-12 nd_target
//      13   arp_sha 48 (nd_sll)  | unused 16
//      14   arp_tha 48 (nd_tll)  | unused 16
//      15   conj_id 32           | unused 32
//      16   metadata
//   17-24   reg0 | reg1, reg2 | reg3, … reg14 | reg15
//
// Words 0 to 14 come from the frame; those from 15 on are the pipeline's own and 0 when it begins, so that no cached
// decision ever depends on them. An untagged IPv4 frame needs words 0 to 5 only.
//
// A TCI has bit 12 (CFI) set when the tag is there, as Open vSwitch does; a frame without the tag has TPID and TCI 0.

/// A key's words, or a mask's.
@frozen
public struct FlowWords: Sendable {
  @inlinable public static var count: Int { 25 }
  /// Words that come from the frame.
  @inlinable public static var packetCount: Int { 15 }

  @usableFromInline var storage: InlineArray<25, UInt64>

  /// All zero.
  @inlinable
  public init() { storage = InlineArray(repeating: 0) }

  /// Every bit of the frame's words set: depends on everything.
  public static var wholePacket: FlowWords {
    var words = FlowWords()
    for index in 0..<packetCount { words[index] = .max }
    return words
  }

  @inlinable
  public subscript(_ index: Int) -> UInt64 {
    @inline(__always) get { storage.span[index] }
    @inline(__always) set { storage[index] = newValue }
  }

  @inlinable
  public var isZero: Bool {
    for index in 0..<Self.count where storage[index] != 0 { return false }
    return true
  }

  @inlinable
  public static func & (left: FlowWords, right: FlowWords) -> FlowWords {
    var result = left
    for index in 0..<count { result.storage[index] &= right.storage[index] }
    return result
  }

  @inlinable
  public static func | (left: FlowWords, right: FlowWords) -> FlowWords {
    var result = left
    for index in 0..<count { result.storage[index] |= right.storage[index] }
    return result
  }

  @inlinable
  public static func ^ (left: FlowWords, right: FlowWords) -> FlowWords {
    var result = left
    for index in 0..<count { result.storage[index] ^= right.storage[index] }
    return result
  }

  @inlinable
  public static prefix func ~ (words: FlowWords) -> FlowWords {
    var result = words
    for index in 0..<count { result.storage[index] = ~result.storage[index] }
    return result
  }

  @inlinable
  public static func |= (left: inout FlowWords, right: FlowWords) {
    for index in 0..<count { left.storage[index] |= right.storage[index] }
  }

  /// Whether every bit set here is set in `other`.
  @inlinable
  public func isSubset(of other: FlowWords) -> Bool {
    for index in 0..<Self.count where storage[index] & ~other.storage[index] != 0 { return false }
    return true
  }

  /// Whether `self` and `other` are equal in every bit of `mask`.
  @inlinable
  public func agrees(with other: FlowWords, in mask: FlowWords) -> Bool {
    for index in 0..<Self.count
    where (storage[index] ^ other.storage[index]) & mask.storage[index] != 0 { return false }
    return true
  }
}

extension FlowWords: Equatable, Hashable {
  @inlinable
  public static func == (left: FlowWords, right: FlowWords) -> Bool {
    for index in 0..<count where left.storage[index] != right.storage[index] { return false }
    return true
  }

  @inlinable
  public func hash(into hasher: inout Hasher) {
    // Masks, and what matches ask for, are mostly zeros.
    for index in 0..<Self.count where storage[index] != 0 {
      hasher.combine(index)
      hasher.combine(storage[index])
    }
  }
}

/// The words by what is in them: what the code that fills or rewrites whole words uses. Fields are in `Field`.
public enum FlowWord {
  @inlinable public static var inPort: Int { 0 }
  @inlinable public static var ethernetDestination: Int { 1 }
  @inlinable public static var ethernetSource: Int { 2 }
  @inlinable public static var tags: Int { 3 }
  @inlinable public static var ipv4: Int { 4 }
  @inlinable public static var transport: Int { 5 }
  @inlinable public static var ipv6Label: Int { 6 }
  @inlinable public static var ipv6Source: Int { 7 }
  @inlinable public static var ipv6Destination: Int { 9 }
  @inlinable public static var ndTarget: Int { 11 }
  @inlinable public static var arpSource: Int { 13 }
  @inlinable public static var arpTarget: Int { 14 }
  @inlinable public static var conjunction: Int { 15 }
  @inlinable public static var metadata: Int { 16 }
  @inlinable public static var registers: Int { 17 }
}
