import CLinux
import Glibc
import Packet
import Synchronization

// A packet socket's bursts
// ========================
//
// One recvmmsg and, as a rule, one sendmmsg per burst. Received: the virtio-net header into a scratch area, the frame
// into the batch's buffer with room for a tag before it, because the kernel takes the outer VLAN tag out of the frame
// and hands it over as auxiliary data; it is put back, with the EtherType it had.
//
// Sent: piece lists straight from the source (GatherList). The queueing discipline is not bypassed: with the bypass,
// a GSO frame that the device cannot segment itself is dropped by the kernel instead of segmented.

/// The data face of a packet socket bound to one interface.
///
/// One thread receives while another may transmit; the two share nothing that either writes.
public struct PacketSocketIO: ~Copyable {
  /// Cleared by the control face, which then synchronises, before it touches `descriptor`.
  let isActive = Atomic<Bool>(false)
  var descriptor: Int32 = -1
  public let accepts: OffloadCapabilities

  private let received: UnsafeMutablePointer<cl_mmsghdr>
  /// Two vectors per received message: network header, frame.
  private let receiveVectors: UnsafeMutablePointer<iovec>
  /// Per received message, the network header and then the auxiliary data.
  private let receiveScratch: UnsafeMutableRawPointer
  private let sent: UnsafeMutablePointer<cl_mmsghdr>
  private let sentLengths: UnsafeMutablePointer<Int>
  private let gather: UnsafeMutablePointer<GatherList>

  private static var scratchStride: Int { 128 }
  private static var controlOffset: Int { 16 }
  private static var controlLength: Int { 112 }

  init(accepts: OffloadCapabilities) {
    self.accepts = accepts
    received = .allocate(capacity: Batch.capacity)
    received.initialize(repeating: cl_mmsghdr(), count: Batch.capacity)
    receiveVectors = .allocate(capacity: 2 * Batch.capacity)
    receiveVectors.initialize(repeating: iovec(), count: 2 * Batch.capacity)
    receiveScratch = .allocate(byteCount: Batch.capacity * Self.scratchStride, alignment: 64)
    sent = .allocate(capacity: Batch.capacity)
    sent.initialize(repeating: cl_mmsghdr(), count: Batch.capacity)
    sentLengths = .allocate(capacity: Batch.capacity)
    sentLengths.initialize(repeating: 0, count: Batch.capacity)
    gather = .allocate(capacity: 1)
    gather.initialize(to: GatherList())
  }

  deinit {
    received.deallocate()
    receiveVectors.deallocate()
    receiveScratch.deallocate()
    sent.deallocate()
    sentLengths.deallocate()
    gather.deinitialize(count: 1)
    gather.deallocate()
  }

  // MARK: Receiving

  // SAFETY: message `i` receives into `buffer(i)` from `VLANTag.length` on, and says how much it wrote.
  public func receive(queue: Int, into batch: inout Batch, _ counters: PortCounters) -> Int {
    guard isActive.load(ordering: .acquiring) else { return 0 }
    prepare(batch)
    let count = cl_receive_many(descriptor, received, UInt32(Batch.capacity))
    guard count > 0 else {
      // EINVAL: one frame whose offload cannot be expressed (a tunnel's), consumed by this call. What else can be
      // pending (ENETDOWN when the interface went down) is cleared by having been reported.
      if count < 0 && errno == EINVAL { counters.drop(.badOffload) }
      return 0
    }
    var bytes = 0
    for index in 0..<Int(count) {
      bytes = bytes &+ takeMessage(index, into: &batch, counters)
    }
    counters.add(.receivedFrames, batch.count)
    counters.add(.receivedBytes, bytes)
    return batch.count
  }

  // SAFETY: all indices are below `Batch.capacity`, for which everything was allocated.
  private func prepare(_ batch: borrowing Batch) {
    for index in 0..<Batch.capacity {
      let scratch = receiveScratch + index &* Self.scratchStride
      let vectors = receiveVectors + 2 &* index
      vectors[0] = iovec(iov_base: scratch, iov_len: GatherList.networkHeaderLength)
      vectors[1] = iovec(
        iov_base: batch.buffer(index) + VLANTag.length, iov_len: Batch.bufferStride &- VLANTag.length)
      received[index].header.msg_iov = vectors
      received[index].header.msg_iovlen = 2
      received[index].header.msg_control = scratch + Self.controlOffset
      received[index].header.msg_controllen = Self.controlLength
      received[index].header.msg_flags = 0
    }
  }

  /// Appends message `index` as a frame; returns the frame's bytes.
  // SAFETY: the frame begins `VLANTag.length` bytes into its buffer, so that a tag fits before it.
  private func takeMessage(_ index: Int, into batch: inout Batch, _ counters: PortCounters) -> Int {
    var length = Int(received[index].length) &- GatherList.networkHeaderLength
    let flags = received[index].header.msg_flags
    guard flags & Int32(truncatingIfNeeded: MSG_TRUNC) == 0, length <= Batch.maximumFrameLength else {
      counters.drop(.oversized)
      return 0
    }
    guard length >= EthernetHeader.length else {
      counters.drop(.runt)
      return 0
    }
    let scratch = receiveScratch + index &* Self.scratchStride
    var offload = Offload(
      word: UInt64(littleEndian: scratch.load(as: UInt64.self)),
      checksumOffset: UInt16(littleEndian: scratch.load(fromByteOffset: 8, as: UInt16.self)))
    var start = batch.buffer(index) + VLANTag.length
    var auxiliary = tpacket_auxdata()
    if cl_packet_auxdata(&received[index].header, &auxiliary) == 1,
      auxiliary.tp_status & UInt32(TP_STATUS_VLAN_VALID) != 0
    {
      start -= VLANTag.length
      length = length &+ VLANTag.length
      restoreTag(auxiliary, at: start)
      offload = offload.shifted(by: VLANTag.length)
    }
    batch.append(received: start, length: length, offload)
    return length
  }

