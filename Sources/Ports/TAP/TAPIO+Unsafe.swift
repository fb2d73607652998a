import CLinux
import Glibc
import Packet
import Synchronization

/// The data face of a TAP device: one read or write per frame, a virtio-net header before each.
///
/// One thread receives while another may transmit; the two share nothing that either writes.
public struct TAPIO: ~Copyable {
  /// Cleared by the control face, which then synchronises, before it touches `descriptor`.
  let isActive = Atomic<Bool>(false)
  var descriptor: Int32 = -1
  private let acceptedOffloads = Atomic<UInt32>(0)
  /// An eventfd of the control face: raised once when the device turns out to be gone.
  private let failure: Int32
  private let hasFailed = Atomic<Bool>(false)
  /// The transmitting side's scratch.
  private let gather: UnsafeMutablePointer<GatherList>

  init(failure: Int32) {
    self.failure = failure
    gather = .allocate(capacity: 1)
    gather.initialize(to: GatherList())
  }

  deinit {
    gather.deinitialize(count: 1)
    gather.deallocate()
  }

  /// Points the face at a new descriptor. Only while inactive.
  mutating func attach(_ descriptor: Int32, accepts: OffloadCapabilities) {
    self.descriptor = descriptor
    acceptedOffloads.store(accepts.rawValue, ordering: .relaxed)
    hasFailed.store(false, ordering: .relaxed)
  }

  public var accepts: OffloadCapabilities {
    OffloadCapabilities(rawValue: acceptedOffloads.load(ordering: .relaxed))
  }

  // SAFETY: a buffer holds `bufferStride` bytes, the header included; at most `capacity` of them are filled.
  public func receive(queue: Int, into batch: inout Batch, _ counters: PortCounters) -> Int {
    guard isActive.load(ordering: .acquiring) else { return 0 }
    let headerLength = GatherList.networkHeaderLength
    var bytes = 0
    while batch.count < Batch.capacity {
      let buffer = batch.buffer(batch.count)
      let result = read(descriptor, buffer, Batch.bufferStride)
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
      let word = UInt64(littleEndian: buffer.loadUnaligned(as: UInt64.self))
      let checksumOffset = UInt16(littleEndian: buffer.loadUnaligned(fromByteOffset: 8, as: UInt16.self))
      batch.append(
        received: buffer + headerLength, length: length, Offload(word: word, checksumOffset: checksumOffset))
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
    var sent = 0
    var bytes = 0
    for position in 0..<count {
      let outgoing = frames[Int(indices[position])]
      gather.pointee.clear()
      let pieces = gather.pointee.append(outgoing, from: batch)
      var result: Int
      repeat {
        result = writev(descriptor, pieces.baseAddress!, Int32(truncatingIfNeeded: pieces.count))
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

  init(failure: Int32) {
    pointer = .allocate(capacity: 1)
    pointer.initialize(to: TAPIO(failure: failure))
  }

  // SAFETY: the port lets go of its face only after it has deactivated it and synchronised.
  deinit {
    pointer.deinitialize(count: 1)
    pointer.deallocate()
  }

  var io: PortIO { .tap(pointer) }

  /// Lets poll threads use `descriptor`.
  func activate(_ descriptor: Int32, accepts: OffloadCapabilities) {
    pointer.pointee.attach(descriptor, accepts: accepts)
    pointer.pointee.isActive.store(true, ordering: .releasing)
  }

  /// Poll threads stop using the descriptor; true if they were. To be followed by `synchronize`.
  func deactivate() -> Bool { pointer.pointee.isActive.exchange(false, ordering: .releasing) }
}
