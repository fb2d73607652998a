import Packet
import Virtio

/// The data face of a vhost-user port: the gate, and one half for each direction. The halves lie apart, because
/// different threads write to them.
public struct VhostUserIO: ~Copyable {
  let gate: UnsafePointer<VhostUserGate>
  let receiver: UnsafeMutablePointer<VhostUserReceive>
  let transmitter: UnsafeMutablePointer<VhostUserTransmit>
  /// Something was transmitted since the last `flush`.
  private let awaitsFlush: UnsafeMutablePointer<Bool>

  // SAFETY: all are initialised here and freed in deinit, which `VhostUserPort.close` reaches only after every
  // poll thread has let go of the port.
  init(_ gate: consuming VhostUserGate) {
    self.gate = UnsafePointer(Self.apart(gate))
    receiver = Self.apart(VhostUserReceive(self.gate))
    transmitter = Self.apart(VhostUserTransmit(self.gate))
    awaitsFlush = Self.apart(false)
  }

  deinit {
    receiver.deinitialize(count: 1)
    receiver.deallocate()
    transmitter.deinitialize(count: 1)
    transmitter.deallocate()
    awaitsFlush.deallocate()
    UnsafeMutablePointer(mutating: gate).deinitialize(count: 1)
    gate.deallocate()
  }

  /// Storage that shares no cache line, nor the one prefetched with it, with anything else.
  private static func apart<Half: ~Copyable>(_ half: consuming Half) -> UnsafeMutablePointer<Half> {
    let bytes = (MemoryLayout<Half>.stride + 127) & ~127
    let raw = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 128)
    let pointer = raw.bindMemory(to: Half.self, capacity: 1)
    pointer.initialize(to: half)
    return pointer
  }

  // Every call asks the gate before it touches a half: while the gate is closed the halves are the control thread's.
  // What began in a turn ends in it, even if the gate closes meanwhile: `release` and `flush` do not ask.
  // One queue pair: `queue` is 0.

  public var accepts: OffloadCapabilities { gate.pointee.isActive ? transmitter.pointee.accepts : [] }

  public func receive(queue: Int, into batch: inout Batch, _ counters: PortCounters) -> Int {
    guard gate.pointee.isActive else { return 0 }
    return receiver.pointee.receive(into: &batch, counters)
  }

  public func release(queue: Int, _ batch: borrowing Batch, _ counters: PortCounters) {
    receiver.pointee.release(counters)
  }

  // SAFETY: `awaitsFlush` is touched only by whoever may transmit, one thread at a time.
  public func transmit(
    queue: Int, _ frames: UnsafePointer<Outgoing>, _ indices: UnsafePointer<UInt16>, count: Int,
    from batch: borrowing Batch, _ counters: PortCounters
  ) {
    guard gate.pointee.isActive else {
      counters.drop(.notReady, count)
      return
    }
    awaitsFlush.pointee = true
    transmitter.pointee.transmit(frames, indices, count: count, from: batch, counters)
  }

  public func flush(queue: Int, _ counters: PortCounters) {
    guard awaitsFlush.pointee else { return }
    awaitsFlush.pointee = false
    transmitter.pointee.flush(counters)
  }

  public func sleep(queue: Int) -> Bool {
    guard gate.pointee.isActive else { return true }
    return receiver.pointee.sleep()
  }

  public func wake(queue: Int) {
    guard gate.pointee.isActive else { return }
    receiver.pointee.wake()
  }
}
