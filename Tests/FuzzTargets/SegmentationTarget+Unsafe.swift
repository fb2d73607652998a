// Fuzzes what a guest asks to be done to its frames: the input is an offload request, a receiver's capabilities and a
// frame in pieces, each allocated with exactly its length. Whatever is asked, nothing beyond the frame is touched, what
// comes out lies inside the frame, and the receiver can take it.

import Glibc
import Packet

/// Request (10 bytes), capabilities, length of the pieces; then the frame.
private let prefixLength = 12

extension FuzzTarget {
  static let segmentation = FuzzTarget("segmentation", seeds: segmentationSeeds) { bytes in
    bytes.withUnsafeBytes { fuzzSegmentation($0) }
  }

  /// The frames of `frame-headers`, with requests to complete a checksum and to segment.
  private static func segmentationSeeds() -> [[UInt8]] {
    frameHeaders.seeds().flatMap { frame in
      [
        [UInt8](repeating: 0, count: 11) + [16] + frame,
        [1, 1, 54, 0, 8, 0, 34, 0, 16, 0, 0, 7] + frame,
      ]
    }
  }
}

// SAFETY: `input` is readable for the call; every piece is allocated with the bytes copied to it.
private func fuzzSegmentation(_ buffer: UnsafeRawBufferPointer) {
  guard buffer.count >= prefixLength + EthernetHeader.length, let input = buffer.baseAddress else { return }
  let count = buffer.count
  let length = count - prefixLength
  let offload = Offload(
    word: input.loadUnaligned(as: UInt64.self),
    checksumOffset: input.loadUnaligned(fromByteOffset: 8, as: UInt16.self))
  let receiver = OffloadCapabilities(rawValue: UInt32(buffer[10])).intersection(.all)

  var batch = Batch()
  let pieces = split(input + prefixLength, length, into: max(1, Int(buffer[11])), &batch)
  let headerLength = min(Frame.snapshotLength, length)
  let header = UnsafeMutableRawPointer.allocate(byteCount: headerLength, alignment: 1)
  let target = UnsafeMutableRawPointer.allocate(byteCount: length + HeaderArena.slotLength, alignment: 1)
  defer {
    for piece in pieces { piece.deallocate() }
    header.deallocate()
    target.deallocate()
  }
  header.copyMemory(from: input + prefixLength, byteCount: headerLength)
  batch.frames[0] = Frame(
    header: header, headerLength: UInt32(headerLength), length: UInt32(length), firstSegment: 0,
    segmentCount: UInt32(pieces.count), offload: offload)
  batch.count = 1
  _ = SoftwareOffload.isConsistent(batch.frames[0])

  let whole = Outgoing(
    header: header, headerLength: UInt32(headerLength), frame: 0, sourceOffset: UInt32(headerLength),
    sourceLength: UInt32(length - headerLength), offload: offload)
  var headers = HeaderArena()
  var emitted = 0
  let outcome = SoftwareOffload.resolve(whole, in: batch, toward: receiver, headers: &headers) { part in
    precondition(Int(part.sourceOffset) + Int(part.sourceLength) <= length, "a range beyond the frame")
    precondition(receiver.allow(part.offload), "more work than the receiver does")
    target.copyMemory(from: part.header, byteCount: Int(part.headerLength))
    batch.copy(
      batch.frames[0], from: Int(part.sourceOffset), count: Int(part.sourceLength),
      to: target + Int(part.headerLength))
    emitted += 1
  }
  precondition((outcome == .resolved) == (emitted > 0), "refused frames emit nothing, others something")
  precondition(emitted <= SoftwareOffload.maximumSegments, "more segments than bounded")
}

/// Copies `count` bytes into pieces of `size`, or as many as a frame may have, and lists them as the batch's segments.
// SAFETY: each piece is allocated with the bytes copied to it.
private func split(_ bytes: UnsafeRawPointer, _ count: Int, into size: Int, _ batch: inout Batch)
  -> [UnsafeMutableRawPointer]
{
  var pieces: [UnsafeMutableRawPointer] = []
  var start = 0
  while start < count {
    let isLast = pieces.count + 1 == Batch.maximumSegments
    let length = isLast ? count - start : min(size, count - start)
    let piece = UnsafeMutableRawPointer.allocate(byteCount: length, alignment: 1)
    piece.copyMemory(from: bytes + start, byteCount: length)
    batch.segments[pieces.count] = iovec(iov_base: piece, iov_len: length)
    pieces.append(piece)
    start += length
  }
  batch.segmentCount = pieces.count
  return pieces
}
