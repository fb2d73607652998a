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
    /// Behind a vIOMMU: `missing` has no translation yet.
    case untranslated
  }

  public var outcome: Outcome
  /// Pieces written.
  public var pieceCount: Int
  /// Bytes they have.
  public var length: Int
  /// The first address that is not translated, and whether it is to be written.
  public var missing: UInt64
  public var missesWriting: Bool
}

extension Virtqueue {
  /// Walks the chain of a pending buffer, following an indirect table, and lists its bytes as they lie in this
  /// process. At most `size` descriptors are looked at. All have to be writable, or none.
  ///
  /// A chain is ordinary descriptors, then perhaps one that refers to a table (virtio 1.3 §2.7.5.3.2 and §2.8.8). In a
  /// split ring each names the next one; in a packed ring they follow each other.
  ///
  /// - Parameters:
  ///   - memory: what may be read or, if `writable`, written.
  ///   - tables: what tables are read from. Behind a vIOMMU drivers let them only be read, also those of buffers to
  ///     write.
  // SAFETY: `pieces` has room for `capacity`; every piece was translated with its length.
  public func walk(
    _ element: Element, writable: Bool, _ memory: GuestMemoryMap, tables: GuestMemoryMap,
    into pieces: UnsafeMutablePointer<iovec>, capacity: Int
  ) -> DescriptorChain {
    var chain = DescriptorChain(
      outcome: .malformed, pieceCount: 0, length: 0, missing: 0, missesWriting: false)
    var cursor = Cursor(element)
    for _ in 0...size {
      guard enterTable(&cursor, tables, &chain) else { return chain }
      guard (cursor.entry.flags & Descriptor.write != 0) == writable else { return chain }
      guard append(cursor.entry, memory, to: &chain, pieces, capacity) else { return chain }
      guard let next = following(cursor) else {
        chain.outcome = .complete
        return chain
      }
      guard advance(&cursor, to: next, tables, &chain) else { return chain }
    }
    return chain
  }

  /// Finds what is not translated of a pending buffer's chain, for whoever asks ahead: the first address of each such
  /// page, as far as the chain can be followed. At most `limit` descriptors are looked at.
  ///
  /// - Parameter body: says whether to go on; told the address, and whether it is to be written.
  public func forEachMissing(
    in element: Element, writable: Bool, _ memory: GuestMemoryMap, tables: GuestMemoryMap, atMost limit: Int,
    _ body: (_ address: UInt64, _ isWritten: Bool) -> Bool
  ) {
    var chain = DescriptorChain(
      outcome: .malformed, pieceCount: 0, length: 0, missing: 0, missesWriting: false)
    var cursor = Cursor(element)
    for _ in 0..<min(size, limit) {
      guard enterTable(&cursor, tables, &chain) else { break }
      let entry = cursor.entry
      guard (entry.flags & Descriptor.write != 0) == writable,
        memory.forEachMissingPage(entry.address, UInt64(entry.length), { body($0, writable) })
      else { return }
      guard let next = following(cursor), advance(&cursor, to: next, tables, &chain) else { break }
    }
    if chain.outcome == .untranslated { _ = body(chain.missing, false) }
  }

  /// Where a walk is.
  private struct Cursor {
    var entry: Descriptor
    let slot: UInt16
    let slots: UInt16
    /// Descriptors of the packed ring, or of a packed table, that were passed.
    var passed: UInt16 = 0
    var table: IndirectTable?

    init(_ element: Element) {
      entry = element.descriptor
      slot = element.slot
      slots = element.slots
    }
  }

  /// The descriptor after the cursor's: an index, or for the packed layout a place in the sequence; nil at the end.
  private func following(_ cursor: Cursor) -> UInt16? {
    if !isPacked { return cursor.entry.flags & Descriptor.next != 0 ? cursor.entry.nextIndex : nil }
    let count = cursor.table?.count ?? Int(cursor.slots)
    let next = cursor.passed &+ 1
    return Int(next) < count ? next : nil
  }

  /// From a descriptor that refers to a table to the table's first; true as well if it does not.
  private func enterTable(
    _ cursor: inout Cursor, _ tables: GuestMemoryMap, _ chain: inout DescriptorChain
  ) -> Bool {
    while cursor.entry.flags & Descriptor.indirect != 0 {
      guard hasIndirect, cursor.table == nil, cursor.entry.flags & Descriptor.next == 0,
        let table = IndirectTable(cursor.entry, atMost: size)
      else { return false }
      cursor.table = table
      guard read(0, of: table, into: &cursor, tables, &chain) else { return false }
    }
    return true
  }

  private func advance(
    _ cursor: inout Cursor, to next: UInt16, _ tables: GuestMemoryMap, _ chain: inout DescriptorChain
  ) -> Bool {
    if let table = cursor.table { return read(next, of: table, into: &cursor, tables, &chain) }
    if isPacked {
      let slot = (cursor.slot &+ next) & packed.mask
      cursor.entry = packed.descriptor(slot, packed.word(slot))
      cursor.passed = next
      return true
    }
    guard Int(next) < size else { return false }
    cursor.entry = split.descriptor(next)
    return true
  }

  private func read(
    _ index: UInt16, of table: IndirectTable, into cursor: inout Cursor, _ tables: GuestMemoryMap,
    _ chain: inout DescriptorChain
  ) -> Bool {
    guard let position = table.address(of: index) else { return false }
    guard let bytes = tables.translate(position, 16) else {
      miss(position, 16, tables, forWriting: false, &chain)
      return false
    }
    cursor.entry = readDescriptor(bytes, packed: isPacked)
    cursor.passed = index
    return true
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
    let length = UInt64(entry.length)
    guard let added = memory.pieces(entry.address, length, into: pieces + chain.pieceCount, capacity: room)
    else {
      miss(entry.address, length, memory, forWriting: entry.flags & Descriptor.write != 0, &chain)
      return false
    }
    chain.pieceCount &+= added
    chain.length &+= Int(entry.length)
    return true
  }

  /// Behind a vIOMMU, what cannot be translated may be so later.
  private func miss(
    _ address: UInt64, _ length: UInt64, _ memory: GuestMemoryMap, forWriting: Bool,
    _ chain: inout DescriptorChain
  ) {
    guard memory.isTranslated, let missing = memory.firstMissing(address, length) else { return }
    chain.outcome = .untranslated
    chain.missing = missing
    chain.missesWriting = forWriting
  }
}

/// A table of descriptors in guest memory (virtio 1.3 §2.7.5.3 and §2.8.7).
private struct IndirectTable {
  private let start: UInt64
  let count: Int

  /// Nil unless it holds 1 to `limit` whole entries.
  init?(_ entry: Descriptor, atMost limit: Int) {
    let bytes = Int(entry.length)
    guard bytes > 0, bytes % 16 == 0, bytes / 16 <= limit else { return nil }
    start = entry.address
    count = bytes / 16
  }

  /// Where entry `index` is; nil outside the table.
  func address(of index: UInt16) -> UInt64? {
    let (position, overflow) = start.addingReportingOverflow(UInt64(index) * 16)
    return Int(index) < count && !overflow ? position : nil
  }
}
