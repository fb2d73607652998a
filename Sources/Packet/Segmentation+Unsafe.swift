// Offloads in software
// ====================
//
// A frame may arrive with work left for hardware: a checksum to complete, a large payload to cut into segments. A
// receiver that can do it gets the frame as it is; for any other `resolve` does the work:
//
//     frame     [ headers | payload ............................................ ]
//     segments  [ headers'| ......... ] [ headers'| ......... ] [ headers'| ... ]
//
// Headers are made in an arena. Payload is never copied: a segment names a range of the source frame. Its bytes are
// read once for the checksum, in place; a sender that changes them meanwhile spoils its own checksum and nothing else.
//
// All that the sender claims is checked: against the frame's length (csum_start, csum_offset, hdr_len), against its
// headers (gso_type), against bounds (gso_size, number of segments). Header lengths come from the headers themselves,
// read from a private copy; `hdr_len` is never used.

/// Completes checksums and segments frames for receivers that cannot.
public enum SoftwareOffload {
  /// More segments than any real frame has: 64 KiB at the 64-byte payloads of the smallest path MTU.
  @inlinable public static var maximumSegments: Int { 1024 }

  public enum Outcome: Sendable {
    /// Everything was emitted.
    case resolved
    /// The request contradicts the frame; nothing was emitted.
    case malformed
    /// The arena has too few slots left; nothing was emitted. Transmit what uses it, reset it, try again.
    case arenaFull
  }

  /// Emits what a receiver with capabilities `receiver` takes in place of `outgoing`: one frame or its segments.
  ///
  /// - Parameters:
  ///   - batch: holds the received frame `outgoing` is made of.
  ///   - headers: where emitted headers live until the caller resets it.
  public static func resolve(
    _ outgoing: Outgoing, in batch: borrowing Batch, toward receiver: OffloadCapabilities,
    headers: inout HeaderArena, emit: (Outgoing) -> Void
  ) -> Outcome {
    guard !receiver.take(outgoing.offload, length: outgoing.length) else {
      emit(outgoing)
      return .resolved
    }
    guard Int(outgoing.headerLength) <= HeaderArena.slotLength else { return .malformed }
    if outgoing.offload.isGSO {
      return segment(outgoing, in: batch, toward: receiver, headers: &headers, emit: emit)
    }
    return complete(outgoing, in: batch, headers: &headers, emit: emit)
  }

  /// Bytes of `outgoing` behind its Ethernet header and one tag: what an MTU limits, as Linux and its drivers count it.
  /// Of a GSO frame, those of its longest segment, whoever cuts it; nil when its headers cannot be followed.
  // SAFETY: HeaderLayout reads no more than the bytes it is told of; the copy takes at most `slotLength`.
  public static func networkLength(_ outgoing: Outgoing, in batch: borrowing Batch) -> Int? {
    guard let layout = HeaderLayout(outgoing.header, count: Int(outgoing.headerLength)) else { return nil }
    let start = EthernetHeader.length &+ (layout.tagCount > 0 ? VLANTag.length : 0)
    guard outgoing.offload.isGSO else { return outgoing.length &- start }
    let size = Int(outgoing.offload.gsoSize)
    if let payload = layout.payloadOffset { return min(outgoing.length, payload &+ size) &- start }
    // Headers longer than the private part: IPv6 behind tags, TCP options.
    let known = min(outgoing.length, HeaderArena.slotLength)
    return withUnsafeTemporaryAllocation(byteCount: HeaderArena.slotLength, alignment: 8) { copy -> Int? in
      copyHeader(outgoing, in: batch, count: known, to: copy.baseAddress!)
      guard let payload = HeaderLayout(copy.baseAddress!, count: known)?.payloadOffset else { return nil }
      return min(outgoing.length, payload &+ size) &- start
    }
  }

  // MARK: Checksum

