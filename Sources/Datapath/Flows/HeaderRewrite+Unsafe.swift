// Writing a rewritten header
// ==========================
//
// The private bytes of a frame are copied to a slot of the header arena, tags taken off and put on the way, and the
// fields that change are then written there, at the places the walk found in the original:
//
//     original   [ addresses | popped tags |             | rest of the private bytes ]
//     slot       [ addresses |             | pushed tags | rest of the private bytes ]
//                                                        ^ moved by `shift` from here on
//
// Checksums are updated by what changed under them, so that nothing but headers is looked at, and a checksum that was
// wrong stays wrong. A partial checksum's field holds the sum of the pseudo-header: new addresses change it, and
// whatever is behind it will be summed later. A header that is not there, or not valid, is not written: what Open
// vSwitch's translation leaves alone is left alone, such as packets of IP protocol 0.
//
// Where Open vSwitch's userspace datapath spoils a packet, this does not: in an IPv4 fragment other than the first it
// updates a checksum where payload is; behind an IPv6 routing header with segments left, or a fragment header of a
// packet in one piece, it leaves the checksum as it was. What cannot be right is as wrong as there: the CRC of SCTP's
// first fragment, which covers bytes that come later.

import Flow
import Packet

/// A header that has been written.
struct RewrittenHeader {
  /// Its bytes; 0 when more of the frame has to be private first, up to `HeaderWalk.walkedLength`.
  var length: Int
  var offload: Offload
}

enum HeaderRewrite {
  /// The longest private part that can be rewritten: two tags more fit the slot.
  @inline(__always) static var longestHeader: Int { HeaderArena.slotLength &- 8 }

  /// Writes the first bytes of a frame, rewritten, to `slot`. What followed the private bytes follows the header.
  ///
  /// - Parameters:
  ///   - header: the frame's first bytes, private.
  ///   - count: how many there are: 14 to `longestHeader`.
  ///   - frameLength: bytes of the whole frame.
  ///   - offload: consistent with the frame.
  ///   - slot: `HeaderArena.slotLength` bytes, elsewhere.
  // SAFETY: `count` is compared with both bounds; 12 + 4 * popped <= count, so that count + 8 bytes are written at most.
  // Fields are written where the walk found them readable before `count`.
  static func write(
    _ rewrite: UnsafePointer<PreparedRewrite>, _ header: UnsafeRawPointer, count: Int, frameLength: Int,
    offload: Offload, to slot: UnsafeMutableRawPointer
  ) -> RewrittenHeader {
    let failure = RewrittenHeader(length: 0, offload: offload)
    guard count >= 14, count <= longestHeader else { return failure }
    var start = 12
    let end = 12 &+ 4 &* rewrite.pointee.poppedTags
    while start < end, isTag(header.network16(start)), start &+ 6 <= frameLength {
      guard start &+ 6 <= count else { return failure }
      start = start &+ 4
    }
    let target = 12 &+ 4 &* rewrite.pointee.pushedTags
    let shift = target &- start
    slot.copyMemory(from: header, byteCount: 12)
    slot.setNetwork64(12, rewrite.pointee.pushed)
    (slot + target).copyMemory(from: header + start, byteCount: count &- start)
    if rewrite.pointee.changesEthernet { writeEthernet(rewrite, header, slot) }
    if rewrite.pointee.changesTag, isTag(header.network16(12)), frameLength >= 18 {
      guard count >= 18 else { return failure }
      writeTag(rewrite, header, slot)
    }
    if rewrite.pointee.changesNetwork {
      let number = HeaderWalk.plainProtocol(header, count: count, frameLength: frameLength)
      if number != 0 {
        let walk = HeaderWalk(plain: number, header, count: count)
        RewrittenPacket(original: header, bytes: slot + shift, walk: walk, offload: offload).writeIPv4(
          rewrite)
      } else {
        let isDone = writeNetwork(
          rewrite, header, count: count, frameLength: frameLength, offload: offload, to: slot + shift)
        guard isDone else { return failure }
      }
    }
    return RewrittenHeader(
      length: count &+ shift, offload: shift == 0 ? offload : offload.shifted(by: shift))
  }

  @inline(__always)
  private static func isTag(_ type: UInt16) -> Bool { type == 0x8100 || type == 0x88A8 }

