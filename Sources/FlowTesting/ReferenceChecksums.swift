import Flow
import PacketTesting

/// Every checksum of a frame, computed from all it covers.
public struct ReferenceChecksums {
  public private(set) var bytes: [UInt8]
  /// Where the checksums are, and how long: of the network header, of the transport header.
  public private(set) var fields: [Range<Int>] = []
  /// The transport checksum's place in its header.
  public private(set) var transportField: Int?
  private let parser: ReferenceParser
  private let isPartial: Bool

  /// - Parameter isPartial: whether the transport checksum is left to be completed.
  public init(_ frame: [UInt8], isPartial: Bool = false) {
    bytes = frame
    parser = ReferenceParser(frame)
    self.isPartial = isPartial
    guard let offset = parser.transportOffset else { return }
    if parser.etherType == 0x0800 {
      let start = parser.networkOffset
      fields.append(start + 10..<start + 12)
      set(start + 10, sum(Array(bytes[start..<offset]), skipping: 10))
    }
    if parser.words[.ipFragment] & 2 == 0 { fillTransport(offset) }
  }

  private mutating func set(_ offset: Int, _ checksum: UInt16) {
    bytes.replaceSubrange(offset..<offset + 2, with: bigEndian(Int(checksum), bytes: 2))
  }

  /// The checksum of `bytes` with its own field, at `field`, taken for 0.
  private func sum(_ bytes: [UInt8], skipping field: Int) -> UInt16 {
    var bytes = bytes
    bytes[field] = 0
    bytes[field + 1] = 0
    return naiveChecksum(bytes)
  }

  private mutating func fillTransport(_ offset: Int) {
    let isIPv6 = parser.etherType == 0x86DD
    let packet = Array(bytes[offset..<parser.networkEnd])
    switch (parser.protocolNumber, isIPv6) {
    case (6, _) where packet.count >= 20: fill(offset, packet, field: 16, pseudoHeader(packet.count))
    case (17, _) where packet.count >= 8: fill(offset, packet, field: 6, pseudoHeader(packet.count))
    case (1, false) where packet.count >= 8: fill(offset, packet, field: 2, [])
    case (58, true) where packet.count >= 4: fill(offset, packet, field: 2, pseudoHeader(packet.count))
    case (132, _) where packet.count >= 12:
      fields.append(offset + 8..<offset + 12)
      transportField = 8
      guard !isPartial else { return }
      let checksum = crc32c(packet[0..<8] + [0, 0, 0, 0] + packet[12...])
      for index in 0..<4 {
        bytes[offset + 8 + index] = UInt8(truncatingIfNeeded: checksum >> (8 * UInt32(index)))
      }
    default: break
    }
  }

  private mutating func fill(_ offset: Int, _ packet: [UInt8], field: Int, _ pseudoHeader: [UInt8]) {
    fields.append(offset + field..<offset + field + 2)
    transportField = field
    if isPartial { return set(offset + field, ~naiveChecksum(pseudoHeader)) }
    let isUDP = parser.protocolNumber == 17
    if isUDP && packet[field] == 0 && packet[field + 1] == 0 { return }
    let checksum = sum(pseudoHeader + packet, skipping: pseudoHeader.count + field)
    set(offset + field, isUDP && checksum == 0 ? 0xFFFF : checksum)
  }

  private func pseudoHeader(_ length: Int) -> [UInt8] {
    let start = parser.networkOffset
    let number = UInt8(parser.protocolNumber)
    if parser.etherType == 0x0800 {
      return bytes[start + 12..<start + 20] + [0, number] + bigEndian(length, bytes: 2)
    }
    // A source route's last hop, which is in the routing header: whatever it is, it stays.
    let destination =
      parser.isSourceRouted ? [UInt8](repeating: 7, count: 16) : Array(bytes[start + 24..<start + 40])
    return bytes[start + 8..<start + 24] + destination + bigEndian(length, bytes: 4) + [0, 0, 0, number]
  }
}

/// RFC 9260 Appendix A, bit by bit.
public func crc32c(_ bytes: some Sequence<UInt8>) -> UInt32 {
  var register: UInt32 = ~0
  for byte in bytes {
    register ^= UInt32(byte)
    for _ in 0..<8 { register = register & 1 == 1 ? register >> 1 ^ 0x82F6_3B78 : register >> 1 }
  }
  return ~register
}
