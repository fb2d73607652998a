// Where a packed ring's device got
// ================================
//
// A device that died left a position in the device event suppression structure (PackedVirtqueue+Unsafe.swift). It may be
// a flush old, and the driver has gone on since. What tells the truth are the flags. With `w` the wrap counter of a
// position's lap, AVAIL and USED are there
//
//     (w, w)      used: the first descriptor of a buffer that came back;
//     (w, !w)     offered, or a later descriptor of a buffer that came back, which nobody rewrites;
//     (!w, w)     offered anew for the next lap, after it came back, or left from a longer buffer of the last lap.
//
// So done is what is used, with as many slots as its chain still shows, and what is offered anew when the slot before it
// is, too: drivers offer in order. A descriptor of nothing but zeroes was never used, whatever its flags say. And the
// buffer before the place found has to be done: a driver that began anew cleared the ring, and then it is not.

import Synchronization

extension PackedVirtqueue {
  /// How far a device got, whatever became of it; nil if the ring does not tell.
  // SAFETY: slots are masked; the device event area is 4-byte aligned.
  static func reached(_ layout: VirtqueueLayout) -> UInt16? {
    let queue = PackedVirtqueue(layout, position: 0, features: [], log: nil)
    let kept = guestWord16(layout.used, 0).pointee.load(ordering: .acquiring)
    guard Int(kept & 0x7FFF) < queue.size else { return nil }
    var position = Self.position(kept, size: queue.size)
    var passed = 0
    while passed < queue.size, let slots = queue.slotsDone(position) {
      position = position &+ slots
      passed += Int(slots)
    }
    // Two laps on, a place is the same, and is called the same.
    return queue.isDone(before: position) ? position & (queue.mask &* 2 &+ 1) : nil
  }

  private func flags(_ position: UInt16) -> UInt16 {
    UInt16(truncatingIfNeeded: word(position & mask) >> 48)
  }

  private func id(_ position: UInt16) -> UInt16 { UInt16(truncatingIfNeeded: word(position & mask) >> 32) }

  private func hasSuccessor(_ position: UInt16) -> Bool { flags(position) & Descriptor.next != 0 }

  private func isBlank(_ position: UInt16) -> Bool {
    let word = self.word(position & mask)
    return word == 0 && descriptor(position & mask, word).address == 0
  }

  private func isUsed(_ position: UInt16) -> Bool {
    flags(position) & (Self.availableFlag | Self.usedFlag) == usedFlags(position) && !isBlank(position)
  }

  private func isOfferedAnew(_ position: UInt16) -> Bool { isOffered(flags(position), position &+ mask &+ 1) }

  /// The slots of the buffer that came back at `position`; nil if none did.
  private func slotsDone(_ position: UInt16) -> UInt16? {
    guard isUsed(position) else { return isOfferedAnew(position) && isOfferedAnew(position &- 1) ? 1 : nil }
    var last = position &+ 1
    while last &- position < mask, hasSuccessor(last) { last = last &+ 1 }
    // The last descriptor of a chain has the buffer's id.
    let isChain = id(last) == id(position) && isOffered(flags(last), last) && last &- position <= mask
    return isChain ? last &- position &+ 1 : 1
  }

  /// Whether the buffer that ends before `position` came back.
  private func isDone(before position: UInt16) -> Bool {
    for distance in 1...size {
      let previous = position &- UInt16(truncatingIfNeeded: distance)
      let isMarked = (flags(previous) & Self.usedFlag != 0) == wrap(previous)
      if isMarked && !isBlank(previous) { return true }
      if distance > 1 && !hasSuccessor(previous) { return false }
    }
    return false
  }
}