  // SAFETY: the frame's addresses lie 4 bytes behind `start`; 16 bytes from `start` on are its own.
  private func restoreTag(_ auxiliary: tpacket_auxdata, at start: UnsafeMutableRawPointer) {
    let hasTPID = auxiliary.tp_status & UInt32(TP_STATUS_VLAN_TPID_VALID) != 0
    let tpid = hasTPID ? auxiliary.tp_vlan_tpid : VLANTag.TPID.customer
    memmove(start, start + VLANTag.length, EthernetHeader.addressesLength)
    start.storeBytes(of: tpid.bigEndian, toByteOffset: 12, as: UInt16.self)
    start.storeBytes(of: auxiliary.tp_vlan_tci.bigEndian, toByteOffset: 14, as: UInt16.self)
  }

  /// The buffers are the batch's own.
  public func release(queue: Int, _ batch: borrowing Batch, _ counters: PortCounters) {}

  // MARK: Transmitting

  // SAFETY: `indices` and what they index are the caller's, valid for `count`.
  public func transmit(
    queue: Int, _ frames: UnsafePointer<Outgoing>, _ indices: UnsafePointer<UInt16>, count: Int,
    from batch: borrowing Batch, _ counters: PortCounters
  ) {
    guard isActive.load(ordering: .acquiring) else {
      counters.drop(.notReady, count)
      return
    }
    gather.pointee.clear()
    for position in 0..<count {
      let outgoing = frames[Int(indices[position])]
      let segments = Int(batch.frames[Int(outgoing.frame)].segmentCount)
      if !gather.pointee.hasRoom(segments: segments) { sendGathered(counters) }
      let index = gather.pointee.frames
      let pieces = gather.pointee.append(outgoing, from: batch)
      sent[index].header.msg_iov = pieces.baseAddress
      sent[index].header.msg_iovlen = pieces.count
      sentLengths[index] = outgoing.length
    }
    sendGathered(counters)
  }

  /// Sends what was gathered. A frame that is refused is counted and the ones behind it are tried, unless the reason
  /// holds for them too.
  // SAFETY: `gather.frames` messages are filled in; the kernel answers EFAULT for source memory that went away.
  private func sendGathered(_ counters: PortCounters) {
    let total = gather.pointee.frames
    var next = 0
    var sentFrames = 0
    var bytes = 0
    while next < total {
      let count = Int(cl_send_many(descriptor, sent + next, UInt32(truncatingIfNeeded: total &- next)))
      if count > 0 {
        for index in next..<next &+ count { bytes = bytes &+ sentLengths[index] }
        sentFrames = sentFrames &+ count
        next = next &+ count
        continue
      }
      let code = count == 0 ? EAGAIN : errno
      if code == EINTR { continue }
      let (reason, isForAll) = Self.dropReason(code)
      let dropped = isForAll ? total &- next : 1
      counters.drop(reason, dropped)
      next = next &+ dropped
    }
    gather.pointee.clear()
    if sentFrames > 0 {
      counters.add(.transmittedFrames, sentFrames)
      counters.add(.transmittedBytes, bytes)
    }
  }

  /// Why the kernel refused a frame, and whether it would refuse the next one too.
  private static func dropReason(_ code: Int32) -> (DropReason, isForAll: Bool) {
    switch code {
    case EAGAIN: (.receiverFull, true)
    case ENOBUFS, ENOMEM: (.receiverFull, false)
    case ENETDOWN, ENXIO, ENODEV: (.notReady, true)
    case EMSGSIZE: (.exceedsMTU, false)
    default: (.deviceError, false)
    }
  }

  public func flush(queue: Int, _ counters: PortCounters) {}
  /// The descriptor is level triggered: frames that wait are announced.
  public func sleep(queue: Int) -> Bool { true }
  public func wake(queue: Int) {}
}

/// Owner of a packet socket's data face, for the control face.
final class PacketSocketFace {
  private let pointer: UnsafeMutablePointer<PacketSocketIO>

  init(accepts: OffloadCapabilities) {
    pointer = .allocate(capacity: 1)
    pointer.initialize(to: PacketSocketIO(accepts: accepts))
  }

  // SAFETY: the port lets go of its face only after it has deactivated it and synchronised.
  deinit {
    pointer.deinitialize(count: 1)
    pointer.deallocate()
  }

  var io: PortIO { .packetSocket(pointer) }

  /// Lets poll threads use `descriptor`.
  func activate(_ descriptor: Int32) {
    pointer.pointee.descriptor = descriptor
    pointer.pointee.isActive.store(true, ordering: .releasing)
  }

  /// Poll threads stop using the descriptor; true if they were. To be followed by `synchronize`.
  func deactivate() -> Bool { pointer.pointee.isActive.exchange(false, ordering: .releasing) }
}
