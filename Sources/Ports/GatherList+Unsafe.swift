import CLinux
import Glibc
import Packet

// Frames for the kernel
// =====================
//
// A frame goes to a TAP or a packet socket as a list of pieces: a virtio-net header, the private header, then the
// source's own memory. The kernel copies straight from there.

/// The piece lists of up to 32 frames, in the calling thread's scratch memory.
struct GatherList: ~Copyable {
  /// UIO_MAXIOV: the kernel takes no more pieces in one frame.
  static var maximumPieces: Int { 1024 }

  private let scratch: MessageScratch
  private var usedPieces = 0
  private(set) var frames = 0
  private var spilled = false

  init(_ scratch: MessageScratch) { self.scratch = scratch }

  mutating func clear() {
    usedPieces = 0
    frames = 0
    spilled = false
  }

  /// Whether another frame of `segments` source segments still fits.
  func hasRoom(segments: Int) -> Bool {
    frames < Batch.capacity && !spilled
      && usedPieces &+ min(segments &+ 2, Self.maximumPieces) <= MessageScratch.pieceCapacity
  }

  /// Adds the pieces of `outgoing`; `hasRoom` said that they fit.
  // SAFETY: `hasRoom` bounds `frames` and `usedPieces`; a frame takes at most `maximumPieces` vectors, the last of
  // them the spill, which holds any frame.
  mutating func append(_ outgoing: Outgoing, from batch: borrowing Batch) {
    let networkHeader = scratch.outgoingNetworkHeader(frames)
    outgoing.offload.write(networkHeader: networkHeader)
    let list = scratch.pieces + usedPieces
    list[0] = iovec(iov_base: networkHeader, iov_len: MessageScratch.networkHeaderLength)
    list[1] = iovec(
      iov_base: UnsafeMutableRawPointer(mutating: outgoing.header), iov_len: Int(outgoing.headerLength))
    var count = 2
    var copied = 0
    let spill = scratch.spill
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
    scratch.outgoing[frames].header.msg_iov = list
    scratch.outgoing[frames].header.msg_iovlen = count
    scratch.lengths[frames] = outgoing.length
    usedPieces = usedPieces &+ count
    frames = frames &+ 1
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
      segmentCount: 1, offload: offload, body: start)
    count = index &+ 1
    segmentCount = index &+ 1
  }
}
