// The device's side of a split virtqueue (virtio 1.3 §2.7)
// ========================================================
//
// One burst is `pop`, `fill`, `flush`, `notify`:
//
//     n = pending(atMost: 32)     how many buffers the driver offers; one read of the shared index at most
//     heads(n, …)                 their heads, each word read once; their descriptors are on their way to the cache
//     descriptor(…)               one of them, each word read once
//     pop(n)                      they are ours now
//     fill(head, length)          …each goes back with the bytes written to it,
//     flush()                     …all at once visible to the driver,
//     notify()                    …which is interrupted if it asked for that.
//
// Nothing the driver writes is trusted. Ring positions are masked by the ring's size, a power of two, so no index can
// leave the rings; an available index further ahead than the ring is long is a violation, which `pending` reports.
//
// An unchanged used element is not rewritten: the driver's copy of that cache line then stays valid.

import CLinux
import Glibc
import Linux
import Synchronization

@frozen
public struct SplitVirtqueue: ~Copyable {
  public static let maximumSize: UInt32 = 32_768

  @inlinable static var noNotify: UInt16 { 1 }  // VIRTQ_USED_F_NO_NOTIFY
  @inlinable static var noInterrupt: UInt16 { 1 }  // VIRTQ_AVAIL_F_NO_INTERRUPT

  @usableFromInline let descriptors: UnsafeMutableRawPointer
  @usableFromInline let available: UnsafeMutableRawPointer
  @usableFromInline let used: UnsafeMutableRawPointer
  @usableFromInline let mask: UInt16
  @usableFromInline let hasEventIndex: Bool
  @usableFromInline let hasIndirect: Bool
  /// Next position of the available ring to take.
  @usableFromInline var nextAvailable: UInt16
  /// The driver's available index as last read.
  @usableFromInline var availableIndex: UInt16
  /// Next position of the used ring to fill.
  @usableFromInline var nextUsed: UInt16
  /// The used index the driver sees.
  @usableFromInline var published: UInt16
  /// The used index at the last notification.
  @usableFromInline var notified: UInt16
  @usableFromInline var mustNotify: Bool
  /// An eventfd, or -1.
  @usableFromInline let call: Int32

  /// Where the parts of a ring lie in this process, and how it is used.
  public struct Layout {
    public var size: UInt32
    public var descriptors: UnsafeMutableRawPointer
    public var available: UnsafeMutableRawPointer
    public var used: UnsafeMutableRawPointer

    /// - Parameter size: a power of two, at most `maximumSize`.
    public init(
      size: UInt32, descriptors: UnsafeMutableRawPointer, available: UnsafeMutableRawPointer,
      used: UnsafeMutableRawPointer
    ) {
      self.size = size
      self.descriptors = descriptors
      self.available = available
      self.used = used
    }

    /// Bytes of each part for a ring of `size` entries, event index included.
    public static func descriptorBytes(_ size: UInt32) -> UInt64 { 16 * UInt64(size) }
    public static func availableBytes(_ size: UInt32) -> UInt64 { 6 + 2 * UInt64(size) }
    public static func usedBytes(_ size: UInt32) -> UInt64 { 6 + 8 * UInt64(size) }

    /// The used index in memory: where a device that completes everything in order left off.
    // SAFETY: the parts lie in mapped memory and are aligned: the caller's duty, as for the whole type.
    public var usedIndex: UInt16 { guestWord16(used, 2).pointee.load(ordering: .acquiring) }
  }

  /// Continues at `position` of both rings. `call` is the eventfd that interrupts the driver, or -1.
  public init(_ layout: Layout, position: UInt16, features: VirtioFeatures, call: Int32) {
    descriptors = layout.descriptors
    available = layout.available
    used = layout.used
    mask = UInt16(truncatingIfNeeded: layout.size &- 1)
    hasEventIndex = features.contains(.eventIndex)
    hasIndirect = features.contains(.indirectDescriptors)
    nextAvailable = position
    availableIndex = position
    nextUsed = position
    published = position
    notified = position
    mustNotify = true
    self.call = call
  }

