import Virtio

/// The driver's side of the split layout (virtio 1.3 §2.7).
struct SplitGuestRing: GuestRing {
  private let place: GuestRingPlace
  private var ram: GuestRAM { place.ram }
  /// The next available index to publish, and the next used index to look at.
  private(set) var availableIndex: UInt16 = 0
  private(set) var usedIndex: UInt16 = 0
  private var publishedIndex: UInt16 = 0

  private static let noInterrupt: UInt16 = 1  // VIRTQ_AVAIL_F_NO_INTERRUPT
  private static let noNotify: UInt16 = 1  // VIRTQ_USED_F_NO_NOTIFY

  init(_ place: GuestRingPlace) { self.place = place }

  var base: UInt32 { UInt32(usedIndex) }
  private var usedEvent: UInt64 { place.available + 4 + 2 * UInt64(place.size) }
  private var availableEvent: UInt64 { place.used + 4 + 8 * UInt64(place.size) }

  mutating func lay(_ chain: [RawDescriptor], _ pool: inout DescriptorPool) -> [UInt16] {
    let indices = chain.map { _ in pool.take() }
    for (position, descriptor) in chain.enumerated() {
      let next = position < chain.count - 1 ? indices[position + 1] : 0
      descriptor.write(
        to: ram, at: place.descriptor(Int(indices[position])), .split, link: descriptor.link ?? next)
    }
    offer(indices[0])
    return indices
  }

  mutating func offer(_ head: UInt16) {
    ram.store16(head, at: place.available + 4 + 2 * UInt64(Int(availableIndex) % place.size))
    availableIndex &+= 1
  }

  mutating func publish(hasEventIndex: Bool) -> Bool {
    let old = publishedIndex
    publishedIndex = availableIndex
    ram.store16(availableIndex, at: place.available + 2)
    driverFence()
    if hasEventIndex {
      return availableIndex &- ram.load16(availableEvent) &- 1 < availableIndex &- old
    }
    return ram.load16(place.used) & Self.noNotify == 0
  }

  func nextUsed() -> (id: UInt16, length: UInt32)? {
    guard ram.load16(place.used + 2) != usedIndex else { return nil }
    let element = usedElement(Int(usedIndex) % place.size)
    return (UInt16(truncatingIfNeeded: element.head), element.length)
  }

  func usedElement(_ slot: Int) -> (head: UInt32, length: UInt32) {
    let bytes = ram.read(place.used + 4 + 8 * UInt64(slot), 8)
    func word(_ start: Int) -> UInt32 {
      bytes[start..<start + 4].reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }
    return (word(0), word(4))
  }

  mutating func advance(buffers: Int, slots: Int) { usedIndex &+= UInt16(buffers) }

  func requestCall(after count: Int, hasEventIndex: Bool) {
    if hasEventIndex {
      ram.store16(usedIndex &+ UInt16(count) &- 1, at: usedEvent)
    } else {
      ram.store16(0, at: place.available)
    }
  }

  func refuseCalls(hasEventIndex: Bool) {
    // With the event index, a position just passed is the one farthest away.
    if hasEventIndex {
      ram.store16(usedIndex &- 1, at: usedEvent)
    } else {
      ram.store16(Self.noInterrupt, at: place.available)
    }
  }

  mutating func reset() {
    ram.write([UInt8](repeating: 0, count: 6 + 2 * place.size), at: place.available)
    ram.write([UInt8](repeating: 0, count: 6 + 8 * place.size), at: place.used)
    self = SplitGuestRing(place)
  }
}
