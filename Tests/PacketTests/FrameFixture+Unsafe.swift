import Glibc
import Packet

/// A frame in pieces of memory the "sender" owns, received into a batch as a port would do it.
enum FrameFixture {
  /// What came out for one frame.
  struct Result {
    var outcome: SoftwareOffload.Outcome
    var frames: [(bytes: [UInt8], offload: Offload)]
    var isConsistent: Bool
  }

  /// Resolves `bytes` toward `receiver`.
  ///
  /// - Parameters:
  ///   - cuts: lengths of the source's pieces, the last one extended to the frame's end.
  ///   - pushing: bytes put between the addresses and the rest, as when a tag is pushed.
  // SAFETY: every piece is allocated with exactly its length, so that a sanitizer sees any read beyond it.
  static func resolve(
    _ bytes: [UInt8], _ offload: Offload, toward receiver: OffloadCapabilities, cuts: [Int] = [],
    pushing tag: [UInt8] = [], snapshotLength: Int = Frame.snapshotLength
  ) -> Result {
    var batch = Batch()
    var pieces: [UnsafeMutableRawPointer] = []
    defer { for piece in pieces { piece.deallocate() } }
    var start = 0
    var lengths = cuts
    while start < bytes.count {
      let wanted = lengths.isEmpty ? bytes.count : max(1, lengths.removeFirst())
      let length = min(wanted, bytes.count - start)
      let piece = UnsafeMutableRawPointer.allocate(byteCount: length, alignment: 1)
      piece.copyMemory(from: Array(bytes[start..<start + length]), byteCount: length)
      batch.segments[pieces.count] = iovec(iov_base: piece, iov_len: length)
      pieces.append(piece)
      start += length
    }
    let headerLength = min(snapshotLength, bytes.count)
    let header = batch.snapshot(0)
    header.copyMemory(from: bytes, byteCount: headerLength)
    batch.frames[0] = Frame(
      header: header, headerLength: UInt32(headerLength), length: UInt32(bytes.count), firstSegment: 0,
      segmentCount: UInt32(pieces.count), offload: offload)
    batch.count = 1
    batch.segmentCount = pieces.count
    let consistent = SoftwareOffload.isConsistent(batch.frames[0])

    let pushed = header - tag.count
    if !tag.isEmpty {
      memmove(pushed, header, 12)
      (pushed + 12).copyMemory(from: tag, byteCount: tag.count)
    }
    let outgoing = Outgoing(
      header: pushed, headerLength: UInt32(headerLength + tag.count), frame: 0,
      sourceOffset: UInt32(headerLength), sourceLength: UInt32(bytes.count - headerLength),
      offload: offload.shifted(by: tag.count))
    var arena = HeaderArena()
    var outputs: [Outgoing] = []
    let outcome = SoftwareOffload.resolve(outgoing, in: batch, toward: receiver, headers: &arena) {
      outputs.append($0)
    }
    let frames = outputs.map { (bytes: flatten($0, batch), offload: $0.offload) }
    return Result(outcome: outcome, frames: frames, isConsistent: consistent)
  }

  // SAFETY: an Outgoing's header is readable for its length; the copy target has room for the rest.
  private static func flatten(_ outgoing: Outgoing, _ batch: borrowing Batch) -> [UInt8] {
    precondition(
      outgoing.sourceOffset + outgoing.sourceLength <= batch.frames[0].length, "a range beyond the frame")
    var bytes = [UInt8](UnsafeRawBufferPointer(start: outgoing.header, count: Int(outgoing.headerLength)))
    let tail = UnsafeMutableRawPointer.allocate(
      byteCount: max(1, Int(outgoing.sourceLength)), alignment: 1)
    defer { tail.deallocate() }
    batch.copy(
      batch.frames[0], from: Int(outgoing.sourceOffset), count: Int(outgoing.sourceLength), to: tail)
    bytes += [UInt8](UnsafeRawBufferPointer(start: tail, count: Int(outgoing.sourceLength)))
    return bytes
  }

  /// What of `bytes`, in one piece, an MTU limits.
  // SAFETY: the piece is a copy of `bytes`; the snapshot is no longer than it.
  static func networkLength(_ bytes: [UInt8], _ offload: Offload, snapshotLength: Int) -> Int? {
    var batch = Batch()
    let piece = UnsafeMutableRawPointer.allocate(byteCount: bytes.count, alignment: 1)
    defer { piece.deallocate() }
    piece.copyMemory(from: bytes, byteCount: bytes.count)
    batch.segments[0] = iovec(iov_base: piece, iov_len: bytes.count)
    let length = UInt32(min(snapshotLength, bytes.count))
    batch.snapshot(0).copyMemory(from: bytes, byteCount: Int(length))
    batch.frames[0] = Frame(
      header: batch.snapshot(0), headerLength: length, length: UInt32(bytes.count), firstSegment: 0,
      segmentCount: 1, offload: offload)
    batch.count = 1
    let outgoing = Outgoing(
      header: batch.snapshot(0), headerLength: length, frame: 0, sourceOffset: length,
      sourceLength: UInt32(bytes.count) - length, offload: offload)
    return SoftwareOffload.networkLength(outgoing, in: batch)
  }

  /// The layout of exactly `bytes`, in memory that ends where they end.
  static func layout(_ bytes: [UInt8]) -> HeaderLayout? {
    let memory = UnsafeMutableRawPointer.allocate(byteCount: max(1, bytes.count), alignment: 1)
    defer { memory.deallocate() }
    memory.copyMemory(from: bytes, byteCount: bytes.count)
    return HeaderLayout(memory, count: bytes.count)
  }

  /// The checksum of `pieces`, added one after another.
  static func checksum(_ pieces: [[UInt8]]) -> UInt16 {
    var checksum = Checksum()
    for piece in pieces {
      piece.withUnsafeBytes { if let base = $0.baseAddress { checksum.add(base, count: $0.count) } }
    }
    return checksum.value
  }
}
