import Glibc
import Packet

// Frames for the kernel
// =====================
//
// A frame goes to a TAP or a packet socket as a list of pieces: a virtio-net header, the private header, then the
// source's own memory. The kernel copies straight from there. Everything a burst needs is allocated once.

/// The piece lists of up to 32 frames.
struct GatherList: ~Copyable {
  /// UIO_MAXIOV: the kernel takes no more pieces in one frame.
  static var maximumPieces: Int { 1024 }
  private static var capacity: Int { 2 * maximumPieces }
  /// `struct virtio_net_hdr`: the 10 bytes before `num_buffers`.
  static var networkHeaderLength: Int { 10 }
  private static var networkHeaderStride: Int { 16 }

  private let vectors: UnsafeMutablePointer<iovec>
  private let networkHeaders: UnsafeMutableRawPointer
  /// Where the end of a frame in more pieces than the kernel takes is put together; its pages are touched only then.
  private let spill: UnsafeMutableRawPointer
  private var usedVectors = 0
  private(set) var frames = 0
  private var spilled = false

  init() {
    vectors = .allocate(capacity: Self.capacity)
    vectors.initialize(repeating: iovec(), count: Self.capacity)
    networkHeaders = .allocate(byteCount: Batch.capacity * Self.networkHeaderStride, alignment: 16)
    spill = .allocate(byteCount: Batch.maximumFrameLength, alignment: 16)
  }

  deinit {
    vectors.deallocate()
    networkHeaders.deallocate()
    spill.deallocate()
  }

  mutating func clear() {
    usedVectors = 0
    frames = 0
    spilled = false
  }

  /// Whether another frame of `segments` source segments still fits.
  func hasRoom(segments: Int) -> Bool {
    frames < Batch.capacity && !spilled
      && usedVectors &+ min(segments &+ 2, Self.maximumPieces) <= Self.capacity
  }

  /// Adds the pieces of `outgoing`; `hasRoom` said that they fit.
  // SAFETY: `hasRoom` bounds `frames` and `usedVectors`; a frame takes at most `maximumPieces` vectors, the last of
  // them the spill, which holds any frame.
  mutating func append(_ outgoing: Outgoing, from batch: borrowing Batch) -> UnsafeMutableBufferPointer<iovec>
  {
    let networkHeader = networkHeaders + frames &* Self.networkHeaderStride
    let offload = Self.kernelOffload(outgoing.offload)
    networkHeader.storeBytes(of: offload.word.littleEndian, as: UInt64.self)
    networkHeader.storeBytes(of: offload.checksumOffset.littleEndian, toByteOffset: 8, as: UInt16.self)

    let list = vectors + usedVectors
    list[0] = iovec(iov_base: networkHeader, iov_len: Self.networkHeaderLength)
    list[1] = iovec(
      iov_base: UnsafeMutableRawPointer(mutating: outgoing.header), iov_len: Int(outgoing.headerLength))
    var count = 2
    var copied = 0
    let spill = self.spill
    batch.forEachPiece(
      batch.frames[Int(outgoing.frame)], from: Int(outgoing.sourceOffset), count: Int(outgoing.sourceLength)
    ) { piece, length in
      if count < Self.maximumPieces &- 1 {
        list[count] = iovec(iov_base: piece, iov_len: length)
        count = count &+ 1
      } else if copied &+ length <= Batch.maximumFrameLength {
        (spill + copied).copyMemory(from: piece, byteCount: length)
        copied = copied &+ length
      }
    }
    if copied > 0 {
      list[count] = iovec(iov_base: spill, iov_len: copied)
      count = count &+ 1
      spilled = true
    }
    usedVectors = usedVectors &+ count
    frames = frames &+ 1
    return UnsafeMutableBufferPointer(start: list, count: count)
  }

  /// The request without fields that mean nothing to it: the kernel checks them all the same.
  private static func kernelOffload(_ offload: Offload) -> Offload {
    if offload.isNone { return .none }
    let checksumOnly: UInt64 = 0xFFFF_0000_0000_0001
    let all: UInt64 = 0xFFFF_FFFF_FFFF_FF01
    return Offload(
      word: offload.word & (offload.isGSO ? all : checksumOnly), checksumOffset: offload.checksumOffset)
  }
}

extension Batch {
  /// Appends a frame that a system call put into one of this batch's buffers.
  // SAFETY: `start ..< start + length` lies in a buffer; callers append at most `capacity` frames.
  @inline(__always)
  mutating func append(received start: UnsafeMutableRawPointer, length: Int, _ offload: Offload) {
    let index = count
    let header = snapshot(index)
    let headerLength = min(length, Frame.snapshotLength)
    header.copyMemory(from: start, byteCount: headerLength)
    segments[index] = iovec(iov_base: start, iov_len: length)
    frames[index] = Frame(
      header: header, headerLength: UInt32(truncatingIfNeeded: headerLength),
      length: UInt32(truncatingIfNeeded: length), firstSegment: UInt32(truncatingIfNeeded: index),
      segmentCount: 1, offload: offload, token: 0)
    count = index &+ 1
    segmentCount = index &+ 1
  }
}
