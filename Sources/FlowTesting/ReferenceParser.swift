import Flow

/// A frame's key and the places of its headers, by the plainest means: what flows are to see, written from
/// `ovs-fields(7)` and the RFCs. It shares nothing with what it is compared with but the layout of the words.
public struct ReferenceParser {
  public private(set) var words = FlowWords()
  public private(set) var networkOffset = 0
  public private(set) var tagCount = 0
  public private(set) var transportOffset: Int?
  /// Behind the IP packet: where padding begins.
  public private(set) var networkEnd = 0
  public private(set) var isSourceRouted = false
  /// Whether the transport header is whole.
  public private(set) var hasTransport = false
  /// It is ARP or RARP of Ethernet and IPv4.
  public private(set) var isARP = false
  /// Headers lie beyond the first 240 bytes, which nobody looks at.
  public private(set) var isCut = false

  private enum Stop: Error {
    case missing, cut
  }

  private let bytes: [UInt8]
  private var position = 0
  private var end: Int

  public init(_ frame: [UInt8]) {
    bytes = frame
    end = frame.count
    do {
      try parseLink()
    } catch Stop.cut {
      isCut = true
    } catch {}
  }

  public var etherType: Int { Int(words[.ethernetType]) }
  public var protocolNumber: Int { Int(words[.ipProtocol]) }

  // MARK: Reading

  private var left: Int { end - position }

  /// The next `count` bytes.
  private mutating func take(_ count: Int) throws -> [UInt8] {
    guard left >= count else { throw Stop.missing }
    guard position + count <= 240 else { throw Stop.cut }
    position += count
    return Array(bytes[position - count..<position])
  }

  private mutating func takeNumber(_ count: Int) throws -> UInt128 { value(try take(count)) }

  private func value(_ bytes: some Sequence<UInt8>) -> UInt128 { bytes.reduce(0) { $0 << 8 | UInt128($1) } }

  // MARK: Layers

  private mutating func parseLink() throws {
    guard left >= 14 else { throw Stop.missing }
    words[.ethernetDestination] = try takeNumber(6)
    words[.ethernetSource] = try takeNumber(6)
    var type = try takeNumber(2)
    var tags: [UInt128] = []
    while tags.count < 2, type == 0x8100 || type == 0x88A8, left >= 4 {
      tags.append(type << 16 | (try takeNumber(2)) | 0x1000)
      type = try takeNumber(2)
    }
    tagCount = tags.count
    if tags.count > 0 { words[FlowWord.tags] |= UInt64(tags[0]) << 32 }
    if tags.count > 1 { words[FlowWord.tags] |= UInt64(tags[1]) }
    words[.ethernetType] = type
    if type < 0x600 {
      words[.ethernetType] = 0x5FF
      if left >= 8 {
        let start = position
        if try take(6) == [0xAA, 0xAA, 3, 0, 0, 0] {
          let snap = try takeNumber(2)
          if snap >= 0x600 { words[.ethernetType] = snap }
        } else {
          position = start
        }
      }
    }
    networkOffset = position
    switch words[.ethernetType] {
    case 0x0800: try parseIPv4()
    case 0x86DD: try parseIPv6()
    case 0x0806, 0x8035: try parseARP()
    default: break
    }
  }

  private mutating func parseIPv4() throws {
    let size = left
    let header = try take(20)
    let length = Int(header[0] & 15) * 4
    let total = Int(value(header[2..<4]))
    guard length >= 20, length <= total, total <= size, size - total <= 65_535 else { return }
    networkEnd = networkOffset + total
    end = networkEnd
    words[.ipv4Source] = value(header[12..<16])
    words[.ipv4Destination] = value(header[16..<20])
    words[.ipTOS] = UInt128(header[1])
    words[.ipTTL] = UInt128(header[8])
    words[.ipProtocol] = UInt128(header[9])
    let place = value(header[6..<8])
    if place & 0x2000 != 0 { words[.ipFragment] = 1 }
    if place & 0x1FFF != 0 { words[.ipFragment] = 3 }
    _ = try take(length - 20)
    transportOffset = position
    try parseTransport(isIPv6: false)
  }