  public var size: Int { Int(mask) &+ 1 }

  /// Where a successor has to continue. Everything popped has been filled.
  public var position: UInt16 { nextAvailable }

  // MARK: pop

  /// How many buffers the driver offers, counted up to `limit`; -1 when its index is further ahead than the ring is
  /// long. The shared index is read only if the last value read does not suffice.
  // SAFETY: byte 2 of the available ring is in its mapping.
  @inlinable @inline(__always)
  public mutating func pending(atMost limit: Int) -> Int {
    var count = Int(availableIndex &- nextAvailable)
    if count < limit {
      availableIndex = guestWord16(available, 2).pointee.load(ordering: .acquiring)
      count = Int(availableIndex &- nextAvailable)
      if count > size {
        // Not to be taken for a good value by the next call.
        availableIndex = nextAvailable
        return -1
      }
    }
    return count < limit ? count : limit
  }

  /// The head of the `offset`-th pending buffer, masked into the descriptor table.
  // SAFETY: the masked slot lies within the ring of `size` entries.
  @inlinable @inline(__always)
  public func head(_ offset: Int) -> UInt16 {
    let slot = Int((nextAvailable &+ UInt16(truncatingIfNeeded: offset)) & mask)
    return guestWord16(available, 4 &+ slot &* 2).pointee.load(ordering: .relaxed) & mask
  }

  /// Lists the heads of the first `count` pending buffers, masked into the descriptor table, and fetches their
  /// descriptors: the driver wrote them on another processor, and so a burst waits for them once.
  // SAFETY: the masked slots lie within the ring, the masked heads within the table; `heads` has room for `count`.
  @inlinable @inline(__always)
  public func heads(_ count: Int, into heads: UnsafeMutablePointer<UInt16>) {
    let available = available
    let descriptors = descriptors
    let mask = mask
    let first = nextAvailable
    var index = 0
    while index < count {
      let slot = Int((first &+ UInt16(truncatingIfNeeded: index)) & mask)
      let head = guestWord16(available, 4 &+ slot &* 2).pointee.load(ordering: .relaxed) & mask
      heads[index] = head
      cl_prefetch_read(descriptors + Int(head) &* 16)
      index = index &+ 1
    }
  }

  /// Reads entry `index` of the descriptor table, each word once.
  // SAFETY: the masked index lies within the table; its entries are 16-byte aligned.
  @inlinable @inline(__always)
  public func descriptor(_ index: UInt16) -> Descriptor {
    let offset = Int(index & mask) &* 16
    return Descriptor(
      address: guestWord64(descriptors, offset).pointee.load(ordering: .relaxed),
      word: guestWord64(descriptors, offset &+ 8).pointee.load(ordering: .relaxed))
  }

  /// Takes the next `count` pending buffers; each has to be filled before the burst ends.
  @inlinable @inline(__always)
  public mutating func pop(_ count: Int) {
    nextAvailable = nextAvailable &+ UInt16(truncatingIfNeeded: count)
  }

  // MARK: fill and flush

  /// Puts a popped buffer into the used ring. The driver sees it after `flush`.
  // SAFETY: the masked slot lies within the ring; used elements are 4-byte aligned only.
  @inlinable @inline(__always)
  public mutating func fill(_ head: UInt16, length: UInt32) {
    let element = used + (4 &+ Int(nextUsed & mask) &* 8)
    let value = UInt64(head) | UInt64(length) << 32
    if element.loadUnaligned(as: UInt64.self) != value { element.storeBytes(of: value, as: UInt64.self) }
    nextUsed = nextUsed &+ 1
  }

