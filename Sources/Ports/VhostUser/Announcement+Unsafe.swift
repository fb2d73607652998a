import CLinux
import Glibc
import Packet
import Synchronization

/// A broadcast a guest's port sends in its name after migration, so that switches learn where the guest is now
/// (vhost-user, SEND_RARP): a RARP request for its own address (RFC 903), padded to an Ethernet frame.
struct Announcement: ~Copyable {
  private static var length: Int { 60 }

  private let bytes: UnsafeMutablePointer<UInt8>
  private let isDue = Atomic<Bool>(false)

  init() {
    bytes = .allocate(capacity: Self.length)
    bytes.initialize(repeating: 0, count: Self.length)
  }

  deinit { bytes.deallocate() }

  /// Takes back what was not sent yet.
  func forget() { isDue.store(false, ordering: .relaxed) }

  /// For the control thread, when every poll thread has finished a turn since `forget`.
  // SAFETY: all offsets lie within the 60 bytes.
  func ask(for address: MACAddress) {
    let hardware = (0..<6).map { UInt8(truncatingIfNeeded: address.bits >> (40 - 8 * UInt64($0))) }
    let header: [UInt8] = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF] + hardware + [0x80, 0x35]
    let request: [UInt8] = [0, 1, 0x08, 0x00, 6, 4, 0, 3]
    let noAddress: [UInt8] = [0, 0, 0, 0]
    for (index, byte) in (header + request + hardware + noAddress + hardware + noAddress).enumerated() {
      bytes[index] = byte
    }
    isDue.store(true, ordering: .releasing)
  }

  /// Whether there is one to send.
  @inline(__always)
  var isWaiting: Bool { isDue.load(ordering: .relaxed) }

  /// The frame, once, as the only one of an empty batch.
  // SAFETY: the batch has room for a frame; the bytes stay until the port is closed.
  @inline(never)
  func receive(into batch: inout Batch, _ counters: PortCounters) -> Int {
    guard isDue.exchange(false, ordering: .acquiring) else { return 0 }
    let snapshot = batch.snapshot(0)
    snapshot.copyMemory(from: bytes, byteCount: Self.length)
    batch.segments[0] = iovec(iov_base: bytes, iov_len: Self.length)
    batch.frames[0] = Frame(
      header: snapshot, headerLength: UInt32(Self.length), length: UInt32(Self.length), firstSegment: 0,
      segmentCount: 1, offload: .none)
    batch.segmentCount = 1
    batch.count = 1
    counters.add(.receivedFrames, 1)
    counters.add(.receivedBytes, Self.length)
    return 1
  }
}