  /// Completes a partial checksum, whatever protocol it belongs to.
  // SAFETY: the field ends within the slot and within the frame before either is touched.
  private static func complete(
    _ outgoing: Outgoing, in batch: borrowing Batch, headers: inout HeaderArena, emit: (Outgoing) -> Void
  ) -> Outcome {
    let start = Int(outgoing.offload.checksumStart)
    let field = start &+ Int(outgoing.offload.checksumOffset)
    guard isChecksumInside(outgoing.offload, outgoing.length) else { return .malformed }
    guard headers.remaining > 0 else { return .arenaFull }

    let header = headers.take()
    let length = max(Int(outgoing.headerLength), field &+ 2)
    copyHeader(outgoing, in: batch, count: length, to: header)
    var finished = outgoing
    finished.header = UnsafeRawPointer(header)
    finished.headerLength = UInt32(length)
    finished.sourceOffset = outgoing.sourceOffset &+ (finished.headerLength &- outgoing.headerLength)
    finished.sourceLength = outgoing.sourceLength &- (finished.headerLength &- outgoing.headerLength)
    finished.offload = .none

    var checksum = Checksum()
    if start < length { checksum.add(header + start, count: length &- start) }
    addSource(finished, in: batch, to: &checksum)
    let isUDP = outgoing.offload.checksumOffset == 6
    header.setBigEndian16(field, isUDP ? checksum.datagramValue : checksum.value)
    emit(finished)
    return .resolved
  }

  // MARK: Segmentation

  /// A frame to segment, as far as it is the same for all segments.
  private struct Plan {
    var layout: HeaderLayout
    var network: HeaderLayout.Network
    var isTCP: Bool
    var transportOffset: Int
    /// Length of all headers.
    var headerLength: Int
    var payloadLength: Int
    /// Payload bytes per segment.
    var size: Int
    var segments: Int
    /// Receivers that complete checksums are left to.
    var leavesChecksum: Bool
    /// UDP over IPv4 without a checksum stays so.
    var hasChecksum: Bool

    var checksumField: Int { transportOffset &+ (isTCP ? 16 : 6) }
  }

  // SAFETY: `original` and each slot have `slotLength` bytes, and `plan` bounds every offset by that.
  private static func segment(
    _ outgoing: Outgoing, in batch: borrowing Batch, toward receiver: OffloadCapabilities,
    headers: inout HeaderArena, emit: (Outgoing) -> Void
  ) -> Outcome {
    guard headers.remaining > 0 else { return .arenaFull }
    let before = headers.used
    let original = headers.take()
    let known = min(outgoing.length, HeaderArena.slotLength)
    copyHeader(outgoing, in: batch, count: known, to: original)
    guard let plan = plan(outgoing, original, known, toward: receiver) else {
      headers.giveBack(to: before)
      return .malformed
    }
    guard headers.remaining >= plan.segments else {
      headers.giveBack(to: before)
      return .arenaFull
    }
    for index in 0..<plan.segments {
      emit(makeSegment(index, plan, outgoing, original, in: batch, header: headers.take()))
    }
    return .resolved
  }

  // SAFETY: HeaderLayout reads `known` bytes at most; the two checksum bytes lie before `payloadOffset <= known`.
  private static func plan(
    _ outgoing: Outgoing, _ original: UnsafeMutableRawPointer, _ known: Int,
    toward receiver: OffloadCapabilities
  ) -> Plan? {
    let offload = outgoing.offload
    guard isChecksumInside(offload, outgoing.length), offload.gsoSize > 0,
      let layout = HeaderLayout(original, count: known), matches(offload, layout, isPartial: false),
      let network = layout.network, let transportOffset = layout.transportOffset,
      let headerLength = layout.payloadOffset
    else { return nil }
    let size = Int(offload.gsoSize)
    let payloadLength = outgoing.length &- headerLength
    let segments = max(1, (payloadLength &+ size &- 1) / size)
    // The length fields of IP and UDP are 16 bits wide.
    guard segments <= maximumSegments, headerLength &+ min(size, payloadLength) <= 65_535 else { return nil }
    let isTCP = layout.transportProtocol == HeaderLayout.IPProtocol.tcp
    let hasChecksum =
      isTCP || offload.needsChecksum || network == .ipv6
      || UnsafeRawPointer(original).bigEndian16(transportOffset &+ 6) != 0
    return Plan(
      layout: layout, network: network, isTCP: isTCP, transportOffset: transportOffset,
      headerLength: headerLength, payloadLength: payloadLength, size: size, segments: segments,
      leavesChecksum: receiver.contains(.checksum) && hasChecksum, hasChecksum: hasChecksum)
  }

