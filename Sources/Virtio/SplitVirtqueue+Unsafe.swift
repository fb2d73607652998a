// The device's side of a split virtqueue (virtio 1.3 §2.7)
// ========================================================
//
// Nothing the driver writes is trusted. Ring positions are masked by the ring's size, a power of two, so no index can
// leave the rings; an available index further ahead than the ring is long is a violation, which `pending` reports.
//
// Every buffer taken in a turn is completed in it, in order: the used index in memory says how far the device is, also
// to a successor of a device that died.
//
// An unchanged used element is not rewritten: the driver's copy of that cache line then stays valid.

import CLinux
import Synchronization

@usableFromInline @frozen
struct SplitVirtqueue: ~Copyable {
  @inlinable static var noNotify: UInt16 { 1 }  // VIRTQ_USED_F_NO_NOTIFY
  @inlinable static var noInterrupt: UInt16 { 1 }  // VIRTQ_AVAIL_F_NO_INTERRUPT

  @usableFromInline let descriptors: UnsafeMutableRawPointer
  @usableFromInline let available: UnsafeMutableRawPointer
  @usableFromInline let used: UnsafeMutableRawPointer
  @usableFromInline let mask: UInt16
  @usableFromInline let hasEventIndex: Bool
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
  /// Where writes are noted, while the guest migrates.
  @usableFromInline let log: DirtyLog?

  /// Continues at `position` of both rings.
  init(_ layout: VirtqueueLayout, position: UInt16, features: VirtioFeatures, log: DirtyLog?) {
    descriptors = layout.descriptors
    available = layout.available
    used = layout.used
    mask = UInt16(truncatingIfNeeded: layout.size &- 1)
    hasEventIndex = features.contains(.eventIndex)
    nextAvailable = position
    availableIndex = position
    nextUsed = position
    published = position
    notified = position
    mustNotify = true
    self.log = log
  }

  @inlinable var size: Int { Int(mask) &+ 1 }

  /// Where a successor has to continue. Everything popped has been filled.
  var position: UInt16 { nextAvailable }

  /// How far a device that completes everything in order got, whatever became of it.
  // SAFETY: byte 2 of the used ring is in its mapping.
  static func reached(_ layout: VirtqueueLayout) -> UInt16 {
    guestWord16(layout.used, 2).pointee.load(ordering: .acquiring)
  }

  // MARK: pop

