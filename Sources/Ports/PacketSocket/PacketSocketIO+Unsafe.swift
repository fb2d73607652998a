import CLinux
import Glibc
import Packet
import Synchronization

// A packet socket's bursts
// ========================
//
// One recvmmsg and, as a rule, one sendmmsg per burst. Received: the virtio-net header into scratch memory, the frame
// into the batch's buffer with room for a tag before it, because the kernel takes the outer VLAN tag out of the frame
// and hands it over as auxiliary data; it is put back, with the EtherType it had.
//
// Sent: piece lists straight from the source (GatherList).
//
// What was measured (TCP between two namespaces, 64 KiB frames, two processors for sender, switch and receiver; the
// kernel's bridge 14 Gbit/s in the same minutes, this 10 to 12) and decided:
//  * A mapped ring (TPACKET_V2, slots that hold a 64 KiB frame) gave 16 % more, because the sender's processor copies
//    into it. It was not taken: a slot is 68 KiB of memory that cannot be swapped, whatever the frame's size. A ring
//    that rides out a burst of 1,000 small frames would have 66 MiB per queue; the socket's buffer takes 5,000 in its
//    4 MiB, and those only while they wait. TPACKET_V3 packs frames, but hands a lone one over only when its timer of
//    at least 1 ms runs out.
//  * Buffers that put the payload of a TCP segment at a cache line, for both copies: 5 % more.
//  * Bursts of 4 or 8 instead of 32 large frames, and huge pages behind the buffers: no difference.
//  * PACKET_QDISC_BYPASS: no difference, and with it the kernel drops a GSO frame that the device cannot segment
//    itself instead of segmenting it.
//
// Several receive queues are as many sockets in one fanout group, which hashes each flow to one of them. Transmitting
// needs no queue of its own: sockets take messages from many threads, and what describes them is the thread's.

/// The data face of packet sockets bound to one interface, one socket per receive queue.
///
/// A thread may receive from each queue while any number of others transmit; they share nothing that any of them
/// writes.
public struct PacketSocketIO: ~Copyable {
  /// Cleared by the control face, which then synchronises, before it touches `descriptors`.
  let isActive = Atomic<Bool>(false)
  /// One per queue.
  let descriptors: UnsafeMutablePointer<Int32>
  let queueCount: Int
  public let accepts: OffloadCapabilities

  /// Where in its buffer a frame begins: 66 bytes of Ethernet, IPv4 and TCP headers further is a cache line.
  static var frameOffset: Int { 62 }

  init(queueCount: Int, accepts: OffloadCapabilities) {
    precondition(MessageScratch.fits)
    self.queueCount = queueCount
    self.accepts = accepts
    descriptors = .allocate(capacity: queueCount)
    descriptors.initialize(repeating: -1, count: queueCount)
  }

  deinit { descriptors.deallocate() }

  // MARK: Receiving

  // SAFETY: `queue` is below `queueCount`. Message `i` receives into `buffer(i)` from `frameOffset` on, and says how
  // much it wrote.
  public func receive(queue: Int, into batch: inout Batch, _ counters: PortCounters) -> Int {
    guard isActive.load(ordering: .acquiring) else { return 0 }
    let scratch = MessageScratch(batch)
    if scratch.received[0].header.msg_iov == nil { prepare(scratch, batch) }
    let count = Int(cl_receive_many(descriptors[queue], scratch.received, UInt32(Batch.capacity)))
    guard count > 0 else {
      // EINVAL: one frame whose offload cannot be expressed (a tunnel's), consumed by this call. What else can be
      // pending (ENETDOWN when the interface went down) is cleared by having been reported.
      if count < 0 && errno == EINVAL { counters.drop(.badOffload) }
      return 0
    }
    var bytes = 0
    for index in 0..<count {
      bytes = bytes &+ takeMessage(index, scratch, into: &batch, counters)
      scratch.received[index].header.msg_controllen = MessageScratch.auxiliaryStride
    }
    counters.add(.receivedFrames, batch.count)
    counters.add(.receivedBytes, bytes)
    return batch.count
  }

