import Packet
import Seeded

/// A TCP or UDP packet whose structure is known because it was built here, by the plainest means: what a frame should
/// look like, whatever the switch or a kernel made of it.
public struct ReferencePacket: Sendable {
  public var destinationMAC: [UInt8] = [2, 0, 0, 0, 0, 1]
  public var sourceMAC: [UInt8] = [2, 0, 0, 0, 0, 2]
  /// Four bytes each, outermost first.
  public var tags: [[UInt8]] = []
  public var isIPv6 = false
  /// IPv4 options (a multiple of 4 bytes) or IPv6 extension headers.
  public var networkOptions: [UInt8] = []
  /// The first IPv6 extension header's number.
  public var firstExtension: UInt8?
  public var identification = 0
  public var source: [UInt8] = []
  public var destination: [UInt8] = []
  public var isTCP = true
  public var sourcePort = 12_345
  public var destinationPort = 80
  public var tcpOptions: [UInt8] = []
  /// The TCP header's flags, CWR (0x80) to FIN (0x01).
  public var flags: UInt8 = 0x10
  public var sequence = 0
  /// False for UDP over IPv4 without a checksum.
  public var hasChecksum = true
  public var payload: [UInt8] = []

  public init() {}

  public var networkOffset: Int { 14 + tags.count * 4 }
  public var transportOffset: Int { networkOffset + (isIPv6 ? 40 : 20) + networkOptions.count }
  public var payloadOffset: Int { transportOffset + (isTCP ? 20 + tcpOptions.count : 8) }
  public var checksumField: Int { transportOffset + (isTCP ? 16 : 6) }
  public var gsoType: UInt8 { isTCP ? (isIPv6 ? Offload.GSO.tcp6 : Offload.GSO.tcp4) : Offload.GSO.udp }
  private var transportProtocol: UInt8 { isTCP ? 6 : 17 }

