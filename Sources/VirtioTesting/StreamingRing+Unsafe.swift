import Virtio

/// A ring whose every slot has a buffer for good: offering one again costs a store or two.
///
/// Positions are counted from the start; modulo the size they are slots. The device uses buffers in order.
// SAFETY: the ring lies in `ram`, which lives as long as its owner; every position is taken modulo the ring's size.
struct StreamingRing {
  let queue: GuestQueue
  private let ram: GuestRAM
  private let size: Int
  private let descriptors: UnsafeMutableRawPointer
  private let usedElements: UnsafeMutableRawPointer
  private let isPacked: Bool
  private let isWritable: Bool
  /// Buffers offered, and taken back.
  private(set) var offered = 0
  private(set) var done = 0

  init(_ queue: GuestQueue, isWritable: Bool) {
    self.queue = queue
    ram = queue.ram
    size = queue.size
    isPacked = queue.layout == .packed
    self.isWritable = isWritable
    func host(_ address: UInt64) -> UnsafeMutableRawPointer {
      UnsafeMutableRawPointer(bitPattern: UInt(queue.ram.userAddress(address)))!
    }
    descriptors = host(queue.descriptors)
    usedElements = host(isPacked ? queue.used : queue.used + 4)
  }

  /// Gives slot `slot` its buffer, before anything is offered.
  func place(_ address: UInt64, length: Int, slot: Int) {
    let flags = isWritable ? Descriptor.write : 0
    if isPacked {
      queue.setDescriptor(
        UInt16(slot), address: address, length: UInt32(length), flags: 0, next: UInt16(slot))
    } else {
      queue.setDescriptor(UInt16(slot), address: address, length: UInt32(length), flags: flags, next: 0)
      ram.store16(UInt16(slot), at: queue.available + 4 + 2 * UInt64(slot))
    }
  }

  var nextSlot: Int { offered & (size - 1) }

  /// Offers the next slot's buffer, `length` bytes of it if the device reads it. A packed ring's device sees it at once.
  mutating func offer(length: Int) {
    let slot = nextSlot
    let word = UInt64(UInt32(length))
    if isPacked {
      let lap = offered / size % 2 == 0 ? PackedGuestRing.available : PackedGuestRing.used
      let flags = lap | (isWritable ? Descriptor.write : 0)
      ram.store64(
        word | UInt64(slot) << 32 | UInt64(flags) << 48, at: queue.descriptors + 16 * UInt64(slot) + 8)
    } else if !isWritable {
      (descriptors + slot * 16 + 8).storeBytes(of: word, as: UInt64.self)
    }
    offered += 1
  }

  /// Makes what was offered visible. Returns whether the device wants a kick.
  func publish() -> Bool {
    if !isPacked { queue.setAvailableIndex(UInt16(truncatingIfNeeded: offered)) }
    driverFence()
    return ram.load16(isPacked ? queue.used + 2 : queue.used) & 1 == 0
  }

  /// How many more buffers are done, counted up to `limit`.
  func pending(atMost limit: Int) -> Int {
    guard isPacked else {
      return min(limit, Int(queue.deviceUsedIndex &- UInt16(truncatingIfNeeded: done)))
    }
    var count = 0
    while count < limit, done + count < offered, isUsed(done + count) { count += 1 }
    return count
  }

  private func isUsed(_ position: Int) -> Bool {
    let both = PackedGuestRing.available | PackedGuestRing.used
    let flags = ram.load16(queue.descriptors + 16 * UInt64(position & (size - 1)) + 14)
    return flags & both == (position / size % 2 == 0 ? both : 0)
  }

  /// Takes the next buffer that is done: its slot, and the bytes the device wrote.
  mutating func take() -> (slot: Int, length: Int) {
    let slot = done & (size - 1)
    done += 1
    let written = isPacked ? descriptors + slot * 16 + 8 : usedElements + slot * 8 + 4
    return (slot, Int(written.load(as: UInt32.self)))
  }

  /// Takes `count` buffers that are done.
  mutating func take(_ count: Int) { done += count }
}
