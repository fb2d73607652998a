import Packet
import Virtio

/// The data face of a vhost-user port: the gate, and one half for each direction. The halves lie apart, because
/// different threads write to them.
public struct VhostUserIO: ~Copyable {
  let gate: UnsafeMutablePointer<VhostUserGate>
  let receiver: UnsafeMutablePointer<VhostUserReceive>
  let transmitter: UnsafeMutablePointer<VhostUserTransmit>

  // SAFETY: all three are initialised here and freed in deinit, which `VhostUserPort.close` reaches only after every
  // poll thread has let go of the port.
  init(_ gate: consuming VhostUserGate) {
    self.gate = .allocate(capacity: 1)
    self.gate.initialize(to: gate)
    receiver = Self.apart(VhostUserReceive(UnsafePointer(self.gate)))
    transmitter = Self.apart(VhostUserTransmit(UnsafePointer(self.gate)))
  }

  deinit {
    receiver.deinitialize(count: 1)
    receiver.deallocate()
    transmitter.deinitialize(count: 1)
    transmitter.deallocate()
    gate.deinitialize(count: 1)
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

  public var accepts: OffloadCapabilities { transmitter.pointee.accepts }

  // One queue pair: `queue` is 0.

  public func receive(queue: Int, into batch: inout Batch, _ counters: PortCounters) -> Int {
    receiver.pointee.receive(into: &batch, counters)
  }

  public func release(queue: Int, _ batch: borrowing Batch, _ counters: PortCounters) {
    receiver.pointee.release(counters)
  }

  public func transmit(
    _ frames: UnsafePointer<Outgoing>, _ indices: UnsafePointer<UInt16>, count: Int,
    from batch: borrowing Batch, _ counters: PortCounters
  ) {
    transmitter.pointee.transmit(frames, indices, count: count, from: batch, counters)
  }

  public func flush(_ counters: PortCounters) { transmitter.pointee.flush(counters) }
  public func sleep(queue: Int) -> Bool { receiver.pointee.sleep() }
  public func wake(queue: Int) { receiver.pointee.wake() }
}
