import Packet

/// A port's data face: what a poll thread calls, once per burst each. `PortIO` is trivial (pointers only).
///
/// The way of a burst, for a receiving queue R and each output O:
///
///     R.receive(&batch) → (the pipeline) → O.transmit(…), O.flush() → R.release(batch)
///
/// | call | who may | duty |
/// |---|---|---|
/// | `receive` | the thread that owns the queue | append frames to the empty batch; 0 when inactive or empty |
/// | `release` | the same thread, after every `receive` that returned frames | give the source's buffers back; publish and notify at most once |
/// | `transmit` | one thread at a time per transmit queue (the datapath locks) | copy frames into the receiver; count what was sent and each drop |
/// | `flush` | the thread that transmitted, before unlocking | publish and notify at most once |
/// | `sleep` | the owning thread, before it blocks | ask for notifications; false if work arrived meanwhile |
/// | `wake` | the owning thread, after it blocked | ask for no more notifications |
///
/// All are bounded, whatever a peer does.
@frozen
public enum PortIO {
  case memory(UnsafeMutablePointer<MemoryIO>)
  case vhostUser(UnsafeMutablePointer<VhostUserIO>)
  case tap(UnsafeMutablePointer<TAPIO>)
  case packetSocket(UnsafeMutablePointer<PacketSocketIO>)

  /// Whether receiving costs a system call: such queues are asked only when their descriptor is readable.
  @inlinable public var receivesBySystemCall: Bool {
    switch self {
    case .memory, .vhostUser: false
    case .tap, .packetSocket: true
    }
  }

  /// What this port takes unfinished, now.
  // SAFETY: the pointee lives until `Port.close` has synchronised with every poll thread; the same holds below.
  @inlinable @inline(__always)
  public var accepts: OffloadCapabilities {
    switch self {
    case .memory(let io): io.pointee.accepts
    case .vhostUser(let io): io.pointee.accepts
    case .tap(let io): io.pointee.accepts
    case .packetSocket(let io): io.pointee.accepts
    }
  }

  /// Appends up to `Batch.capacity` frames of receive queue `queue` to `batch`, which is empty. Counts received
  /// frames and bytes and the frames dropped on the way in. Returns `batch.count`.
  @inlinable @inline(__always)
  public func receive(queue: Int, into batch: inout Batch, _ counters: PortCounters) -> Int {
    switch self {
    case .memory(let io): io.pointee.receive(queue: queue, into: &batch, counters)
    case .vhostUser(let io): io.pointee.receive(queue: queue, into: &batch, counters)
    case .tap(let io): io.pointee.receive(queue: queue, into: &batch, counters)
    case .packetSocket(let io): io.pointee.receive(queue: queue, into: &batch, counters)
    }
  }

  /// Gives the buffers behind `batch`'s frames back to their sender.
  @inlinable @inline(__always)
  public func release(queue: Int, _ batch: borrowing Batch, _ counters: PortCounters) {
    switch self {
    case .memory(let io): io.pointee.release(queue: queue, batch, counters)
    case .vhostUser(let io): io.pointee.release(queue: queue, batch, counters)
    case .tap(let io): io.pointee.release(queue: queue, batch, counters)
    case .packetSocket(let io): io.pointee.release(queue: queue, batch, counters)
    }
  }

  /// Sends `frames[indices[0]]`, … `frames[indices[count - 1]]` in that order through transmit queue `queue` (below
  /// `Port.transmitQueueCount`), their sources in `batch`. Each is counted as transmitted, or as dropped for a reason.
  /// Every offload asked for is one that `accepts` allows.
  @inlinable @inline(__always)
  public func transmit(
    queue: Int, _ frames: UnsafePointer<Outgoing>, _ indices: UnsafePointer<UInt16>, count: Int,
    from batch: borrowing Batch, _ counters: PortCounters
  ) {
    switch self {
    case .memory(let io):
      io.pointee.transmit(queue: queue, frames, indices, count: count, from: batch, counters)
    case .vhostUser(let io):
      io.pointee.transmit(queue: queue, frames, indices, count: count, from: batch, counters)
    case .tap(let io): io.pointee.transmit(queue: queue, frames, indices, count: count, from: batch, counters)
    case .packetSocket(let io):
      io.pointee.transmit(queue: queue, frames, indices, count: count, from: batch, counters)
    }
  }

  @inlinable @inline(__always)
  public func flush(queue: Int, _ counters: PortCounters) {
    switch self {
    case .memory(let io): io.pointee.flush(queue: queue, counters)
    case .vhostUser(let io): io.pointee.flush(queue: queue, counters)
    case .tap(let io): io.pointee.flush(queue: queue, counters)
    case .packetSocket(let io): io.pointee.flush(queue: queue, counters)
    }
  }

  @inlinable @inline(__always)
  public func sleep(queue: Int) -> Bool {
    switch self {
    case .memory(let io): io.pointee.sleep(queue: queue)
    case .vhostUser(let io): io.pointee.sleep(queue: queue)
    case .tap(let io): io.pointee.sleep(queue: queue)
    case .packetSocket(let io): io.pointee.sleep(queue: queue)
    }
  }

  @inlinable @inline(__always)
  public func wake(queue: Int) {
    switch self {
    case .memory(let io): io.pointee.wake(queue: queue)
    case .vhostUser(let io): io.pointee.wake(queue: queue)
    case .tap(let io): io.pointee.wake(queue: queue)
    case .packetSocket(let io): io.pointee.wake(queue: queue)
    }
  }
}
