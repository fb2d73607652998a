// Dirty logging (vhost-user, "Migration")
// =======================================
//
// While its guest migrates, a front-end shares a bitmap with one bit for each 4 KiB page of guest-physical memory, and
// copies again what was written meanwhile. Whoever writes guest memory sets the bits afterwards: the front-end takes a
// bit away before it reads the page, so a bit set before the bytes are there could be taken for older bytes.
//
// The bitmap is in a peer's file, like guest memory, and guarded like it. A log covers every page of the memory it was
// made for, or is not made; still, no byte outside the mapping is ever touched.

import Synchronization

/// Sets the bits of written pages: a trivial copy for one poll thread, valid while mapping and memory live.
@frozen
public struct DirtyLog {
  @usableFromInline let bits: UnsafeMutableRawPointer
  /// Pages the log has bits for.
  @usableFromInline let pageCount: UInt64
  @usableFromInline let memory: GuestMemoryMap
  @usableFromInline let fault: UnsafePointer<Atomic<UInt32>>

  init(
    bits: UnsafeMutableRawPointer, pageCount: UInt64, memory: GuestMemoryMap,
    fault: UnsafePointer<Atomic<UInt32>>
  ) {
    self.bits = bits
    self.pageCount = pageCount
    self.memory = memory
    self.fault = fault
  }

  /// Whether a page of the log itself went away under an access (SIGBUS).
  @inlinable public var hasFaulted: Bool { fault.pointee.load(ordering: .relaxed) != 0 }

  /// The `count` bytes at `host`, in guest memory as it is mapped here, have been written.
  @inlinable
  public func mark(_ host: UnsafeRawPointer, _ count: Int) {
    var address = UInt64(UInt(bitPattern: host))
    var left = UInt64(truncatingIfNeeded: max(0, count))
    // Host addresses may run on from one region's mapping into another's by chance: guest addresses need not.
    while left > 0 {
      guard let (guest, room) = memory.guestAddress(host: address) else { return }
      let size = min(left, room)
      markPages(guest >> 12, (guest &+ (size &- 1)) >> 12)
      address &+= size
      left &-= size
    }
  }

  // SAFETY: a page's byte is touched only if the log has a bit for the page. Atomic<UInt8> has the layout of UInt8.
  @inlinable
  func markPages(_ first: UInt64, _ last: UInt64) {
    var page = first
    while page <= last && page < pageCount {
      let byte = page >> 3
      var mask: UInt8 = 0
      while page <= last && page < pageCount && page >> 3 == byte {
        mask |= 1 &<< UInt8(truncatingIfNeeded: page)
        page &+= 1
      }
      let word = (bits + Int(truncatingIfNeeded: byte)).assumingMemoryBound(to: Atomic<UInt8>.self)
      word.pointee.bitwiseOr(mask, ordering: .releasing)
    }
  }
}

/// The mapping of a dirty log.
public final class DirtyLogMapping {
  private let mapping: GuardedMapping
  private let fault = FaultFlag()
  /// What logs that know of memory mapped twice look it up in.
  private var tables: [MapTable] = []
  /// Bytes.
  public let size: UInt64

  /// Maps `size` bytes of `file` from `offset` on, where guest-physical address 0 is logged.
  public init(_ file: Int32, offset: UInt64, size: UInt64) throws(GuestMemoryError) {
    guard size > 0 else { throw GuestMemoryError("the dirty log is empty") }
    mapping = try GuardedMapping(file, offset: offset, size: size, "the dirty log", fault)
    self.size = size
  }

  /// Whether every page of `memory` has a bit.
  public func covers(_ memory: GuestMemory) -> Bool { memory.lastAddress >> 15 < size }

  /// For poll threads that write to `memory`, also by way of what is mapped a second time; nil when it is not covered.
  /// Valid while all these objects live, until `forgetLogs`.
  // SAFETY: the mapping has `size` bytes, eight bits each.
  public func log(for memory: GuestMemory, _ joined: [JoinedMapping] = []) -> DirtyLog? {
    guard covers(memory) else { return nil }
    var map = memory.map
    if !joined.isEmpty {
      let table = MapTable(
        memory.regions + joined.flatMap(\.regions), fault: memory.fault, isTranslated: false)
      tables.append(table)
      map = table.map.pointee
    }
    let (pages, overflow) = size.multipliedReportingOverflow(by: 8)
    return DirtyLog(
      bits: mapping.start, pageCount: overflow ? .max : pages, memory: map, fault: UnsafePointer(fault.word))
  }

  /// No poll thread has a log any more.
  public func forgetLogs() { tables = [] }
}