  public static func random(_ g: inout SeededRandom, payload: Int) -> ReferencePacket {
    var packet = ReferencePacket()
    for _ in 0..<Int.random(in: 0...2, using: &g) { packet.tags.append([0x81, 0x00] + g.bytes(2)) }
    packet.isIPv6 = .random(using: &g)
    packet.isTCP = .random(using: &g)
    let count = packet.isIPv6 ? 16 : 4
    packet.source = g.bytes(count)
    packet.destination = g.bytes(count)
    if packet.isIPv6 {
      for _ in 0..<Int.random(in: 0...2, using: &g) {
        let words = Int.random(in: 0...2, using: &g)
        let next = packet.firstExtension ?? packet.transportProtocol
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

  /// All headers; the transport checksum is `checksum`.
  private func headers(checksum: [UInt8]) -> [UInt8] {
    var bytes = destinationMAC + sourceMAC
    for tag in tags { bytes += tag }
    if isIPv6 {
      bytes += [0x86, 0xDD, 0x60, 0, 0, 0] + bigEndian(networkOptions.count + transportLength, bytes: 2)
      bytes += [firstExtension ?? transportProtocol, 64] + source + destination + networkOptions
    } else {
      let length = 20 + networkOptions.count
      bytes += [0x08, 0x00]
      var header: [UInt8] = [0x40 | UInt8(length / 4), 0] + bigEndian(length + transportLength, bytes: 2)
      header += bigEndian(identification, bytes: 2) + [0x40, 0, 64, transportProtocol, 0, 0]
      header += source + destination + networkOptions
      header.replaceSubrange(10..<12, with: bigEndian(Int(naiveChecksum(header)), bytes: 2))
      bytes += header
    }
    bytes += bigEndian(sourcePort, bytes: 2) + bigEndian(destinationPort, bytes: 2)
    if isTCP {
      bytes += bigEndian(sequence, bytes: 4) + [1, 2, 3, 4]
      bytes += [UInt8((20 + tcpOptions.count) / 4) << 4, flags, 1, 0] + checksum + [0, 0] + tcpOptions
    } else {
      bytes += bigEndian(transportLength, bytes: 2) + checksum
    }
    return bytes
  }

  private var transportLength: Int { payloadOffset - transportOffset + payload.count }

  private func pseudoHeader(length: Int) -> [UInt8] {
    source + destination + [0, transportProtocol] + bigEndian(length, bytes: 4)
  }

  /// What a partial checksum's field holds: the pseudo-header's sum.
  public var pseudoHeaderSum: Int { Int(~naiveChecksum(pseudoHeader(length: transportLength))) }

  /// The frame with a partial checksum.
  public var bytes: [UInt8] { headers(checksum: bigEndian(pseudoHeaderSum, bytes: 2)) + payload }

  /// The frame as it goes over a wire.
  public var finished: [UInt8] {
    guard hasChecksum else { return headers(checksum: [0, 0]) + payload }
    let bytes = headers(checksum: [0, 0])
    let sum = naiveChecksum(pseudoHeader(length: transportLength) + bytes[transportOffset...] + payload)
    // In UDP 0 would mean "no checksum" (RFC 768); both are zero to ones' complement arithmetic.
    return headers(checksum: bigEndian(Int(sum == 0 && !isTCP ? 0xFFFF : sum), bytes: 2)) + payload
  }

  /// The request to complete the checksum of `bytes`.
  public var checksumRequest: Offload {
    Offload(
      flags: Offload.Flag.needsChecksum, checksumStart: UInt16(transportOffset),
      checksumOffset: UInt16(checksumField - transportOffset))
  }

  /// The request to segment `bytes` into payloads of `size`.
  public func segmentationRequest(size: Int) -> Offload {
    Offload(
      flags: Offload.Flag.needsChecksum, gsoType: gsoType, headerLength: UInt16(payloadOffset),
      gsoSize: UInt16(size), checksumStart: UInt16(transportOffset),
      checksumOffset: UInt16(checksumField - transportOffset))
  }

  /// What the packet becomes when it is segmented: consecutive identifications and sequence numbers; CWR on the first
  /// only (RFC 3168 §6.1.2), FIN and PSH on the last only.
  public func segments(size: Int) -> [ReferencePacket] {
    let count = max(1, (payload.count + size - 1) / size)
    return (0..<count).map { index in
      let start = index * size
      var segment = self
      segment.payload = Array(payload[start..<min(start + size, payload.count)])
      segment.identification = (identification + index) & 0xFFFF
      segment.sequence = (sequence + start) & 0xFFFF_FFFF
      if index > 0 { segment.flags &= 0x7F }
      if index + 1 < count { segment.flags &= 0xF6 }
      return segment
    }
  }

  /// Checks everything a receiver would check in `frame`, one of this packet's segments.
  public func isValid(_ frame: [UInt8], checkTransport: Bool = true) -> Bool {
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

/// RFC 1071 word by word, as its text has it.
public func naiveChecksum(_ bytes: [UInt8]) -> UInt16 {
  var sum: UInt32 = 0
  var index = 0
  while index < bytes.count {
    let low = index + 1 < bytes.count ? bytes[index + 1] : 0
    sum += UInt32(bytes[index]) << 8 | UInt32(low)
    sum = (sum & 0xFFFF) + (sum >> 16)
    index += 2
  }
  return ~UInt16(sum)
}

public func bigEndian(_ value: Int, bytes: Int) -> [UInt8] {
  (0..<bytes).reversed().map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
}

public func number(_ bytes: [UInt8], _ offset: Int, _ count: Int = 2) -> Int {
  bytes[offset..<offset + count].reduce(0) { $0 << 8 | Int($1) }
}

extension SeededRandom {
  public mutating func bytes(_ count: Int) -> [UInt8] {
    (0..<count).map { _ in UInt8.random(in: 0...255, using: &self) }
  }
}