  // SAFETY: the slot holds 14 bytes at least.
  @inline(__always)
  private static func writeEthernet(
    _ rewrite: UnsafePointer<PreparedRewrite>, _ header: UnsafeRawPointer, _ slot: UnsafeMutableRawPointer
  ) {
    let destination = rewrite.pointee.change(FlowWord.ethernetDestination).applied(to: header.network64(0))
    let source = rewrite.pointee.change(FlowWord.ethernetSource).applied(to: header.network64(6))
    slot.setAddress(0, destination >> 16)
    slot.setAddress(6, source >> 16)
  }

  /// A new TCI is a new tag: its drop eligible bit is 0.
  // SAFETY: the slot holds 18 bytes at least.
  private static func writeTag(
    _ rewrite: UnsafePointer<PreparedRewrite>, _ header: UnsafeRawPointer, _ slot: UnsafeMutableRawPointer
  ) {
    let old = UInt64(header.network16(14)) << 32
    let new = rewrite.pointee.change(FlowWord.tags).applied(to: old)
    if old != new { slot.setNetwork16(14, UInt16(truncatingIfNeeded: new >> 32) & ~0x1000) }
  }

  /// Writes what changes behind the tags, whatever the frame is; false when more of it has to be private first.
  ///
  /// - Parameter bytes: the frame's copy, as if no tag had been taken off or put on.
  // SAFETY: HeaderWalk reads `count` bytes at most.
  @inline(never)
  private static func writeNetwork(
    _ rewrite: UnsafePointer<PreparedRewrite>, _ header: UnsafeRawPointer, count: Int, frameLength: Int,
    offload: Offload, to bytes: UnsafeMutableRawPointer
  ) -> Bool {
    var walk = HeaderWalk(header, count: count, frameLength: frameLength)
    var option = 0
    if !rewrite.pointee.change(FlowWord.arpSource).isNothing
      || !rewrite.pointee.change(FlowWord.arpTarget).isNothing
    {
      option = walk.neighborOptions(header)?.first ?? 0
    }
    guard !walk.needsMore else { return false }
    let packet = RewrittenPacket(
      original: header, bytes: bytes, walk: walk, offload: offload, neighborOption: option)
    switch walk.network {
    case .ipv4: packet.writeIPv4(rewrite)
    case .ipv6: packet.writeIPv6(rewrite)
    case .arp: packet.writeARP(rewrite)
    case .none: break
    }
    return true
  }
}

/// A packet being rewritten, at the offsets it had in the frame it came in.
private struct RewrittenPacket {
  /// Read, rather than `bytes`: those were only just stored, in other pieces than they would be loaded in.
  let original: UnsafeRawPointer
  /// Written.
  let bytes: UnsafeMutableRawPointer
  let walk: HeaderWalk
  let offload: Offload
  /// Where the link-layer address to write is in a neighbour solicitation or advertisement, or 0.
  var neighborOption = 0

  // SAFETY: for all that follows: HeaderWalk has found the headers it names whole and in the private bytes, which are
  // copied to `bytes` at the same offsets.
  @inline(__always) private var oldNetwork: UnsafeRawPointer { original + walk.networkOffset }
  @inline(__always) private var oldTransport: UnsafeRawPointer { original + walk.transportOffset }
  @inline(__always) private var network: UnsafeMutableRawPointer { bytes + walk.networkOffset }
  @inline(__always) private var transport: UnsafeMutableRawPointer { bytes + walk.transportOffset }

  // MARK: Network

  // SAFETY: as above.
  @inline(__always)
  func writeIPv4(_ rewrite: UnsafePointer<PreparedRewrite>) {
    guard walk.protocolNumber != 0 else { return }
    let header = oldNetwork
    let oldAddresses = header.network64(12)
    let newAddresses = rewrite.pointee.change(FlowWord.ipv4).applied(to: oldAddresses)
    var addresses = ChecksumDelta()
    addresses.replace(oldAddresses, with: newAddresses)
    network.setNetwork64(12, newAddresses)

    let service = UInt64(header.network16(0))
    let life = UInt64(header.network16(8))
    let old = (service & 0xFF) << 24 | (life & 0xFF00) << 8
    let new = rewrite.pointee.change(FlowWord.transport).applied(to: old)
    let newService = service & 0xFF00 | new >> 24 & 0xFF
    let newLife = (new >> 16 & 0xFF) << 8 | life & 0xFF
    var others = ChecksumDelta()
    others.replace(service << 16 | life, with: newService << 16 | newLife)
    network.setNetwork16(0, UInt16(truncatingIfNeeded: newService))
    network.setNetwork16(8, UInt16(truncatingIfNeeded: newLife))

    let all = addresses + others
    if !all.isNothing { network.setNetwork16(10, all.applied(toChecksum: header.network16(10))) }
    writeTransport(rewrite, addresses)
  }