  /// How many buffers the driver offers, counted up to `limit`; -1 when its index is further ahead than the ring is
  /// long. The shared index is read only if the last value read does not suffice.
  // SAFETY: byte 2 of the available ring is in its mapping.
  @inlinable @inline(__always)
  mutating func pending(atMost limit: Int) -> Int {
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

  /// The `offset`-th pending buffer; its head is masked into the descriptor table.
  // SAFETY: the masked slot lies within the ring of `size` entries.
  @inlinable @inline(__always)
  func element(_ offset: Int) -> Element {
    let slot = (nextAvailable &+ UInt16(truncatingIfNeeded: offset)) & mask
    let head = guestWord16(available, 4 &+ Int(slot) &* 2).pointee.load(ordering: .relaxed) & mask
    return Element(descriptor(head), id: head, slot: slot)
  }

  /// Lists the first `count` pending buffers. The driver wrote all this on another processor, so first all heads are
  /// read and their descriptors fetched: a burst waits for them once. Only what a split ring has to say is written.
  // SAFETY: the masked slots lie within the ring, the masked heads within the table; `elements` has room for `count`.
  @inlinable @inline(__always)
  func elements(_ count: Int, into elements: UnsafeMutablePointer<Element>) {
    let available = available
    let descriptors = descriptors
    let mask = mask
    let first = nextAvailable
    var index = 0
    while index < count {
      let slot = Int((first &+ UInt16(truncatingIfNeeded: index)) & mask)
      let head = guestWord16(available, 4 &+ slot &* 2).pointee.load(ordering: .relaxed) & mask
      elements[index].id = head
      cl_prefetch_read(descriptors + Int(head) &* 16)
      index = index &+ 1
    }
    index = 0
    while index < count {
      elements[index].descriptor = descriptor(elements[index].id)
      index = index &+ 1
    }
  }

  /// Reads entry `index` of the descriptor table, each word once.
  // SAFETY: the masked index lies within the table; its entries are 16-byte aligned.
  @inlinable @inline(__always)
  func descriptor(_ index: UInt16) -> Descriptor {
    let offset = Int(index & mask) &* 16
    return Descriptor(
      address: guestWord64(descriptors, offset).pointee.load(ordering: .relaxed),
      word: guestWord64(descriptors, offset &+ 8).pointee.load(ordering: .relaxed))
  }

  /// Takes the next `count` pending buffers; each has to be filled before the burst ends.
  @inlinable @inline(__always)
  mutating func pop(_ count: Int) {
    nextAvailable = nextAvailable &+ UInt16(truncatingIfNeeded: count)
  }

  // MARK: fill and flush

  /// Puts popped buffers into the used ring. The driver sees them after `flush`.
  // SAFETY: the masked slot lies within the ring; used elements are 4-byte aligned only; `elements` has `count`.
  @inlinable @inline(__always)
  mutating func fill(_ elements: UnsafePointer<Element>, count: Int) {
    let used = used
    let mask = mask
    let first = nextUsed
    var index = 0
    while index < count {
      let slot = Int((first &+ UInt16(truncatingIfNeeded: index)) & mask)
      let target = used + (4 &+ slot &* 8)
      let value = UInt64(elements[index].id) | UInt64(elements[index].written) << 32
      if target.loadUnaligned(as: UInt64.self) != value { target.storeBytes(of: value, as: UInt64.self) }
      index = index &+ 1
    }
    nextUsed = first &+ UInt16(truncatingIfNeeded: count)
  }

  /// Makes all filled buffers visible to the driver; false if there were none.
  @inlinable @inline(__always)
  mutating func flush() -> Bool {
    if nextUsed == published { return false }
    let first = published
    published = nextUsed
    guestWord16(used, 2).publish(published)
    if log != nil { logUsed(from: first) }
    return true
  }

  /// Marks what was just written.
  // SAFETY: the masked slots lie within the ring.
  @inlinable @inline(never)
  mutating func logUsed(from position: UInt16) {
    guard let log else { return }
    let first = Int(position & mask)
    let count = Int(published &- position)
    let tail = min(count, size &- first)
    log.mark(used + (4 &+ first &* 8), tail &* 8)
    if count > tail { log.mark(used + 4, (count &- tail) &* 8) }
    log.mark(used, 4)
  }

  // MARK: notify

  /// Whether the driver asked to be interrupted for what was flushed since the last notification.
  @inlinable @inline(__always)
  mutating func wantsNotification() -> Bool {
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
    return wanted
  }

  // MARK: the driver's notifications (kicks)

  /// Asks the driver to notify us of the next buffer it offers; false if there is one already.
  mutating func arm() -> Bool {
    wish(nextAvailable)
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    return pending(atMost: 1) == 0
  }

  /// Asks the driver to notify us of the next buffer it offers, behind those it has.
  // SAFETY: the available ring begins with flags and index, 16 bits each.
  func armBehind() { wish(guestWord16(available, 2).pointee.load(ordering: .relaxed)) }

  /// Asks for a notification when the buffer with this index is offered; of every one, without the event index.
  private func wish(_ index: UInt16) {
    if hasEventIndex {
      guestWord16(used, 4 &+ size &* 8).publish(index)
      log?.mark(used + (4 &+ size &* 8), 2)
    } else {
      guestWord16(used, 0).publish(0)
      log?.mark(used, 2)
    }
  }

  /// Tells the driver that we look by ourselves.
  func disarm() {
    // With the event index, letting the armed position fall behind is enough.
    if hasEventIndex { return }
    guestWord16(used, 0).publish(Self.noNotify)
    log?.mark(used, 2)
  }
}