  /// Puts `count` popped buffers into the used ring, nothing written to any.
  // SAFETY: as for `fill`; `heads` has `count`.
  @inlinable @inline(__always)
  public mutating func fill(_ heads: UnsafePointer<UInt16>, count: Int) {
    let used = used
    let mask = mask
    let first = nextUsed
    var index = 0
    while index < count {
      let slot = Int((first &+ UInt16(truncatingIfNeeded: index)) & mask)
      let element = used + (4 &+ slot &* 8)
      let value = UInt64(heads[index])
      if element.loadUnaligned(as: UInt64.self) != value { element.storeBytes(of: value, as: UInt64.self) }
      index = index &+ 1
    }
    nextUsed = first &+ UInt16(truncatingIfNeeded: count)
  }

  /// Makes all filled buffers visible to the driver; false if there were none.
  @inlinable @inline(__always)
  public mutating func flush() -> Bool {
    if nextUsed == published { return false }
    published = nextUsed
    guestWord16(used, 2).publish(published)
    return true
  }

  // MARK: notify

  /// Interrupts the driver if it asked for that since the last notification; to be called after a `flush` that
  /// returned true. Returns whether it did.
  @inlinable @inline(__always)
  public mutating func notify() -> Bool {
    // The driver writes its wish, then looks at the used index; we wrote the index, now look at its wish. Without a
    // full fence both could read old values, and the driver would sleep over its buffers.
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    let wanted: Bool
    if hasEventIndex {
      let event = guestWord16(available, 4 &+ size &* 2).pointee.load(ordering: .relaxed)
      wanted = mustNotify || published &- event &- 1 < published &- notified
      notified = published
    } else {
      wanted = guestWord16(available, 0).pointee.load(ordering: .relaxed) & Self.noInterrupt == 0
    }
    mustNotify = false
    if wanted { interrupt() }
    return wanted
  }

  /// Interrupts the driver whether it asked for that or not: after a restart, when an interrupt may have been lost.
  @inline(never)
  public func interrupt() {
    if call >= 0 { EventFD.signal(call) }
  }

  // MARK: the driver's notifications (kicks)

  /// Asks the driver to notify us of the next buffer it offers; false if there is one already.
  public mutating func arm() -> Bool {
    if hasEventIndex {
      guestWord16(used, 4 &+ size &* 8).publish(nextAvailable)
    } else {
      guestWord16(used, 0).publish(0)
    }
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    return pending(atMost: 1) == 0
  }

  /// Tells the driver that we look by ourselves.
  public func disarm() {
    // With the event index, letting the armed position fall behind is enough.
    if !hasEventIndex { guestWord16(used, 0).publish(Self.noNotify) }
  }
}

/// One entry of a descriptor table (virtio 1.3 §2.7.5), read once.
@frozen
public struct Descriptor {
  /// Guest-physical address.
  public let address: UInt64
  /// length, flags and next as one little-endian word.
  public let word: UInt64

  @inlinable
  public init(address: UInt64, word: UInt64) {
    self.address = address
    self.word = word
  }

  @inlinable public static var next: UInt16 { 1 }
  @inlinable public static var write: UInt16 { 2 }
  @inlinable public static var indirect: UInt16 { 4 }

  /// Bytes.
  @inlinable public var length: UInt32 { UInt32(truncatingIfNeeded: word) }
  @inlinable public var flags: UInt16 { UInt16(truncatingIfNeeded: word >> 32) }
  @inlinable public var nextIndex: UInt16 { UInt16(truncatingIfNeeded: word >> 48) }

  /// One readable buffer, not part of a chain.
  @inlinable public var isPlainReadable: Bool { flags & 7 == 0 }
  /// One writable buffer, not part of a chain.
  @inlinable public var isPlainWritable: Bool { flags & 7 == Self.write }
}

extension UnsafePointer where Pointee == Atomic<UInt16> {
  /// Publishes `value`: what was written before is visible to whoever reads it.
  // SAFETY: the pointer came from mutable guest memory (`guestWord16`).
  @inlinable @inline(__always)
  func publish(_ value: UInt16) { pointee.store(value, ordering: .releasing) }
}