  // SAFETY: as above.
  @inline(__always)
  func writeIPv6(_ rewrite: UnsafePointer<PreparedRewrite>) {
    guard walk.protocolNumber != 0 else { return }
    let header = oldNetwork
    var addresses = ChecksumDelta()
    for index in 0..<4 {
      let old = header.network64(8 &+ 8 &* index)
      let new = rewrite.pointee.change(FlowWord.ipv6Source &+ index).applied(to: old)
      // The destination that the checksum covers is in the routing header.
      if index < 2 || !walk.isSourceRouted { addresses.replace(old, with: new) }
      network.setNetwork64(8 &+ 8 &* index, new)
    }
    let first = UInt64(header.network32(0))
    let old = (first >> 20 & 0xFF) << 24 | UInt64(header.byte(7)) << 16
    let new = rewrite.pointee.change(FlowWord.transport).applied(to: old)
    let label = rewrite.pointee.change(FlowWord.ipv6Label).applied(to: (first & 0xF_FFFF) << 32) >> 32
    network.setNetwork32(
      0, UInt32(truncatingIfNeeded: first & 0xF000_0000 | (new >> 24 & 0xFF) << 20 | label))
    network.setByte(7, UInt8(truncatingIfNeeded: new >> 16))
    writeTransport(rewrite, addresses)
  }

  /// RARP can be matched, but is not written.
  // SAFETY: as above.
  @inline(__always)
  func writeARP(_ rewrite: UnsafePointer<PreparedRewrite>) {
    let old = UInt64(walk.protocolNumber)
    let operation = rewrite.pointee.change(FlowWord.ethernetDestination).applied(to: old << 8) >> 8 & 0xFF
    guard walk.etherType == 0x0806, operation != 0 else { return }
    let header = oldNetwork
    network.setNetwork16(6, UInt16(truncatingIfNeeded: operation))
    let protocols = rewrite.pointee.change(FlowWord.ipv4).applied(
      to: UInt64(header.network32(14)) << 32 | UInt64(header.network32(24)))
    network.setNetwork32(14, UInt32(truncatingIfNeeded: protocols >> 32))
    network.setNetwork32(24, UInt32(truncatingIfNeeded: protocols))
    replaceAddress(walk.networkOffset &+ 8, rewrite.pointee.change(FlowWord.arpSource))
    replaceAddress(walk.networkOffset &+ 18, rewrite.pointee.change(FlowWord.arpTarget))
  }

  /// Writes the Ethernet address at `offset`; returns what that changes in a sum.
  // SAFETY: as above.
  @inline(__always) @discardableResult
  private func replaceAddress(_ offset: Int, _ change: PreparedRewrite.Change) -> ChecksumDelta {
    let old = original.address(offset)
    let new = change.applied(to: old << 16) >> 16
    var delta = ChecksumDelta()
    delta.replace(old, with: new)
    bytes.setAddress(offset, new)
    return delta
  }

  // MARK: Transport

  /// - Parameter addresses: what changed in the pseudo-header.
  // SAFETY: as above.
  @inline(__always)
  private func writeTransport(_ rewrite: UnsafePointer<PreparedRewrite>, _ addresses: ChecksumDelta) {
    let length = walk.transportLength
    let change = rewrite.pointee.change(FlowWord.transport)
    switch walk.protocolNumber {
    case HeaderWalk.IPProtocol.tcp:
      if length >= 20 { update(16, addresses, replacePorts(change)) }
    case HeaderWalk.IPProtocol.udp:
      if length >= 8 { update(6, addresses, replacePorts(change)) }
    case HeaderWalk.IPProtocol.sctp:
      if walk.hasTransport { writeSCTP(change) }
    case HeaderWalk.IPProtocol.icmp where walk.network == .ipv4:
      if walk.hasTransport { update(2, ChecksumDelta(), replaceMessage(change)) }
    case HeaderWalk.IPProtocol.icmpv6 where walk.network == .ipv6:
      guard length >= 4 else { return }
      let target = replaceNeighbor(rewrite)
      update(2, addresses, target + (walk.hasTransport ? replaceMessage(change) : ChecksumDelta()))
    default: break
    }
  }