  /// Segment `index`: its headers in `header`, then the bytes of its payload that were private already, then a range
  /// of the source.
  // SAFETY: headers take `plan.headerLength` bytes of the slot; private payload lies within the original's
  // `outgoing.headerLength`, so both together fit a slot.
  private static func makeSegment(
    _ index: Int, _ plan: Plan, _ outgoing: Outgoing, _ original: UnsafeRawPointer,
    in batch: borrowing Batch, header: UnsafeMutableRawPointer
  ) -> Outgoing {
    let start = plan.headerLength &+ index &* plan.size
    let length = min(plan.size, plan.headerLength &+ plan.payloadLength &- start)
    header.copyMemory(from: original, byteCount: plan.headerLength)
    let privateEnd = min(start &+ length, Int(outgoing.headerLength))
    let privateLength = max(0, privateEnd &- start)
    (header + plan.headerLength).copyMemory(from: original + start, byteCount: privateLength)

    var segment = outgoing
    segment.header = UnsafeRawPointer(header)
    segment.headerLength = UInt32(plan.headerLength &+ privateLength)
    let skipped = max(0, start &+ privateLength &- Int(outgoing.headerLength))
    segment.sourceOffset = outgoing.sourceOffset &+ UInt32(skipped)
    segment.sourceLength = UInt32(length &- privateLength)
    writeNetworkHeader(header, plan, index: index, payload: length)
    if plan.isTCP {
      writeTCPHeader(header, plan, index: index)
    } else {
      header.setBigEndian16(plan.transportOffset &+ 4, UInt16(truncatingIfNeeded: 8 &+ length))
    }
    segment.offload = writeChecksum(header, plan, segment, in: batch, payload: length)
    return segment
  }

  /// Total length and identification (IPv4), or payload length (IPv6).
  // SAFETY: the IP header lies before the transport header in the slot.
  private static func writeNetworkHeader(
    _ header: UnsafeMutableRawPointer, _ plan: Plan, index: Int, payload: Int
  ) {
    let offset = plan.layout.networkOffset
    let total = plan.headerLength &- offset &+ payload
    switch plan.network {
    case .ipv4:
      header.setBigEndian16(offset &+ 2, UInt16(truncatingIfNeeded: total))
      let identification = UnsafeRawPointer(header).bigEndian16(offset &+ 4)
      header.setBigEndian16(offset &+ 4, identification &+ UInt16(truncatingIfNeeded: index))
      header.setBigEndian16(offset &+ 10, 0)
      var checksum = Checksum()
      checksum.add(header + offset, count: plan.transportOffset &- offset)
      header.setBigEndian16(offset &+ 10, checksum.value)
    case .ipv6:
      header.setBigEndian16(offset &+ 4, UInt16(truncatingIfNeeded: total &- 40))
    }
  }

  /// Sequence number; CWR stays with the first segment (RFC 3168 §6.1.2), FIN and PSH with the last.
  // SAFETY: the TCP header's 20 bytes lie before `plan.headerLength`.
  private static func writeTCPHeader(_ header: UnsafeMutableRawPointer, _ plan: Plan, index: Int) {
    let sequence = UnsafeRawPointer(header).bigEndian32(plan.transportOffset &+ 4)
    let advance = UInt32(truncatingIfNeeded: index &* plan.size)
    header.setBigEndian32(plan.transportOffset &+ 4, sequence &+ advance)
    var flags = UnsafeRawPointer(header).byte(plan.transportOffset &+ 13)
    if index > 0 { flags &= ~0x80 }
    if index &+ 1 < plan.segments { flags &= ~0x09 }
    header.storeBytes(of: flags, toByteOffset: plan.transportOffset &+ 13, as: UInt8.self)
  }

  /// The whole checksum, or the pseudo-header's sum and a request to complete it.
  // SAFETY: the checksum field lies before `plan.headerLength`.
  private static func writeChecksum(
    _ header: UnsafeMutableRawPointer, _ plan: Plan, _ segment: Outgoing, in batch: borrowing Batch,
    payload: Int
  ) -> Offload {
    guard plan.hasChecksum else { return .none }
    let transportLength = plan.headerLength &- plan.transportOffset &+ payload
    var checksum = Checksum()
    checksum.addPseudoHeader(
      header + plan.layout.networkOffset, plan.network,
      protocol: plan.isTCP ? HeaderLayout.IPProtocol.tcp : HeaderLayout.IPProtocol.udp,
      length: transportLength)
    if plan.leavesChecksum {
      header.setBigEndian16(plan.checksumField, checksum.folded)
      return Offload(
        flags: Offload.Flag.needsChecksum, checksumStart: UInt16(plan.transportOffset),
        checksumOffset: UInt16(plan.checksumField &- plan.transportOffset))
    }
    header.setBigEndian16(plan.checksumField, 0)
    checksum.add(
      header + plan.transportOffset, count: Int(segment.headerLength) &- plan.transportOffset)
    addSource(segment, in: batch, to: &checksum)
    header.setBigEndian16(plan.checksumField, plan.isTCP ? checksum.value : checksum.datagramValue)
    return .none
  }

