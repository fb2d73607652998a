// The device's side of a packed virtqueue (virtio 1.3 §2.8)
// =========================================================
//
// One ring of descriptors is used by both sides. Two flags of each, AVAIL and USED, say whose it is: the driver offers a
// buffer by making AVAIL equal to its wrap counter and USED different, the device gives it back by making both equal to
// its own. The wrap counters, 1 at first, flip at the ring's end. Here positions are 16-bit counters that never stop:
// with a size that is a power of two, the low bits are the slot, and the bit above tells the lap, hence the wrap counter.
//
// A buffer of several descriptors takes as many slots, and goes back in the first of them. How many they are is seen
// when it is found; that is why buffers found but not yet popped are remembered.
//
// *Nothing is half done.* Buffers that go back are collected privately, and all written by `flush` in ring order: a
// device that dies leaves the ring as if it had stopped between two buffers. What it did not leave is its position, for
// which the split ring has the used index. So it is kept in the one field of the ring that is the device's and that
// drivers have no use for: `desc_event_off_wrap`, read by them only while an event index is armed, when it has to be that
// position anyway. `reached` judges whether to believe it, because a driver that starts anew, or another device, may
// have left something else there.
//
// Nothing the driver writes is trusted: slots are masked, no more than the ring's slots are ever outstanding, and a chain
// longer than the ring is a violation, since nobody could say where the next buffer begins.

import CLinux
import Synchronization

@usableFromInline @frozen
struct PackedVirtqueue: ~Copyable {
  /// Buffers remembered between `pending` and `pop`: one more than are asked for at once.
  @inlinable static var foundCapacity: Int { 264 }
  @inlinable static var doneCapacity: Int { 256 }

  @usableFromInline let descriptors: UnsafeMutableRawPointer
  @usableFromInline let driverEvent: UnsafeMutableRawPointer
  @usableFromInline let deviceEvent: UnsafeMutableRawPointer
  @usableFromInline let mask: UInt16
  @usableFromInline let hasEventIndex: Bool
  /// Where the next buffer is looked for.
  @usableFromInline var nextFound: UInt16
  /// Where the first buffer not popped begins.
  @usableFromInline var nextAvailable: UInt16
  /// Where the next used descriptor goes.
  @usableFromInline var nextUsed: UInt16
  /// The position at the last notification.
  @usableFromInline var notified: UInt16
  @usableFromInline var mustNotify = true
  /// A chain had no end.
  @usableFromInline var isBroken = false
  /// Where writes are noted, while the guest migrates.
  @usableFromInline let log: DirtyLog?
  @usableFromInline let found: UnsafeMutablePointer<Element>
  @usableFromInline var foundCount = 0
  /// Buffers filled since the last flush.
  @usableFromInline let done: UnsafeMutablePointer<Used>
  @usableFromInline var doneCount = 0

  @usableFromInline @frozen
  struct Used {
    @usableFromInline var word: UInt64
    @usableFromInline var slots: UInt16

    @inlinable init(word: UInt64, slots: UInt16) {
      self.word = word
      self.slots = slots
    }
  }

  /// Continues at `position`.
  init(_ layout: VirtqueueLayout, position: UInt16, features: VirtioFeatures, log: DirtyLog?) {
    descriptors = layout.descriptors
    driverEvent = layout.available
    deviceEvent = layout.used
    mask = UInt16(truncatingIfNeeded: layout.size &- 1)
    hasEventIndex = features.contains(.eventIndex)
    nextFound = position
    nextAvailable = position
    nextUsed = position
    notified = position
    self.log = log
    found = .allocate(capacity: Self.foundCapacity)
    done = .allocate(capacity: Self.doneCapacity)
  }

  @inlinable deinit {
    found.deallocate()
    done.deallocate()
  }

  @inlinable var size: Int { Int(mask) &+ 1 }

  var position: UInt16 { nextAvailable }

  // MARK: positions and flags

  @inlinable static var availableFlag: UInt16 { 1 << 7 }
  @inlinable static var usedFlag: UInt16 { 1 << 15 }

  /// Both flags as they are in a used descriptor of `position`.
  @inlinable @inline(__always)
  func usedFlags(_ position: UInt16) -> UInt16 {
    wrap(position) ? Self.availableFlag | Self.usedFlag : 0
  }

  @inlinable @inline(__always)
  func wrap(_ position: UInt16) -> Bool { position & (mask &+ 1) == 0 }

