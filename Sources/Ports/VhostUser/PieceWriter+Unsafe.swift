import CLinux
import Glibc
import Virtio

/// Writes one byte after the other into a list of pieces.
struct PieceWriter {
  private let pieces: UnsafePointer<iovec>
  private let count: Int
  private let log: DirtyLog?
  private var index = 0
  private var offset = 0

  init(_ pieces: UnsafePointer<iovec>, _ count: Int, _ log: DirtyLog?) {
    self.pieces = pieces
    self.count = count
    self.log = log
  }

  // SAFETY: never past a piece's end nor the last piece.
  mutating func write(_ source: UnsafeRawPointer, _ length: Int) {
    var source = source
    var left = length
    while left > 0 && index < count {
      let piece = pieces[index]
      let part = min(left, piece.iov_len &- offset)
      (piece.iov_base + offset).copyMemory(from: source, byteCount: part)
      log?.mark(piece.iov_base + offset, part)
      source += part
      left = left &- part
      offset = offset &+ part
      if offset == piece.iov_len {
        index = index &+ 1
        offset = 0
      }
    }
  }
}
