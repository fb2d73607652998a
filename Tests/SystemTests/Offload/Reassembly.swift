import Packet
import PacketTesting

/// Puts a packet together again from what arrives of it, and says what is wrong with each part.
struct Reassembly {
  /// The packet as it should look where it arrives, if nothing had to be done to it.
  let packet: ReferencePacket
  /// Payload bytes per segment, where segmentation was asked for.
  let size: Int?
  let sink: OffloadStation
  /// Payload bytes that have arrived.
  private(set) var offset = 0
  private(set) var parts = 0

  init(_ packet: ReferencePacket, size: Int?, at sink: OffloadStation) {
    self.packet = packet
    self.size = size
    self.sink = sink
  }

  var segmentCount: Int { size.map { (packet.payload.count + $0 - 1) / $0 } ?? 1 }
  var isComplete: Bool { parts > 0 && offset == packet.payload.count }

  /// Takes the next part. Returns what is wrong with it, or nil.
  mutating func add(_ arrival: Arrival) -> String? {
    let length = arrival.bytes.count - packet.payloadOffset
    guard length >= 0, offset + length <= packet.payload.count, parts == 0 || length > 0 else {
      return "\(arrival.bytes.count) bytes after \(offset) of \(packet.payload.count) bytes of payload"
    }
    let part = expected(offset, length)
    let fault = faultyLength(arrival, length) ?? faultyRequest(arrival) ?? faultyBytes(arrival, part)
    offset += length
    parts += 1
    return fault.map { "part \(parts), \(length) bytes: \($0)" }
  }

  /// `length` bytes of payload from `offset` on, with the headers they should have.
  private func expected(_ offset: Int, _ length: Int) -> ReferencePacket {
    var part = packet
    part.payload = Array(packet.payload[offset..<offset + length])
    part.identification = (packet.identification + offset / (size ?? .max)) & 0xFFFF
    part.sequence = (packet.sequence + offset) & 0xFFFF_FFFF
    if offset > 0 { part.flags &= 0x7F }
    if offset + length < packet.payload.count { part.flags &= 0xF6 }
    return part
  }

  private func faultyLength(_ arrival: Arrival, _ length: Int) -> String? {
    let isLast = offset + length == packet.payload.count
    guard let size else { return isLast ? nil : "only a part of the packet" }
    if arrival.offload.isGSO { return length > size ? nil : "GSO of less than a segment" }
    if length > size { return "more than a segment of \(size)" }
    return isLast || length == size ? nil : "less than a segment of \(size)"
  }

  /// What is wrong with the work that is left.
  private func faultyRequest(_ arrival: Arrival) -> String? {
    let offload = arrival.offload
    if offload.isNone {
      return sink.isGuest && sink.kind.accepts.isEmpty && offload.word != 0 ? "a header of \(offload)" : nil
    }
    guard sink.kind.accepts.allow(offload) else { return "unfinished: \(offload)" }
    var wanted = packet.checksumRequest
    if offload.isGSO {
      guard let size else { return "GSO of a packet that is none: \(offload)" }
      wanted = packet.segmentationRequest(size: size)
      // The first part has CWR only if it should: its bytes are compared.
      if packet.flags & 0x80 != 0, packet.isTCP, parts == 0 { wanted.word |= UInt64(Offload.GSO.ecn) << 8 }
    }
    // hdr_len is a hint, which a kernel fills in as it likes.
    let hint: UInt64 = offload.isGSO ? 0xFFFF_0000 : 0xFFFF_FFFF_0000
    guard offload.word & ~hint == wanted.word & ~hint, offload.checksumOffset == wanted.checksumOffset else {
      return "\(offload) instead of \(wanted)"
    }
    return nil
  }

  private func faultyBytes(_ arrival: Arrival, _ part: ReferencePacket) -> String? {
    var expected = arrival.offload.needsChecksum ? part.bytes : part.finished
    if arrival.bytes == expected { return nil }
    // Linux writes 0 as 0xFFFF in TCP too, where receivers take either (RFC 1624 §3).
    let field = part.checksumField
    if !sink.isGuest, part.isTCP, number(expected, field) == 0, number(arrival.bytes, field) == 0xFFFF {
      expected.replaceSubrange(field..<field + 2, with: [0xFF, 0xFF])
      if arrival.bytes == expected { return nil }
    }
    guard let place = zip(arrival.bytes, expected).enumerated().first(where: { $1.0 != $1.1 })?.offset else {
      return "\(arrival.bytes.count) bytes instead of \(expected.count)"
    }
    let header = place < part.payloadOffset ? "header" : "payload"
    return "byte \(place) (\(header)) is \(arrival.bytes[place]) instead of \(expected[place]), "
      + "offload \(arrival.offload)"
  }
}
