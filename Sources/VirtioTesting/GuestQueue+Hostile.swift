import Virtio

// Anything a driver could write. What concerns one layout only says so.

extension GuestQueue {
  /// Offers descriptors as they are, visible after `publish`: in free entries of a split ring, or in the next slots of
  /// a packed one. Nil when there are not enough.
  ///
  /// - Returns: the split ring's head, or the packed ring's buffer id.
  @discardableResult
  public func offer(raw chain: [RawDescriptor]) -> UInt16? {
    precondition(!chain.isEmpty, "a chain has a descriptor")
    return offer(chain, writable: 0, [])
  }

  /// Writes an indirect table. Entries of a split ring's refer to their successors; a packed ring's follow each other
  /// anyway, and have neither links nor ids.
  public func writeTable(_ entries: [RawDescriptor], at table: UInt64) {
    for (index, entry) in entries.enumerated() {
      var entry = entry
      var link: UInt16 = 0
      if layout == .split {
        link = index < entries.count - 1 ? UInt16(index + 1) : 0
      } else if entry.link == nil {
        entry.flags &= ~Descriptor.next
      }
      entry.write(to: ram, at: table + 16 * UInt64(index), layout, link: entry.link ?? link)
    }
  }

  /// Writes entry `index` of the ring's descriptor table. Of a packed ring, `next` is the id, and the flags are the whole
  /// truth.
  public func setDescriptor(_ index: UInt16, address: UInt64, length: UInt32, flags: UInt16, next: UInt16) {
    writeDescriptor(
      descriptors + 16 * UInt64(index), address: address, length: length, flags: flags, next: next)
  }

  /// The same anywhere, in a table for instance.
  public func writeDescriptor(_ at: UInt64, address: UInt64, length: UInt32, flags: UInt16, next: UInt16) {
    RawDescriptor(address, length, flags: flags).write(to: ram, at: at, layout, link: next)
  }

  // MARK: split only

  private var split: SplitGuestRing {
    get {
      guard let ring = ring as? SplitGuestRing else { preconditionFailure("the ring is packed") }
      return ring
    }
    set { ring = newValue }
  }

  /// The next available index to publish, and the next used index to look at.
  public var availableIndex: UInt16 { split.availableIndex }
  public var usedIndex: UInt16 { split.usedIndex }

  /// Puts `head`, whatever it is, into the available ring.
  public func offer(_ head: UInt16) { split.offer(head) }

  public func setAvailableIndex(_ index: UInt16) { ram.store16(index, at: available + 2) }

  /// The used index the device has published.
  public var deviceUsedIndex: UInt16 { ram.load16(used + 2) }

  public func usedElement(_ slot: Int) -> (head: UInt32, length: UInt32) { split.usedElement(slot) }

  // MARK: packed only

  private var packed: PackedGuestRing {
    get {
      guard let ring = ring as? PackedGuestRing else { preconditionFailure("the ring is split") }
      return ring
    }
    set { ring = newValue }
  }

  /// The slot the next descriptor goes to, and the flags that make it available there.
  public var nextSlot: UInt16 { UInt16(packed.nextOffered % size) }
  public var availableFlags: UInt16 { packed.availableFlags(packed.nextOffered) }

  /// Goes on `count` slots later, those between being as they are.
  public func skipSlots(_ count: Int) { packed.skip(count) }

  /// The slot `count` positions from where the device notes that it is, and the flags that make a descriptor available
  /// there.
  public func slot(fromDevice count: UInt16) -> (slot: UInt16, availableFlags: UInt16) {
    let noted = deviceEvent.position
    let position = Int(noted & 0x7FFF) % size + Int(count)
    let isOddLap = (noted & 1 << 15 == 0) != (position / size % 2 == 1)
    return (UInt16(position % size), isOddLap ? PackedGuestRing.used : PackedGuestRing.available)
  }

  /// The device's event suppression structure: `off_wrap` and `flags` (virtio 1.3 §2.8.10).
  public var deviceEvent: (position: UInt16, flags: UInt16) { (ram.load16(used), ram.load16(used + 2)) }

  /// Writes the driver's.
  public func setDriverEvent(position: UInt16, flags: UInt16) {
    ram.store16(position, at: available)
    ram.store16(flags, at: available + 2)
  }
}
