import CLinux
import Glibc
import Packet
import Synchronization

// A TAP's bursts
// ==============
//
// A TAP takes and gives one frame per request, a virtio-net header before each. What is transmitted goes as one burst
// of requests through the thread's io_uring (cl_write_many), in the order of the burst; where that does not serve, and
// for a single frame, by writev. What is received is read one by one until there is no more.
//
// What was measured (64 byte frames, one thread, nanoseconds per frame) and decided:
//
//                writev or readv    io_uring, 32 at a time
//     transmit   1,120 to 1,200     790 to 810
//     receive    820 to 995         680 to 880
//
// So transmitting takes a third less. Receiving would gain an eighth, and only while 32 frames wait: a request that
// finds nothing takes 590 ns, and a lone frame would be held up by 31 of them. Large frames cost so much more to copy
// that neither matters much.

/// The data face of a TAP device.
///
/// A thread may receive from each queue while any number of others transmit; they share nothing that any of them
/// writes.
public struct TAPIO: ~Copyable {
  /// Cleared by the control face, which then synchronises, before it touches `descriptors`.
  let isActive = Atomic<Bool>(false)
  /// One per queue.
  private let descriptors: UnsafeMutablePointer<Int32>
  let queueCount: Int
  private let acceptedOffloads = Atomic<UInt32>(0)
  /// An eventfd of the control face: raised once when the device turns out to be gone.
  private let failure: Int32
  private let hasFailed = Atomic<Bool>(false)

  /// Where in its buffer a frame begins: 66 bytes of Ethernet, IPv4 and TCP headers further is a cache line. The
  /// network header lies before it.
  private static var frameOffset: Int { 62 }

  init(queueCount: Int, failure: Int32) {
    precondition(MessageScratch.fits)
    self.queueCount = queueCount
    self.failure = failure
    descriptors = .allocate(capacity: queueCount)
    descriptors.initialize(repeating: -1, count: queueCount)
  }

  deinit { descriptors.deallocate() }

  /// Points the face at new descriptors, one per queue. Only while inactive.
  func attach(_ descriptors: [Int32], accepts: OffloadCapabilities) {
    for queue in 0..<queueCount { self.descriptors[queue] = descriptors[queue] }
    acceptedOffloads.store(accepts.rawValue, ordering: .relaxed)
    hasFailed.store(false, ordering: .relaxed)
  }

  public var accepts: OffloadCapabilities {
    OffloadCapabilities(rawValue: acceptedOffloads.load(ordering: .relaxed))
  }

  // SAFETY: a buffer holds `bufferStride` bytes, the header included; at most `capacity` of them are filled.
  public func receive(queue: Int, into batch: inout Batch, _ counters: PortCounters) -> Int {
    guard isActive.load(ordering: .acquiring) else { return 0 }
    let headerLength = MessageScratch.networkHeaderLength
    let descriptor = descriptors[queue]
    var bytes = 0
    while batch.count < Batch.capacity {
      let buffer = batch.buffer(batch.count) + (Self.frameOffset &- headerLength)
      let result = read(descriptor, buffer, Batch.bufferStride &- Self.frameOffset)
      guard result > headerLength else {
        if result < 0 && errno == EINTR { continue }
        if result < 0 && errno != EAGAIN { fail() }
        break
      }
      let length = result &- headerLength
      guard length <= Batch.maximumFrameLength else {
        counters.drop(.oversized)
        continue
      }
      batch.append(
        received: buffer + headerLength, length: length, Offload(networkHeader: buffer))
      bytes = bytes &+ length
    }
    if batch.count > 0 {
      counters.add(.receivedFrames, batch.count)
      counters.add(.receivedBytes, bytes)
    }
    return batch.count
  }

  /// The buffers are the batch's own.
  public func release(queue: Int, _ batch: borrowing Batch, _ counters: PortCounters) {}

  // SAFETY: `indices` and what they index are the caller's, valid for `count`; the pieces are read by the kernel,
  // which answers EFAULT for memory that went away.
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

  /// Sends `total` gathered frames.
  // SAFETY: `total` messages are filled in; the kernel answers EFAULT for source memory that went away.
  private func send(_ total: Int, _ scratch: MessageScratch, _ descriptor: Int32, _ counters: PortCounters) {
    let messages = scratch.outgoing
    if total < 2 || cl_write_many(descriptor, messages, UInt32(truncatingIfNeeded: total)) != 0 {
      for index in 0..<total { Self.writeOne(messages + index, descriptor) }
    }
    var sent = 0
    var bytes = 0
    for index in 0..<total {
      let result = Int32(bitPattern: messages[index].length)
      if result >= 0 {
        sent = sent &+ 1
        bytes = bytes &+ scratch.lengths[index]
      } else {
        counters.drop(dropReason(0 &- result))
      }
    }
    counters.add(.transmittedFrames, sent)
    counters.add(.transmittedBytes, bytes)
  }

  /// Leaves in `length` what was written, or the negative error, as `cl_write_many` does.
  // SAFETY: the message's pieces are filled in.
  private static func writeOne(_ message: UnsafeMutablePointer<cl_mmsghdr>, _ descriptor: Int32) {
    let (pieces, count) = (message.pointee.header.msg_iov, message.pointee.header.msg_iovlen)
    var result: Int
    repeat {
      result = writev(descriptor, pieces, Int32(truncatingIfNeeded: count))
    } while result < 0 && errno == EINTR
    let outcome = result < 0 ? 0 &- errno : Int32(truncatingIfNeeded: result)
    message.pointee.length = UInt32(bitPattern: outcome)
  }

  public func flush(queue: Int, _ counters: PortCounters) {}
  /// The descriptor is level triggered: frames that wait are announced.
  public func sleep(queue: Int) -> Bool { true }
  public func wake(queue: Int) {}

  private func dropReason(_ code: Int32) -> DropReason {
    switch code {
    case EAGAIN, ENOBUFS, ENOMEM: return .receiverFull
    case EIO, ENETDOWN: return .notReady  // the interface is down
    case EMSGSIZE: return .exceedsMTU
    case EBADFD:
      fail()
      return .notReady
    default: return .deviceError
    }
  }

  /// Tells the control face, once, that the descriptor has no device any more.
  private func fail() {
    guard !hasFailed.exchange(true, ordering: .relaxed) else { return }
    var one: UInt64 = 1
    _ = write(failure, &one, 8)
  }
}

/// Owner of a TAP's data face, for the control face.
final class TAPFace {
  private let pointer: UnsafeMutablePointer<TAPIO>

  init(queueCount: Int, failure: Int32) {
    pointer = .allocate(capacity: 1)
    pointer.initialize(to: TAPIO(queueCount: queueCount, failure: failure))
  }

  // SAFETY: the port lets go of its face only after it has deactivated it and synchronised.
  deinit {
    pointer.deinitialize(count: 1)
    pointer.deallocate()
  }

  var io: PortIO { .tap(pointer) }
  var queueCount: Int { pointer.pointee.queueCount }

  /// Lets poll threads use `descriptors`, one per queue.
  func activate(_ descriptors: [Int32], accepts: OffloadCapabilities) {
    pointer.pointee.attach(descriptors, accepts: accepts)
    pointer.pointee.isActive.store(true, ordering: .releasing)
  }

  /// Poll threads stop using the descriptors; true if they were. To be followed by `synchronize`.
  func deactivate() -> Bool { pointer.pointee.isActive.exchange(false, ordering: .releasing) }
}
