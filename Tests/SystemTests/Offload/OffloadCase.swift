import Packet
import PacketTesting
import Seeded

/// A kind of packet, and what its sender leaves to be done.
struct OffloadCase {
  enum Request {
    case none
    case checksum
    /// Payload bytes per segment.
    case segments(Int)
  }

  let name: String
  let isIPv6: Bool
  let isTCP: Bool
  /// Bytes.
  let payload: Int
  let request: Request
  var flags: UInt8 = 0x18
  /// Bytes of TCP options: 12 for time stamps.
  var optionLength = 0
  var hasChecksum = true

  /// Every case, for devices of `mtu`.
  static func all(mtu: Int = 1500) -> [OffloadCase] { cases(isIPv6: false, mtu) + cases(isIPv6: true, mtu) }

  private static func cases(isIPv6: Bool, _ mtu: Int) -> [OffloadCase] {
    let version = isIPv6 ? "IPv6" : "IPv4"
    /// The largest TCP payload with time stamps, the largest UDP payload.
    let stream = mtu - (isIPv6 ? 40 : 20) - 32
    let datagram = mtu - (isIPv6 ? 40 : 20) - 8
    /// The largest there can be: 65,535 bytes in the length field of IP, and with IPv6 of UDP.
    let largest = 65_535 - (isIPv6 ? 0 : 20)
    func tcp(_ name: String, _ payload: Int, _ request: Request, flags: UInt8 = 0x18, options: Int = 12)
      -> OffloadCase
    {
      OffloadCase(
        name: "\(version) TCP \(name)", isIPv6: isIPv6, isTCP: true, payload: payload, request: request,
        flags: flags, optionLength: options)
    }
    func udp(_ name: String, _ payload: Int, _ request: Request, hasChecksum: Bool = true) -> OffloadCase {
      OffloadCase(
        name: "\(version) UDP \(name)", isIPv6: isIPv6, isTCP: false, payload: payload, request: request,
        hasChecksum: hasChecksum)
    }
    var cases = [
      tcp("plain", 1000, .none),
      tcp("plain, empty", 0, .none, flags: 0x10, options: 0),
      udp("plain", datagram, .none),
      tcp("partial checksum, odd", 1399, .checksum),
      tcp("partial checksum, MTU", stream, .checksum),
      udp("partial checksum, odd", 1, .checksum),
      udp("partial checksum, MTU", datagram, .checksum),
      tcp("GSO \(stream), one byte more", stream + 1, .segments(stream)),
      tcp("GSO 536, FIN and CWR", 9001, .segments(536), flags: 0x99, options: 0),
      tcp("GSO \(stream), 32,769", 32_769, .segments(stream), flags: 0x11),
      tcp("GSO \(stream), 64 KiB", largest - 32, .segments(stream)),
      udp("GSO 100", 3303, .segments(100)),
      udp("GSO 16, 200 datagrams", 16 * 199 + 5, .segments(16)),
      udp("GSO \(datagram), 64 KiB", largest - 8, .segments(datagram)),
    ]
    if !isIPv6 { cases.append(udp("without checksum", 999, .none, hasChecksum: false)) }
    return cases
  }

  /// Packets of a byte more than `mtu` lets through, whole or in segments.
  static func tooLong(mtu: Int) -> [OffloadCase] {
    [false, true].flatMap { isIPv6 in
      let version = isIPv6 ? "IPv6" : "IPv4"
      let stream = mtu + 1 - (isIPv6 ? 40 : 20) - 20
      let datagram = mtu + 1 - (isIPv6 ? 40 : 20) - 8
      func make(_ isTCP: Bool, _ payload: Int, _ request: Request) -> OffloadCase {
        OffloadCase(
          name: "\(version) too long", isIPv6: isIPv6, isTCP: isTCP, payload: payload, request: request)
      }
      return [
        make(false, datagram, .none), make(false, datagram, .checksum), make(true, stream, .checksum),
        make(true, stream, .segments(stream)), make(true, 30_000, .segments(stream)),
        make(false, 30_000, .segments(datagram)),
      ]
    }
  }

  /// Whether `source` can send it.
  func isPossible(from source: OffloadStation) -> Bool {
    if source.kind.isWire { return true }
    switch request {
    case .none: return true
    case .checksum: return source.kind.requests.contains(.checksum)
    case .segments(let size):
      // No kernel takes more than 128 datagrams in one; a guest may send them.
      return source.kind.requests.contains(isTCP ? .tcp4 : .udp)
        && (isTCP || source.isGuest || payload <= size * OffloadCapabilities.maximumDatagrams)
    }
  }

  var segmentSize: Int? { if case .segments(let size) = request { size } else { nil } }

  /// A packet from `source` to `mac`, told from all others by `number`, its source port.
  func packet(from source: OffloadStation, to mac: [UInt8], tags: [[UInt8]], number: Int) -> ReferencePacket {
    var packet = ReferencePacket()
    packet.destinationMAC = mac
    packet.sourceMAC = source.mac
    packet.tags = tags
    packet.isIPv6 = isIPv6
    packet.source = Self.address(source.mac, isIPv6)
    packet.destination = Self.address(mac, isIPv6)
    packet.isTCP = isTCP
    packet.sourcePort = number
    packet.destinationPort = 40_009
    packet.tcpOptions = Array(([1, 1, 8, 10] + [UInt8](repeating: 7, count: 8)).prefix(optionLength))
    packet.flags = flags
    // Both wrap around within the longest packets.
    packet.sequence = 0xFFFF_F000
    packet.identification = 0xFFF0
    packet.hasChecksum = hasChecksum
    let start = number * 97 % 4096
    packet.payload = Array(Self.noise[start..<start + payload])
    return packet
  }

  private static func address(_ mac: [UInt8], _ isIPv6: Bool) -> [UInt8] {
    isIPv6 ? [0xFD] + [UInt8](repeating: 0, count: 14) + [mac[5]] : [10, 0, 0, mac[5]]
  }

  private static let noise: [UInt8] = {
    var generator = SeededRandom(seed: 1)
    return generator.bytes(70_000)
  }()

  func offload(_ packet: ReferencePacket) -> Offload {
    switch request {
    case .none: return .none
    case .checksum: return packet.checksumRequest
    case .segments(let size):
      var request = packet.segmentationRequest(size: size)
      if isTCP && flags & 0x80 != 0 { request.word |= UInt64(Offload.GSO.ecn) << 8 }
      return request
    }
  }
}