  /// Whether flags read at `position` say that the driver offers what is there.
  @inlinable @inline(__always)
  func isOffered(_ flags: UInt16, _ position: UInt16) -> Bool {
    let wanted = wrap(position) ? Self.availableFlag : Self.usedFlag
    return flags & (Self.availableFlag | Self.usedFlag) == wanted
  }

  // MARK: pop

  /// How many buffers the driver offers, counted up to `limit`; -1 when a chain is longer than the ring.
  @inlinable @inline(__always)
  mutating func pending(atMost limit: Int) -> Int {
    while foundCount < limit && find() {}
    if foundCount == 0 && isBroken { return -1 }
    return foundCount < limit ? foundCount : limit
  }

  /// Remembers the next buffer; false when there is none.
  // SAFETY: slots are masked; `found` has room, because nobody asks for more than `foundCapacity`.
  @inlinable @inline(__always)
  mutating func find() -> Bool {
    let outstanding = nextFound &- nextUsed
    if Int(outstanding) >= size || foundCount == Self.foundCapacity { return false }
    let slot = nextFound & mask
    let word = self.word(slot)
    let flags = UInt16(truncatingIfNeeded: word >> 48)
    if !isOffered(flags, nextFound) { return false }
    var element = Element(descriptor(slot, word), id: UInt16(truncatingIfNeeded: word >> 32), slot: slot)
    if flags & Descriptor.next != 0 && !findEnd(&element, Int(outstanding)) { return false }
    found[foundCount] = element
    foundCount = foundCount &+ 1
    nextFound = nextFound &+ element.slots
    return true
  }

  /// Counts the descriptors of a chain; the last one has the buffer's id.
  @inlinable @inline(never)
  mutating func findEnd(_ element: inout Element, _ outstanding: Int) -> Bool {
    var slots: UInt16 = 1
    while Int(slots) &+ outstanding < size {
      let word = self.word((nextFound &+ slots) & mask)
      slots = slots &+ 1
      if UInt16(truncatingIfNeeded: word >> 48) & Descriptor.next == 0 {
        element.slots = slots
        element.id = UInt16(truncatingIfNeeded: word >> 32)
        return true
      }
    }
    // The slots of buffers under way may be what is missing: only an empty ring can tell.
    if outstanding == 0 { isBroken = true }
    return false
  }

  @inlinable @inline(__always)
  func element(_ offset: Int) -> Element { found[offset] }

  // SAFETY: `count` is at most what `pending` returned, and `elements` has room for it.
  @inlinable @inline(__always)
  func elements(_ count: Int, into elements: UnsafeMutablePointer<Element>) {
    elements.update(from: found, count: count)
  }

  @inlinable @inline(__always)
  mutating func pop(_ count: Int) {
    var index = 0
    while index < count {
      nextAvailable = nextAvailable &+ found[index].slots
      index = index &+ 1
    }
    foundCount = foundCount &- count
    if foundCount > 0 { found.update(from: found + count, count: foundCount) }
  }

  /// Length, id and flags of a slot, read at once.
  // SAFETY: a masked slot lies within the ring, whose entries are 16-byte aligned.
  @inlinable @inline(__always)
  func word(_ slot: UInt16) -> UInt64 {
    guestWord64(descriptors, Int(slot) &* 16 &+ 8).pointee.load(ordering: .acquiring)
  }

  /// The descriptor whose second word was read already.
  // SAFETY: as for `word`.
  @inlinable @inline(__always)
  func descriptor(_ slot: UInt16, _ word: UInt64) -> Descriptor {
    Descriptor(
      address: guestWord64(descriptors, Int(slot) &* 16).pointee.load(ordering: .relaxed), packed: word)
  }

  // MARK: fill and flush

  /// Takes note of popped buffers that go back.
  // SAFETY: a full list is flushed first; `elements` has `count`.
  @inlinable @inline(__always)
  mutating func fill(_ elements: UnsafePointer<Element>, count: Int) {
    var index = 0
    while index < count {
      if doneCount == Self.doneCapacity { write() }
      let element = elements[index]
      let flags: UInt64 = element.written == 0 ? 0 : UInt64(Descriptor.write)
      done[doneCount] = Used(
        word: UInt64(element.written) | UInt64(element.id) << 32 | flags << 48, slots: element.slots)
      doneCount = doneCount &+ 1
      index = index &+ 1
    }
  }

