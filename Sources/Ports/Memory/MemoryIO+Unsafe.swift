import CLinux
import Glibc
import Packet
import Synchronization

/// Frames in memory, one producer and one consumer: what a `MemoryPort` holds in each direction.
public struct MemoryRing: ~Copyable {
  struct Slot {
    var bytes: UnsafeMutableRawPointer
    var length: Int
    var offload: Offload
  }

  private let slots: UnsafeMutablePointer<Slot>
  private let capacity: Int
  private let produced = Atomic<Int>(0)
  private let consumed = Atomic<Int>(0)

  /// Room for `capacity` frames.
  init(capacity: Int) {
    self.capacity = capacity
    slots = .allocate(capacity: capacity)
  }

  deinit {
    for index in consumed.load(ordering: .acquiring)..<produced.load(ordering: .acquiring) {
      slots[index % capacity].bytes.deallocate()
    }
    slots.deallocate()
  }

  var count: Int { produced.load(ordering: .acquiring) - consumed.load(ordering: .acquiring) }

  /// Appends a slot whose `length` bytes `fill` writes; false when full.
  // SAFETY: only the producer moves `produced`, and a slot is published after it is filled.
  func push(length: Int, offload: Offload, _ fill: (UnsafeMutableRawPointer) -> Void) -> Bool {
    let index = produced.load(ordering: .relaxed)
    guard index - consumed.load(ordering: .acquiring) < capacity else { return false }
    let bytes = UnsafeMutableRawPointer.allocate(byteCount: max(length, Frame.snapshotLength), alignment: 16)
    fill(bytes)
    slots[index % capacity] = Slot(bytes: bytes, length: length, offload: offload)
    produced.store(index + 1, ordering: .releasing)
    return true
  }

  // SAFETY: only the consumer calls this, for `offset < count`.
  func peek(_ offset: Int) -> Slot { slots[(consumed.load(ordering: .relaxed) + offset) % capacity] }

  func drop(_ count: Int) {
    let index = consumed.load(ordering: .relaxed)
    for offset in 0..<count { slots[(index + offset) % capacity].bytes.deallocate() }
    consumed.store(index + count, ordering: .releasing)
  }
}

/// The data face of a port whose other side is the program itself.
public struct MemoryIO: ~Copyable {
  let toSwitch: MemoryRing
  let fromSwitch: MemoryRing
  public let accepts: OffloadCapabilities

  init(capacity: Int, accepts: OffloadCapabilities) {
    toSwitch = MemoryRing(capacity: capacity)
    fromSwitch = MemoryRing(capacity: capacity)
    self.accepts = accepts
  }

  // SAFETY: slots stay allocated until `release` drops them; the snapshot never exceeds its fixed size.
  public func receive(queue: Int, into batch: inout Batch, _ counters: PortCounters) -> Int {
    let available = min(toSwitch.count, Batch.capacity)
    var bytes = 0
    for index in 0..<available {
      let slot = toSwitch.peek(index)
      let header = batch.snapshot(index)
      let headerLength = min(slot.length, Frame.snapshotLength)
      header.copyMemory(from: slot.bytes, byteCount: headerLength)
      batch.segments[index] = iovec(iov_base: slot.bytes, iov_len: slot.length)
      batch.frames[index] = Frame(
        header: header, headerLength: UInt32(headerLength), length: UInt32(slot.length),
        firstSegment: UInt32(index), segmentCount: 1, offload: slot.offload, body: slot.bytes)
      bytes += slot.length
    }
    batch.count = available
    batch.segmentCount = available
    counters.add(.receivedFrames, available)
    counters.add(.receivedBytes, bytes)
    return available
  }

  public func release(queue: Int, _ batch: borrowing Batch, _ counters: PortCounters) {
    toSwitch.drop(batch.count)
  }

  public func transmit(
    queue: Int, _ frames: UnsafePointer<Outgoing>, _ indices: UnsafePointer<UInt16>, count: Int,
    from batch: borrowing Batch,
    _ counters: PortCounters
  ) {
    for position in 0..<count {
      let outgoing = frames[Int(indices[position])]
      let source = batch.frames[Int(outgoing.frame)]
      let sent = fromSwitch.push(length: outgoing.length, offload: outgoing.offload) { bytes in
        bytes.copyMemory(from: outgoing.header, byteCount: Int(outgoing.headerLength))
        batch.copy(
          source, from: Int(outgoing.sourceOffset), count: Int(outgoing.sourceLength),
          to: bytes + Int(outgoing.headerLength))
      }
      guard sent else {
        counters.drop(.receiverFull, count - position)
        return
      }
      counters.add(.transmittedFrames, 1)
      counters.add(.transmittedBytes, outgoing.length)
    }
  }

  public func flush(queue: Int, _ counters: PortCounters) {}
  public func sleep(queue: Int) -> Bool { toSwitch.count == 0 }
  public func wake(queue: Int) {}
}

/// A port without a device: frames go in and come out by calls. For tests and benches of the datapath.
public final class MemoryPort: Port {
  public let name: String
  private let pointer: UnsafeMutablePointer<MemoryIO>
  private var environment: PortEnvironment?

  /// - Parameter capacity: frames each direction holds before it is full.
  public init(name: String, capacity: Int = 1024, accepts: OffloadCapabilities = []) {
    self.name = name
    pointer = .allocate(capacity: 1)
    pointer.initialize(to: MemoryIO(capacity: capacity, accepts: accepts))
  }

  public var io: PortIO { .memory(pointer) }
  public var receiveQueueCount: Int { 1 }

  public var status: PortStatus {
    var status = PortStatus()
    status.adminUp = true
    status.linkUp = true
    return status
  }

  public func start(_ environment: PortEnvironment) throws(PortError) { self.environment = environment }
  public func reconfigure(_ configuration: PortConfiguration) throws(PortError) -> Bool { true }

  // SAFETY: after `synchronize` no poll thread holds the pointer.
  public func close() {
    environment?.synchronize()
    pointer.deinitialize(count: 1)
    pointer.deallocate()
  }

  /// Hands the switch a frame; false when `capacity` frames already wait.
  public func send(_ bytes: [UInt8], offload: Offload = .none) -> Bool {
    let sent = pointer.pointee.toSwitch.push(length: bytes.count, offload: offload) { target in
      bytes.withUnsafeBytes { target.copyMemory(from: $0.baseAddress!, byteCount: bytes.count) }
    }
    environment?.wake()
    return sent
  }

  /// Returns once the bursts the poll threads were in are over.
  public func synchronize() { environment?.synchronize() }

  /// The next frame the switch transmitted here, or nil.
  public func next() -> (bytes: [UInt8], offload: Offload)? {
    guard pointer.pointee.fromSwitch.count > 0 else { return nil }
    let slot = pointer.pointee.fromSwitch.peek(0)
    let bytes = [UInt8](UnsafeRawBufferPointer(start: slot.bytes, count: slot.length))
    pointer.pointee.fromSwitch.drop(1)
    return (bytes, slot.offload)
  }
}