  /// Updates the checksum in the transport header's field `field`.
  // SAFETY: as above; callers have compared the field's end with the header's length.
  @inline(__always)
  private func update(_ field: Int, _ addresses: ChecksumDelta, _ own: ChecksumDelta) {
    let old = oldTransport.network16(field)
    if isPartial(field) {
      if !addresses.isNothing { transport.setNetwork16(field, addresses.applied(toSum: old)) }
      return
    }
    let isUDP = walk.protocolNumber == HeaderWalk.IPProtocol.udp
    let all = addresses + own
    // In UDP 0 means that there is no checksum (RFC 768).
    guard !all.isNothing, !isUDP || old != 0 else { return }
    let new = all.applied(toChecksum: old)
    transport.setNetwork16(field, isUDP && new == 0 ? 0xFFFF : new)
  }

  /// Whether the checksum at `field` of the transport header is left to be completed.
  @inline(__always)
  private func isPartial(_ field: Int) -> Bool {
    offload.needsChecksum && Int(offload.checksumStart) == walk.transportOffset
      && Int(offload.checksumOffset) == field
  }

  // SAFETY: as above.
  @inline(__always)
  private func replacePorts(_ change: PreparedRewrite.Change) -> ChecksumDelta {
    var delta = ChecksumDelta()
    guard walk.hasTransport else { return delta }
    let old = UInt64(oldTransport.network32(0))
    let new = change.applied(to: old << 32) >> 32
    delta.replace(old, with: new)
    transport.setNetwork32(0, UInt32(truncatingIfNeeded: new))
    return delta
  }

  /// ICMP's type and code.
  // SAFETY: as above.
  @inline(__always)
  private func replaceMessage(_ change: PreparedRewrite.Change) -> ChecksumDelta {
    let old = UInt64(oldTransport.network16(0))
    let word = change.applied(to: (old & 0xFF00) << 40 | (old & 0xFF) << 32)
    let new = (word >> 48 & 0xFF) << 8 | word >> 32 & 0xFF
    var delta = ChecksumDelta()
    delta.replace(old, with: new)
    transport.setNetwork16(0, UInt16(truncatingIfNeeded: new))
    return delta
  }

  // SAFETY: as above: of a message that long, 24 bytes and the option were found readable.
  @inline(__always)
  private func replaceNeighbor(_ rewrite: UnsafePointer<PreparedRewrite>) -> ChecksumDelta {
    var delta = ChecksumDelta()
    guard walk.transportLength >= 24, walk.isNeighborDiscovery(original) else { return delta }
    for index in 0..<2 {
      let old = oldTransport.network64(8 &+ 8 &* index)
      let new = rewrite.pointee.change(FlowWord.ndTarget &+ index).applied(to: old)
      delta.replace(old, with: new)
      transport.setNetwork64(8 &+ 8 &* index, new)
    }
    guard neighborOption != 0 else { return delta }
    let isSource = original.byte(neighborOption) == NeighborOptions.sourceAddress
    let word = isSource ? FlowWord.arpSource : FlowWord.arpTarget
    return delta + replaceAddress(neighborOption &+ 2, rewrite.pointee.change(word))
  }

  // SAFETY: as above.
  @inline(never)
  private func writeSCTP(_ change: PreparedRewrite.Change) {
    let old = oldTransport.network32(0)
    let new = UInt32(truncatingIfNeeded: change.applied(to: UInt64(old) << 32) >> 32)
    guard old != new else { return }
    transport.setNetwork32(0, new)
    guard !isPartial(8) else { return }
    let difference = CRC32C.change((old ^ new).byteSwapped, length: walk.transportLength)
    // The field is little-endian, unlike all others.
    let checksum = oldTransport.network32(8)
    transport.setNetwork32(8, checksum ^ difference.byteSwapped)
  }
}