  /// Makes all filled buffers visible to the driver; false if there were none.
  @inlinable @inline(__always)
  mutating func flush() -> Bool {
    if doneCount == 0 { return false }
    write()
    return true
  }

  /// Writes the collected descriptors, one after the other, and where that leads.
  // SAFETY: slots are masked; the device event area is 4-byte aligned.
  @inlinable @inline(__always)
  mutating func write() {
    var index = 0
    var position = nextUsed
    while index < doneCount {
      let used = done[index]
      let slot = Int(position & mask)
      let word = used.word | UInt64(usedFlags(position)) << 48
      UnsafePointer(guestWord64(descriptors, slot &* 16 &+ 8)).pointee.store(word, ordering: .releasing)
      position = position &+ used.slots
      index = index &+ 1
    }
    guestWord16(deviceEvent, 0).publish(offsetWrap(position))
    if log != nil { logUsed() }
    doneCount = 0
    nextUsed = position
  }

  /// Marks what was just written.
  @inlinable @inline(never)
  mutating func logUsed() {
    guard let log else { return }
    var position = nextUsed
    for index in 0..<doneCount {
      log.mark(descriptors + Int(position & mask) &* 16, 16)
      position = position &+ done[index].slots
    }
    log.mark(deviceEvent, 4)
  }

  /// A position as both sides write it: 15 bits of slot, and the wrap counter (virtio 1.3 §2.8.14).
  @inlinable @inline(__always)
  func offsetWrap(_ position: UInt16) -> UInt16 { position & mask | (wrap(position) ? 0x8000 : 0) }

  // MARK: notify

  /// Whether the driver asked to be interrupted for what was flushed since the last notification.
  // SAFETY: the driver event area is 4-byte aligned.
  @inlinable @inline(__always)
  mutating func wantsNotification() -> Bool {
    // As for the split ring: what was written has to be visible before the driver's wish is read.
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    let wish = guestWord32(driverEvent, 0).pointee.load(ordering: .relaxed)
    let wanted: Bool
    switch UInt16(truncatingIfNeeded: wish >> 16) & 3 {
    case Self.enable: wanted = true
    case Self.atPosition where hasEventIndex:
      let event = position(UInt16(truncatingIfNeeded: wish), size: size)
      let laps = mask &* 2 &+ 1
      wanted = mustNotify || (nextUsed &- event &- 1) & laps < (nextUsed &- notified) & laps
    default: wanted = false
    }
    notified = nextUsed
    mustNotify = false
    return wanted
  }

  @inlinable static var enable: UInt16 { 0 }  // RING_EVENT_FLAGS_ENABLE
  @inlinable static var disable: UInt16 { 1 }  // RING_EVENT_FLAGS_DISABLE
  @inlinable static var atPosition: UInt16 { 2 }  // RING_EVENT_FLAGS_DESC

  // MARK: the driver's notifications (kicks)

  /// Asks the driver to notify us of the next buffer it offers; false if there is one already.
  mutating func arm() -> Bool {
    wish(hasEventIndex ? Self.atPosition : Self.enable)
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    return pending(atMost: 1) == 0
  }

  /// Asks the driver to notify us of whatever it offers.
  func armBehind() { wish(Self.enable) }

  /// Tells the driver that we look by ourselves.
  func disarm() { wish(Self.disable) }

  /// Position and flags are read together, and so written together.
  // SAFETY: the device event area is 4-byte aligned.
  private func wish(_ flags: UInt16) {
    let word = UInt32(offsetWrap(nextAvailable)) | UInt32(flags) << 16
    guestWord32(deviceEvent, 0).pointee.store(word, ordering: .releasing)
    log?.mark(deviceEvent, 4)
  }
}

// MARK: - positions as both sides write them

extension PackedVirtqueue {
  /// The counter for a slot and wrap counter as both sides write them.
  @inlinable
  func position(_ offsetWrap: UInt16, size: Int) -> UInt16 {
    Self.position(offsetWrap, size: size)
  }

  @inlinable
  static func position(_ offsetWrap: UInt16, size: Int) -> UInt16 {
    let mask = UInt16(truncatingIfNeeded: size &- 1)
    return offsetWrap & 0x7FFF & mask | (offsetWrap & 0x8000 == 0 ? mask &+ 1 : 0)
  }
}