  private mutating func parseIPv6() throws {
    let size = left
    let header = try take(40)
    let length = Int(value(header[4..<6]))
    guard length + 40 <= size, size - 40 - length <= 65_535 else { return }
    networkEnd = position + length
    end = networkEnd
    words[.ipv6Source] = value(header[8..<24])
    words[.ipv6Destination] = value(header[24..<40])
    let before = words
    do {
      var fragment = 0
      let next = try parseExtensions(header[6], fragment: &fragment)
      words[.ipv6Label] = value(header[0..<4]) & 0xFFFFF
      words[.ipTOS] = value(header[0..<2]) >> 4 & 0xFF
      words[.ipTTL] = UInt128(header[7])
      words[.ipProtocol] = UInt128(next)
      words[.ipFragment] = UInt128(fragment)
      transportOffset = position
      try parseTransport(isIPv6: true)
    } catch Stop.cut {
      isCut = true
      transportOffset = nil
      words = before
    }
  }

  private mutating func parseExtensions(_ first: UInt8, fragment: inout Int) throws -> UInt8 {
    var next = first
    while [0, 43, 44, 51, 60].contains(next) {
      let start = position
      let header = try take(8)
      let number = next
      next = header[0]
      switch number {
      case 44:
        let place = value(header[2..<4])
        if place != 0 { fragment = 1 }
        if place >> 3 != 0 {
          fragment = 3
          return 44
        }
      case 51: position = start + (Int(header[1]) + 2) * 4
      default: position = start + (Int(header[1]) + 1) * 8
      }
      if number == 43, header[3] > 0 { isSourceRouted = true }
      guard position <= end else { throw Stop.missing }
    }
    return next
  }

  private mutating func parseTransport(isIPv6: Bool) throws {
    guard words[.ipFragment] & 2 == 0 else { return }
    let lengths: [Int: Int] = isIPv6 ? [6: 20, 17: 8, 132: 12, 58: 8] : [6: 20, 17: 8, 132: 12, 1: 8]
    guard position + min(left, lengths[protocolNumber, default: 0]) <= 240 else { throw Stop.cut }
    switch (protocolNumber, isIPv6) {
    case (6, _):
      let size = left
      let header = try take(20)
      let length = Int(header[12] >> 4) * 4
      guard length >= 20, length <= size else { return }
      words[.tcpFlags] = value(header[12..<14]) & 0xFFF
      setPorts(header)
    case (17, _): setPorts(try take(8))
    case (132, _): setPorts(try take(12))
    case (1, false), (58, true):
      let header = try take(8)
      words[.icmpType] = UInt128(header[0])
      words[.icmpCode] = UInt128(header[1])
      if isIPv6, header[0] == 135 || header[0] == 136, header[1] == 0 {
        try parseNeighborDiscovery()
      }
    default: return
    }
    hasTransport = true
  }

  private mutating func setPorts(_ header: [UInt8]) {
    words[.tcpSource] = value(header[0..<2])
    words[.tcpDestination] = value(header[2..<4])
  }

  private mutating func parseNeighborDiscovery() throws {
    guard left >= 16 else { return }
    let target = try takeNumber(16)
    var addresses: [UInt8: UInt128] = [:]
    while left >= 8 {
      guard position + 8 <= 240 else {
        isCut = true
        break
      }
      let option = Array(bytes[position..<position + 8])
      let length = Int(option[1]) * 8
      guard length > 0, length <= left else { break }
      if length == 8, option[0] == 1 || option[0] == 2 {
        guard addresses[option[0], default: 0] == 0 else { return }
        addresses[option[0]] = value(option[2...])
      }
      position += length
    }
    words[.ndTarget] = target
    words[.ndSourceMAC] = addresses[1] ?? 0
    words[.ndTargetMAC] = addresses[2] ?? 0
  }

  private mutating func parseARP() throws {
    let packet = try take(28)
    guard Array(packet[0..<6]) == [0, 1, 8, 0, 6, 4] else { return }
    isARP = true
    if packet[6] == 0 { words[.arpOperation] = UInt128(packet[7]) }
    words[.arpSenderMAC] = value(packet[8..<14])
    words[.arpSenderIP] = value(packet[14..<18])
    words[.arpTargetMAC] = value(packet[18..<24])
    words[.arpTargetIP] = value(packet[24..<28])
  }
}
