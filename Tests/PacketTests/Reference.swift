import Seeded
import Packet

/// RFC 1071 word by word, as its text has it.
func naiveChecksum(_ bytes: [UInt8]) -> UInt16 {
  var sum: UInt32 = 0
  for index in stride(from: 0, to: bytes.count, by: 2) {
    let low = index + 1 < bytes.count ? bytes[index + 1] : 0
    sum += UInt32(bytes[index]) << 8 | UInt32(low)
    sum = (sum & 0xFFFF) + (sum >> 16)
  }
  return ~UInt16(sum)
}

func bigEndian(_ value: Int, bytes: Int) -> [UInt8] {
  (0..<bytes).reversed().map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
}

func number(_ bytes: [UInt8], _ offset: Int, _ count: Int = 2) -> Int {
  bytes[offset..<offset + count].reduce(0) { $0 << 8 | Int($1) }
}

extension SeededRandom {
  mutating func bytes(_ count: Int) -> [UInt8] {
    (0..<count).map { _ in UInt8.random(in: 0...255, using: &self) }
  }
}

/// A TCP or UDP frame whose structure is known because it was built here.
struct Packet {
  var tags: [[UInt8]] = []
  var isIPv6 = false
  /// IPv4 options (a multiple of 4 bytes) or IPv6 extension headers.
  var networkOptions: [UInt8] = []
  /// The first IPv6 extension header's number.
  var firstExtension: UInt8?
  var isTCP = true
  var tcpOptions: [UInt8] = []
  var flags: UInt8 = 0x10
  var sequence = 0
  var identification = 0
  var source: [UInt8] = []
  var destination: [UInt8] = []
  var payload: [UInt8] = []

  var networkOffset: Int { 14 + tags.count * 4 }
  var transportOffset: Int { networkOffset + (isIPv6 ? 40 : 20) + networkOptions.count }
  var payloadOffset: Int { transportOffset + (isTCP ? 20 + tcpOptions.count : 8) }
  var checksumField: Int { transportOffset + (isTCP ? 16 : 6) }
  var gsoType: UInt8 { isTCP ? (isIPv6 ? Offload.GSO.tcp6 : Offload.GSO.tcp4) : Offload.GSO.udp }

  static func random(_ g: inout SeededRandom, payload: Int) -> Packet {
    var packet = Packet()
    for _ in 0..<Int.random(in: 0...2, using: &g) { packet.tags.append([0x81, 0x00] + g.bytes(2)) }
    packet.isIPv6 = .random(using: &g)
    packet.isTCP = .random(using: &g)
    let count = packet.isIPv6 ? 16 : 4
    packet.source = g.bytes(count)
    packet.destination = g.bytes(count)
    if packet.isIPv6 {
      for _ in 0..<Int.random(in: 0...2, using: &g) {
        let words = Int.random(in: 0...2, using: &g)
        let next = packet.firstExtension ?? (packet.isTCP ? 6 : 17)
        packet.networkOptions = [next, UInt8(words)] + g.bytes(words * 8 + 6) + packet.networkOptions
        packet.firstExtension = 60
      }
    } else {
      packet.networkOptions = g.bytes(4 * Int.random(in: 0...10, using: &g))
    }
    packet.tcpOptions = g.bytes(4 * Int.random(in: 0...10, using: &g))
    packet.flags = .random(in: 0...255, using: &g)
    packet.sequence = .random(in: 0...0xFFFF_FFFF, using: &g)
    packet.identification = .random(in: 0...0xFFFF, using: &g)
    packet.payload = g.bytes(payload)
    return packet
  }

  func pseudoHeader(length: Int) -> [UInt8] {
    source + destination + [0, isTCP ? 6 : 17] + bigEndian(length, bytes: 4)
  }

  /// The frame; its transport checksum holds the pseudo-header's sum, as a partial checksum does.
  var bytes: [UInt8] {
    var bytes: [UInt8] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]
    for tag in tags { bytes += tag }
    let transport = payloadOffset - transportOffset + payload.count
    if isIPv6 {
      bytes += [0x86, 0xDD, 0x60, 0, 0, 0] + bigEndian(networkOptions.count + transport, bytes: 2)
      bytes += [firstExtension ?? (isTCP ? 6 : 17), 64] + source + destination + networkOptions
    } else {
      let length = 20 + networkOptions.count
      bytes += [0x08, 0x00]
      var header: [UInt8] = [0x40 | UInt8(length / 4), 0] + bigEndian(length + transport, bytes: 2)
      header += bigEndian(identification, bytes: 2) + [0x40, 0, 64, isTCP ? 6 : 17, 0, 0]
      header += source + destination + networkOptions
      let checksum = naiveChecksum(header)
      header[10] = UInt8(checksum >> 8)
      header[11] = UInt8(checksum & 0xFF)
      bytes += header
    }
    let partial = bigEndian(Int(~naiveChecksum(pseudoHeader(length: transport))), bytes: 2)
    if isTCP {
      bytes += [0x30, 0x39, 0, 80] + bigEndian(sequence, bytes: 4) + [1, 2, 3, 4]
      bytes += [UInt8((20 + tcpOptions.count) / 4) << 4, flags, 1, 0] + partial + [0, 0] + tcpOptions
    } else {
      bytes += [0x30, 0x39, 0, 53] + bigEndian(transport, bytes: 2) + partial
    }
    return bytes + payload
  }

  /// Checks everything a receiver would check in `frame`, one of this packet's segments.
  func isValid(_ frame: [UInt8], checkTransport: Bool = true) -> Bool {
    let transport = frame.count - transportOffset
    if isIPv6 {
      guard number(frame, networkOffset + 4) == frame.count - networkOffset - 40 else { return false }
    } else {
      guard number(frame, networkOffset + 2) == frame.count - networkOffset else { return false }
      guard naiveChecksum(Array(frame[networkOffset..<transportOffset])) == 0 else { return false }
    }
    if !isTCP, number(frame, transportOffset + 4) != transport { return false }
    guard checkTransport else { return true }
    return naiveChecksum(pseudoHeader(length: transport) + frame[transportOffset...]) == 0
  }
}
