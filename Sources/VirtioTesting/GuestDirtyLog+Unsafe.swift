import Linux
import Synchronization
import VhostUser
import Virtio

/// The log of a migrating front-end: one bit for each guest page, which the back-end sets when it writes there
/// (vhost-user, "Migration"). Bit 0 of byte 0 is guest-physical page 0.
public final class GuestDirtyLog {
  public static let pageSize = 4096

  public let file: FileDescriptor
  /// Bytes of the log, and where it begins in the file.
  public let size: Int
  public let offset: Int
  private let mapping: Mapping
  private let words: UnsafePointer<Atomic<UInt64>>

  /// A log for all of `ram`.
  ///
  /// - Parameters:
  ///   - offset: bytes before the log in its file, a multiple of a page; they must stay zero.
  ///   - size: instead of what `ram` needs.
  // SAFETY: the log is a multiple of 8 bytes long and lies behind `offset` in a mapping that lives as long as this.
  public init(_ ram: GuestRAM, offset: Int = 0, size: Int? = nil) throws {
    let end = ram.regions.map { $0.guestAddress + $0.size }.max() ?? 0
    let pages = Int((end + UInt64(Self.pageSize) - 1) / UInt64(Self.pageSize))
    self.size = size ?? (pages + 63) / 64 * 8
    self.offset = offset
    let length = offset + (self.size + 7) / 8 * 8
    file = try makeMemoryFile(name: "dirty-log", size: length)
    mapping = try Mapping(shared: file.raw, length: length)
    words = UnsafePointer((mapping.base + offset).assumingMemoryBound(to: Atomic<UInt64>.self))
  }

  /// The payload of SET_LOG_BASE.
  public var payload: [UInt8] { littleEndian(UInt64(size)) + littleEndian(UInt64(offset)) }

  /// The guest-physical pages written since the last call, ascending, as page numbers; their bits are clear again.
  public func take() -> [Int] { pages { (words + $0).pointee.exchange(0, ordering: .acquiringAndReleasing) } }

  /// The same, leaving the bits set.
  public var dirtyPages: [Int] { pages { (words + $0).pointee.load(ordering: .acquiring) } }

  /// Nothing before the log was written.
  public var isIntact: Bool {
    (0..<offset).allSatisfy { mapping.base.load(fromByteOffset: $0, as: UInt8.self) == 0 }
  }

  private func pages(_ word: (Int) -> UInt64) -> [Int] {
    var pages: [Int] = []
    for index in 0..<(size + 7) / 8 {
      var bits = word(index)
      while bits != 0 {
        pages.append(64 * index + bits.trailingZeroBitCount)
        bits &= bits - 1
      }
    }
    return pages
  }
}
