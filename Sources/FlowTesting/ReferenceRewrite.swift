import Flow
import PacketTesting

/// A frame rewritten by the plainest means: fields are set in its bytes, every checksum is computed anew,
/// then tags are taken off and put on.
public struct ReferenceRewrite {
  public private(set) var bytes: [UInt8]
  private let parser: ReferenceParser
  private let rewrite: Rewrite

  /// - Parameter isPartial: whether the transport checksum is left to be completed.
  public init(_ frame: [UInt8], _ rewrite: Rewrite, isPartial: Bool = false) {
    bytes = frame
    parser = ReferenceParser(frame)
    self.rewrite = rewrite
    guard frame.count >= 14 else { return }
    setFields()
    bytes = ReferenceChecksums(bytes, isPartial: isPartial).bytes
    replaceTags()
  }

  private mutating func put(_ value: UInt128, at offset: Int, bytes count: Int) {
    for index in 0..<count {
      bytes[offset + index] = UInt8(truncatingIfNeeded: value >> UInt128(8 * (count - 1 - index)))
    }
  }

  // MARK: Fields

  private mutating func setFields() {
    let key = (parser.words & ~rewrite.mask) | (rewrite.value & rewrite.mask)
    put(key[.ethernetDestination], at: 0, bytes: 6)
    put(key[.ethernetSource], at: 6, bytes: 6)
    if rewrite.poppedTags == 0, rewrite.pushedTags.isEmpty, parser.tagCount > 0 {
      let old = parser.words[.vlanTCI] & 0xEFFF
      let new = key[.vlanTCI] & 0xEFFF
      if old != new { put(new, at: 14, bytes: 2) }
    }
    switch parser.etherType {
    case 0x0800 where parser.transportOffset != nil && parser.protocolNumber != 0: setIPv4(key)
    case 0x86DD where parser.transportOffset != nil && parser.protocolNumber != 0: setIPv6(key)
    case 0x0806 where parser.isARP && key[.arpOperation] != 0: setARP(key)
    default: break
    }
  }

  private mutating func replaceTags() {
    let popped = min(rewrite.poppedTags, parser.tagCount)
    bytes.removeSubrange(12..<12 + 4 * popped)
    for tag in rewrite.pushedTags {
      bytes.insert(contentsOf: bigEndian(Int(tag & 0xFFFF_EFFF), bytes: 4), at: 12)
    }
  }

  private mutating func setIPv4(_ key: FlowWords) {
    let offset = parser.networkOffset
    put(key[.ipTOS], at: offset + 1, bytes: 1)
    put(key[.ipTTL], at: offset + 8, bytes: 1)
    put(key[.ipv4Source], at: offset + 12, bytes: 4)
    put(key[.ipv4Destination], at: offset + 16, bytes: 4)
    setTransport(key)
  }

  private mutating func setIPv6(_ key: FlowWords) {
    let offset = parser.networkOffset
    let version = UInt128(bytes[offset] >> 4)
    put(version << 28 | key[.ipTOS] << 20 | key[.ipv6Label], at: offset, bytes: 4)
    put(key[.ipTTL], at: offset + 7, bytes: 1)
    put(key[.ipv6Source], at: offset + 8, bytes: 16)
    put(key[.ipv6Destination], at: offset + 24, bytes: 16)
    setTransport(key)
  }

  private mutating func setARP(_ key: FlowWords) {
    let offset = parser.networkOffset
    put(key[.arpOperation], at: offset + 6, bytes: 2)
    put(key[.arpSenderMAC], at: offset + 8, bytes: 6)
    put(key[.arpSenderIP], at: offset + 14, bytes: 4)
    put(key[.arpTargetMAC], at: offset + 18, bytes: 6)
    put(key[.arpTargetIP], at: offset + 24, bytes: 4)
  }

  private mutating func setTransport(_ key: FlowWords) {
    guard parser.hasTransport, let offset = parser.transportOffset else { return }
    switch parser.protocolNumber {
    case 6, 17, 132:
      put(key[.tcpSource], at: offset, bytes: 2)
      put(key[.tcpDestination], at: offset + 2, bytes: 2)
    default: break
    }
    guard parser.protocolNumber == (parser.etherType == 0x86DD ? 58 : 1) else { return }
    let message = bytes[offset..<offset + 2]
    put(key[.icmpType], at: offset, bytes: 1)
    put(key[.icmpCode], at: offset + 1, bytes: 1)
    let length = parser.networkEnd - offset
    guard parser.etherType == 0x86DD, [[135, 0], [136, 0]].contains(message), length >= 24 else { return }
    setNeighbor(offset)
  }

  /// Bits that are not written are those of the message, also where a key says that it is invalid.
  private mutating func setNeighbor(_ offset: Int) {
    put(merged(.ndTarget, at: offset + 8, 16), at: offset + 8, bytes: 16)
    var option = offset + 24
    while option + 8 <= min(parser.networkEnd, 240) {
      let length = Int(bytes[option + 1]) * 8
      guard length > 0, option + length <= parser.networkEnd else { return }
      if length == 8, bytes[option] == 1 || bytes[option] == 2 {
        let field = bytes[option] == 1 ? Field.ndSourceMAC : .ndTargetMAC
        return put(merged(field, at: option + 2, 6), at: option + 2, bytes: 6)
      }
      option += length
    }
  }

  private func merged(_ field: Field, at offset: Int, _ count: Int) -> UInt128 {
    let old = bytes[offset..<offset + count].reduce(0) { $0 << 8 | UInt128($1) }
    return old & ~rewrite.mask[field] | rewrite.value[field] & rewrite.mask[field]
  }
}
