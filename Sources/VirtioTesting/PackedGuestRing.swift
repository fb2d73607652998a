import Virtio

/// The driver's side of the packed layout (virtio 1.3 §2.8).
///
/// Positions are counted from the start and never wrap: a position modulo the ring's size is its slot, and the number
/// of laps before it decides the wrap counter, which is 1 on the first.
struct PackedGuestRing: GuestRing {
  private let place: GuestRingPlace
  private var ram: GuestRAM { place.ram }
  /// The next position to lay a descriptor at, to publish, and to look for a used descriptor.
  private(set) var nextOffered = 0
  private var nextPublished = 0
  private var nextUsedPosition = 0
  /// Flags of the first descriptor not published yet: as long as they are not written, the device sees none of those
  /// behind it.
  private var heldFlags: UInt16?

  /// Bits of a descriptor's flags.
  static let available: UInt16 = 1 << 7
  static let used: UInt16 = 1 << 15

  /// `flags` of the event suppression structures (virtio 1.3 §2.8.10).
  enum Event {
    static let enable: UInt16 = 0
    static let disable: UInt16 = 1
    static let descriptor: UInt16 = 2
  }

  init(_ place: GuestRingPlace) { self.place = place }

  var base: UInt32 { UInt32(word(nextUsedPosition)) | UInt32(word(nextUsedPosition)) << 16 }

  /// A position as it is written: slot and, in bit 15, wrap counter.
  private func word(_ position: Int) -> UInt16 {
    UInt16(position % place.size) | (wrapCounter(position) ? 1 << 15 : 0)
  }

  private func wrapCounter(_ position: Int) -> Bool { position / place.size % 2 == 0 }

  /// What tells the device that the descriptor at `position` is available.
  func availableFlags(_ position: Int) -> UInt16 { wrapCounter(position) ? Self.available : Self.used }

  mutating func lay(_ chain: [RawDescriptor], _ pool: inout DescriptorPool) -> [UInt16] {
    let id = pool.take()
    for (index, descriptor) in chain.enumerated() {
      // Only the last descriptor's id counts: a device that takes another's goes wrong.
      lay(descriptor, link: descriptor.link ?? (index == chain.count - 1 ? id : .max))
    }
    return [id]
  }

  private mutating func lay(_ descriptor: RawDescriptor, link: UInt16) {
    let at = place.descriptor(nextOffered % place.size)
    var entry = descriptor
    entry.flags ^= availableFlags(nextOffered)
    if nextOffered == nextPublished {
      heldFlags = entry.flags
      entry.flags = ram.load16(at + 14)
    }
    entry.write(to: ram, at: at, .packed, link: link)
    nextOffered += 1
  }

  mutating func publish(hasEventIndex: Bool) -> Bool {
    guard let flags = heldFlags else { return false }
    ram.store16(flags, at: place.descriptor(nextPublished % place.size) + 14)
    heldFlags = nil
    let old = nextPublished
    nextPublished = nextOffered
    driverFence()
    let wish = ram.load16(place.used + 2) & 3
    if wish == Event.disable { return false }
    guard hasEventIndex, wish == Event.descriptor else { return true }
    let event = position(ram.load16(place.used))
    return event >= old && event < nextOffered
  }

  /// The position meant by `word`: one on this lap, or on the last.
  private func position(_ word: UInt16) -> Int {
    let lap = nextOffered - nextOffered % place.size
    let isThisLap = (word & 1 << 15 != 0) == wrapCounter(nextOffered)
    return lap + Int(word & 0x7FFF) - (isThisLap ? 0 : place.size)
  }

  func nextUsed() -> (id: UInt16, length: UInt32)? {
    let at = place.descriptor(nextUsedPosition % place.size)
    let flags = ram.load16(at + 14)
    let expected = wrapCounter(nextUsedPosition) ? Self.available | Self.used : 0
    // Before anything is offered, zeroes would look used on every other lap.
    guard nextUsedPosition < nextPublished, flags & (Self.available | Self.used) == expected else {
      return nil
    }
    let word = ram.load64(at + 8)
    return (UInt16(truncatingIfNeeded: word >> 32), UInt32(truncatingIfNeeded: word))
  }

  mutating func advance(buffers: Int, slots: Int) { nextUsedPosition += slots }

  func requestCall(after count: Int, hasEventIndex: Bool) {
    if hasEventIndex { ram.store16(word(nextUsedPosition + count - 1), at: place.available) }
    ram.store16(hasEventIndex ? Event.descriptor : Event.enable, at: place.available + 2)
  }

  func refuseCalls(hasEventIndex: Bool) { ram.store16(Event.disable, at: place.available + 2) }

  mutating func reset() {
    ram.write([UInt8](repeating: 0, count: 16 * place.size), at: place.descriptors)
    for part in [place.available, place.used] { ram.write([0, 0, 0, 0], at: part) }
    self = PackedGuestRing(place)
  }

  /// Leaves `count` slots as they are, and goes on behind them.
  mutating func skip(_ count: Int) {
    nextOffered += count
    if heldFlags == nil { nextPublished = nextOffered }
  }
}
