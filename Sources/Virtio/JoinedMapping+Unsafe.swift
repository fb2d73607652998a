// A driver's ring is contiguous for the driver. Behind a vIOMMU its pages may lie anywhere in guest memory: guests
// allocate them one by one. Whoever serves the ring wants it contiguous too, so those pages are mapped a second time, in
// a row. That takes pieces that begin and end with pages; in huge pages there is no mapping less than all of one.

import CLinux
import Glibc
import Synchronization

/// Pieces of guest memory, mapped a second time one after the other.
public final class JoinedMapping {
  /// Bytes of guest memory that are contiguous in this process.
  public struct Piece: Equatable, Sendable {
    public var host: UInt64
    public var length: UInt64
  }

  /// The first byte of the first piece.
  public let start: UnsafeMutableRawPointer
  /// What of guest memory is mapped where.
  let regions: [GuestRegion]
  private let base: UnsafeMutableRawPointer
  private let length: Int
  private let slot: Int32
  private let fault: FaultFlag

  private static let pageSize: UInt64 = 4096

  /// Adds a piece to those before, or to the last if it continues that.
  static func append(_ host: UInt64, _ length: UInt64, to pieces: inout [Piece]) {
    if let last = pieces.last, last.host &+ last.length == host {
      pieces[pieces.count - 1].length += length
    } else {
      pieces.append(Piece(host: host, length: length))
    }
  }

  /// Nil when `pieces` do not fit together page by page, or cannot be mapped again.
  // SAFETY: each range of pages mapped again lies within one region of `memory`, whose file is mapped there in a row. A
  // truncated file is covered by zero pages here as it is there.
  init?(_ pieces: [Piece], of memory: GuestMemory) {
    guard !memory.hasHugePages, let ranges = Self.pageRanges(pieces, memory.map), let first = pieces.first
    else {
      return nil
    }
    let length = Int(ranges.reduce(0) { $0 + $1.size })
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
    guard let base = mmap(nil, length, PROT_NONE, flags, -1, 0), base != MAP_FAILED else { return nil }
    var regions: [GuestRegion] = []
    var target = base
    for range in ranges {
      let size = Int(range.size)
      let source = UnsafeMutableRawPointer(bitPattern: UInt(range.host))
      let result = cl_map_again(source, size, target)
      guard result == 0 else {
        // What is unmapped already is left alone.
        let rest = result == -1 ? target : target + size
        munmap(base, target - base)
        munmap(rest, base + length - rest)
        return nil
      }
      var region = range
      region.host = UInt64(UInt(bitPattern: target))
      regions.append(region)
      target += size
    }
    let slot = memory.fault.word.withMemoryRebound(to: UInt32.self, capacity: 1) {
      cl_guest_fault_register(base, length, $0)
    }
    guard slot >= 0 else {
      munmap(base, length)
      return nil
    }
    self.base = base
    self.length = length
    self.slot = slot
    self.regions = regions
    fault = memory.fault
    start = base + Int(first.host % Self.pageSize)
  }

  deinit {
    cl_guest_fault_unregister(slot)
    munmap(base, length)
  }

  /// The pages of each piece as they are mapped, cut where a region ends. Nil unless all pieces but the first begin with
  /// a page, and all but the last end with one.
  private static func pageRanges(_ pieces: [Piece], _ memory: GuestMemoryMap) -> [GuestRegion]? {
    var ranges: [GuestRegion] = []
    for (index, piece) in pieces.enumerated() {
      let end = piece.host + piece.length
      guard index == 0 || piece.host % pageSize == 0, index == pieces.count - 1 || end % pageSize == 0 else {
        return nil
      }
      var at = piece.host & ~(pageSize - 1)
      let last = (end + (pageSize - 1)) & ~(pageSize - 1)
      while at < last {
        guard let (guest, room) = memory.guestAddress(host: at) else { return nil }
        let size = min(last - at, room)
        ranges.append(GuestRegion(guestAddress: guest, size: size, userAddress: 0, host: at))
        at += size
      }
    }
    return ranges.isEmpty ? nil : ranges
  }
}
