import CLinux
import Glibc
import Packet
import Synchronization

/// The data face of a TAP device: one read or write per frame, a virtio-net header before each.
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
    var sent = 0
    var bytes = 0
    for position in 0..<count {
      let outgoing = frames[Int(indices[position])]
      gather.clear()
      gather.append(outgoing, from: batch)
      let message = scratch.outgoing[0].header
      var result: Int
      repeat {
        result = writev(descriptor, message.msg_iov, Int32(truncatingIfNeeded: message.msg_iovlen))
      } while result < 0 && errno == EINTR
      if result >= 0 {
        sent = sent &+ 1
        bytes = bytes &+ outgoing.length
      } else {
        counters.drop(dropReason(errno))
      }
    }
    counters.add(.transmittedFrames, sent)
    counters.add(.transmittedBytes, bytes)
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