  /// Once per thread: the buffers are always the same, and the kernel alters nothing but `msg_controllen`.
  // SAFETY: all indices are below `Batch.capacity`, for which everything was laid out.
  @inline(never)
  private func prepare(_ scratch: MessageScratch, _ batch: borrowing Batch) {
    for index in 0..<Batch.capacity {
      let vectors = scratch.receiveVectors + 2 &* index
      vectors[0] = iovec(
        iov_base: scratch.receivedNetworkHeader(index), iov_len: MessageScratch.networkHeaderLength)
      vectors[1] = iovec(
        iov_base: batch.buffer(index) + Self.frameOffset, iov_len: Batch.bufferStride &- Self.frameOffset)
      var header = msghdr()
      header.msg_iov = vectors
      header.msg_iovlen = 2
      header.msg_control = scratch.auxiliary(index)
      header.msg_controllen = MessageScratch.auxiliaryStride
      scratch.received[index].header = header
    }
  }

  /// Appends message `index` as a frame; returns the frame's bytes.
  // SAFETY: the frame begins `frameOffset` bytes into its buffer, so that a tag fits before it.
  private func takeMessage(
    _ index: Int, _ scratch: MessageScratch, into batch: inout Batch, _ counters: PortCounters
  ) -> Int {
    var length = Int(scratch.received[index].length) &- MessageScratch.networkHeaderLength
    let flags = scratch.received[index].header.msg_flags
    guard flags & Int32(truncatingIfNeeded: MSG_TRUNC) == 0, length <= Batch.maximumFrameLength else {
      counters.drop(.oversized)
      return 0
    }
    guard length >= EthernetHeader.length else {
      counters.drop(.runt)
      return 0
    }
    var offload = Offload(networkHeader: scratch.receivedNetworkHeader(index))
    var start = batch.buffer(index) + Self.frameOffset
    var auxiliary = tpacket_auxdata()
    if cl_packet_auxdata(&scratch.received[index].header, &auxiliary) == 1,
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

  // SAFETY: `indices` and what they index are the caller's, valid for `count`; the scratch memory is the calling
  // thread's, as `batch` is.
  public func transmit(
    queue: Int, _ frames: UnsafePointer<Outgoing>, _ indices: UnsafePointer<UInt16>, count: Int,
    from batch: borrowing Batch, _ counters: PortCounters
  ) {
    guard isActive.load(ordering: .acquiring) else {
      counters.drop(.notReady, count)
      return
    }
    let scratch = MessageScratch(batch)
    let descriptor = descriptors[queue % queueCount]
    var gather = GatherList(scratch)
    for position in 0..<count {
      let outgoing = frames[Int(indices[position])]
      if !gather.hasRoom(segments: Int(batch.frames[Int(outgoing.frame)].segmentCount)) {
        send(gather.frames, scratch, descriptor, counters)
        gather.clear()
      }
      gather.append(outgoing, from: batch)
    }
    send(gather.frames, scratch, descriptor, counters)
  }

  /// Sends `total` gathered frames. A frame that is refused is counted and the ones behind it are tried, unless the
  /// reason holds for them too.
  // SAFETY: `total` messages are filled in; the kernel answers EFAULT for source memory that went away.
  private func send(_ total: Int, _ scratch: MessageScratch, _ descriptor: Int32, _ counters: PortCounters) {
    var next = 0
    var sentFrames = 0
    var bytes = 0
    while next < total {
      let messages = scratch.outgoing + next
      let count = Int(cl_send_many(descriptor, messages, UInt32(truncatingIfNeeded: total &- next)))
      if count > 0 {
        for index in next..<next &+ count { bytes = bytes &+ scratch.lengths[index] }
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

  init(queueCount: Int, accepts: OffloadCapabilities) {
    pointer = .allocate(capacity: 1)
    pointer.initialize(to: PacketSocketIO(queueCount: queueCount, accepts: accepts))
  }

  // SAFETY: the port lets go of its face only after it has deactivated it and synchronised.
  deinit {
    pointer.deinitialize(count: 1)
    pointer.deallocate()
  }

  var io: PortIO { .packetSocket(pointer) }
  var queueCount: Int { pointer.pointee.queueCount }

  /// Lets poll threads use `descriptors`, one per queue.
  // SAFETY: poll threads read them only while the face is active, and it is not yet.
  func activate(_ descriptors: [Int32]) {
    for queue in 0..<queueCount { pointer.pointee.descriptors[queue] = descriptors[queue] }
    pointer.pointee.isActive.store(true, ordering: .releasing)
  }

  /// Poll threads stop using the descriptors; true if they were. To be followed by `synchronize`.
  func deactivate() -> Bool { pointer.pointee.isActive.exchange(false, ordering: .releasing) }
}
