import Virtio

/// Where the parts of a ring lie in guest-physical addresses.
struct GuestRingPlace {
  let ram: GuestRAM
  let size: Int
  let descriptors: UInt64
  let available: UInt64
  let used: UInt64

  func descriptor(_ index: Int) -> UInt64 { descriptors + 16 * UInt64(index) }
}

/// What differs between the layouts.
protocol GuestRing {
  /// The ring's position as vhost-user tells it; everything offered has come back.
  var base: UInt32 { get }

  /// Writes a chain, for which there is room. Returns the numbers taken from the pool; the first names the buffer.
  mutating func lay(_ chain: [RawDescriptor], _ pool: inout DescriptorPool) -> [UInt16]
  /// Makes what was laid visible. Returns whether the device wants a kick.
  mutating func publish(hasEventIndex: Bool) -> Bool
  /// The next buffer the device says is done, and the bytes it wrote.
  func nextUsed() -> (id: UInt16, length: UInt32)?
  /// Goes past what `nextUsed` said: so many buffers in so many slots.
  mutating func advance(buffers: Int, slots: Int)
  /// Asks to be called when `count` more positions of the used ring are filled, or (without event index) one.
  func requestCall(after count: Int, hasEventIndex: Bool)
  func refuseCalls(hasEventIndex: Bool)
  /// Zeroes the ring and starts at its beginning.
  mutating func reset()
}