  // MARK: Pieces

  /// Copies the first `count` bytes of what `outgoing` describes.
  // SAFETY: `count <= outgoing.length` and `count <= slotLength`, as callers compute it.
  private static func copyHeader(
    _ outgoing: Outgoing, in batch: borrowing Batch, count: Int, to target: UnsafeMutableRawPointer
  ) {
    let given = min(count, Int(outgoing.headerLength))
    target.copyMemory(from: outgoing.header, byteCount: given)
    batch.copy(
      batch.frames[Int(outgoing.frame)], from: Int(outgoing.sourceOffset), count: count &- given,
      to: target + given)
  }

  /// Adds the source bytes of `outgoing`, which follow its header, to `checksum`.
  // SAFETY: the range lies in the frame, as it does for every Outgoing.
  private static func addSource(_ outgoing: Outgoing, in batch: borrowing Batch, to checksum: inout Checksum)
  {
    batch.forEachPiece(
      batch.frames[Int(outgoing.frame)], from: Int(outgoing.sourceOffset), count: Int(outgoing.sourceLength)
    ) { piece, length in
      checksum.add(piece, count: length)
    }
  }
}

// MARK: Validity

extension SoftwareOffload {
  /// Whether a received frame's offload request can be true of it: to be asked once, before the request is passed on
  /// or carried out. Cheap for frames that ask for nothing.
  // SAFETY: the snapshot holds `headerLength` bytes.
  @inlinable @inline(__always)
  public static func isConsistent(_ frame: Frame) -> Bool {
    frame.offload.isNone
      || isConsistent(
        frame.offload, frameLength: Int(frame.length), header: frame.header,
        headerLength: Int(frame.headerLength))
  }

  /// The same for `header`, the first `headerLength` bytes of a frame of `frameLength` bytes.
  // SAFETY: HeaderLayout reads `headerLength` bytes at most.
  public static func isConsistent(
    _ offload: Offload, frameLength: Int, header: UnsafeRawPointer, headerLength: Int
  ) -> Bool {
    guard isChecksumInside(offload, frameLength) else { return false }
    guard offload.isGSO else { return true }
    guard offload.gsoSize > 0, Int(offload.headerLength) <= frameLength,
      let layout = HeaderLayout(header, count: headerLength)
    else { return false }
    // What reaches beyond the snapshot is decided by segmentation, which looks at a longer copy.
    return matches(offload, layout, isPartial: headerLength < frameLength)
  }

  /// Whether the checksum field lies behind the Ethernet header, inside the frame, and where a header can be.
  @usableFromInline
  static func isChecksumInside(_ offload: Offload, _ frameLength: Int) -> Bool {
    guard offload.needsChecksum else { return true }
    let start = Int(offload.checksumStart)
    let end = start &+ Int(offload.checksumOffset) &+ 2
    return start >= EthernetHeader.length && end <= frameLength && end <= HeaderArena.slotLength
  }

  /// TCP or UDP segmentation; the ECN bit goes with TCP only. IPv4 fragmentation (UFO) is offered by no port.
  private static func isKnown(_ offload: Offload) -> Bool {
    switch offload.gsoType & ~Offload.GSO.ecn {
    case Offload.GSO.tcp4, Offload.GSO.tcp6: true
    case Offload.GSO.udp: offload.gsoType & Offload.GSO.ecn == 0
    default: false
    }
  }

  /// Whether the GSO type and the checksum's place are those of the frame's transport header, as far as it is seen
  /// when the bytes walked are only a part of the frame.
  private static func matches(_ offload: Offload, _ layout: HeaderLayout, isPartial: Bool) -> Bool {
    guard isKnown(offload), !layout.isFragment else { return false }
    let type = offload.gsoType & ~Offload.GSO.ecn
    let isTCP = type != Offload.GSO.udp
    if let network = layout.network {
      if type == Offload.GSO.tcp4 && network != .ipv4 { return false }
      if type == Offload.GSO.tcp6 && network != .ipv6 { return false }
    }
    if let number = layout.transportProtocol {
      guard number == (isTCP ? HeaderLayout.IPProtocol.tcp : HeaderLayout.IPProtocol.udp) else {
        return false
      }
    }
    guard let transportOffset = layout.transportOffset else { return isPartial && layout.isTruncated }
    return !offload.needsChecksum
      || (Int(offload.checksumStart) == transportOffset && offload.checksumOffset == (isTCP ? 16 : 6))
  }
}
