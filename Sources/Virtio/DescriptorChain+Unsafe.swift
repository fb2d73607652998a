import Glibc
import Synchronization

/// What walking a descriptor chain found.
@frozen
public struct DescriptorChain {
  @frozen
  public enum Outcome: Sendable {
    case complete
    /// Outside guest memory, a loop, a nested or unnegotiated table, or a buffer of the wrong direction.
    case malformed
    /// More pieces than there was room for.
    case tooLong
  }

  public var outcome: Outcome
  /// Pieces written.
  public var pieceCount: Int
  /// Bytes they have.
  public var length: Int
}

extension SplitVirtqueue {
  /// Walks the chain beginning at `head`, following an indirect table, and lists its bytes as they lie in this
  /// process. At most `size` descriptors are looked at. All have to be writable, or none.
  ///
  /// A chain is ordinary descriptors, then perhaps one that refers to a table (virtio 1.3 §2.7.5.3.2).
  // SAFETY: `pieces` has room for `capacity`; every piece was translated with its length.
  public func walk(
    _ head: UInt16, writable: Bool, _ memory: GuestMemoryMap,
    into pieces: UnsafeMutablePointer<iovec>, capacity: Int
  ) -> DescriptorChain {
    var chain = DescriptorChain(outcome: .malformed, pieceCount: 0, length: 0)
    var table = IndirectTable?.none
    var index = head
    for _ in 0...size {
      let entry: Descriptor
      if let table {
        guard let found = table.descriptor(index, memory) else { return chain }
        entry = found
      } else {
        guard Int(index) < size else { return chain }
        entry = descriptor(index)
      }
      if entry.flags & Descriptor.indirect != 0 {
        guard hasIndirect, table == nil, entry.flags & Descriptor.next == 0,
          let found = IndirectTable(entry, atMost: size)
        else { return chain }
        table = found
        index = 0
        continue
      }
      guard (entry.flags & Descriptor.write != 0) == writable else { return chain }
      guard append(entry, memory, to: &chain, pieces, capacity) else { return chain }
      if entry.flags & Descriptor.next == 0 {
        chain.outcome = .complete
        return chain
      }
      index = entry.nextIndex
    }
    return chain
  }

  private func append(
    _ entry: Descriptor, _ memory: GuestMemoryMap, to chain: inout DescriptorChain,
    _ pieces: UnsafeMutablePointer<iovec>, _ capacity: Int
  ) -> Bool {
    let room = capacity &- chain.pieceCount
    if room == 0 {
      chain.outcome = .tooLong
      return false
    }
    let added = memory.pieces(
      entry.address, UInt64(entry.length), into: pieces + chain.pieceCount, capacity: room)
    guard let added else { return false }
    chain.pieceCount &+= added
    chain.length &+= Int(entry.length)
    return true
  }
}

/// A table of descriptors in guest memory (virtio 1.3 §2.7.5.3).
private struct IndirectTable {
  let address: UInt64
  let count: Int

  /// Nil unless it holds 1 to `limit` whole entries.
  init?(_ entry: Descriptor, atMost limit: Int) {
    let bytes = Int(entry.length)
    guard bytes > 0, bytes % 16 == 0, bytes / 16 <= limit else { return nil }
    address = entry.address
    count = bytes / 16
  }

  // SAFETY: each entry is translated by itself with its 16 bytes. A table need not be aligned, so it is copied, and
  // decided upon only behind a barrier.
  func descriptor(_ index: UInt16, _ memory: GuestMemoryMap) -> Descriptor? {
    let (position, overflow) = address.addingReportingOverflow(UInt64(index) * 16)
    guard Int(index) < count, !overflow, let entry = memory.translate(position, 16) else { return nil }
    return readDescriptor(entry)
  }
}
