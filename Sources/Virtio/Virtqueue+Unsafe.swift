// The device's side of a virtqueue
// ================================
//
// One burst is `pop`, `fill`, `flush`, `notify`:
//
//     n = pending(atMost: 32)     how many buffers the driver offers
//     elements(n, …)              what they are, each word read once
//     pop(n)                      they are ours now
//     fill(elements, n)           …each goes back with the bytes written to it,
//     flush()                     …all at once visible to the driver,
//     notify()                    …which is interrupted if it asked for that.
//
// A ring has one of two layouts, split (virtio 1.3 §2.7) or packed (§2.8), each with a file of its own. Which it is, is
// asked once a burst and call. What follows of a buffer's first descriptor is found by `walk`, for both.
//
// Buffers go back in the order they came, all that a turn popped in the same turn. So the place reached is one number, and
// the ring tells it to whoever comes after a device that died (`reached`).

import Linux

@frozen
public struct Virtqueue: ~Copyable {
  public let isPacked: Bool
  @usableFromInline let hasIndirect: Bool
  // The one that is not in use costs a few words.
  @usableFromInline var split: SplitVirtqueue
  @usableFromInline var packed: PackedVirtqueue
  /// An eventfd, or -1.
  @usableFromInline let call: Int32

  /// Continues at `position`. `call` is the eventfd that interrupts the driver, or -1; `log` is where writes to guest
  /// memory are noted.
  public init(
    _ layout: VirtqueueLayout, position: RingPosition, features: VirtioFeatures, call: Int32,
    log: DirtyLog? = nil
  ) {
    isPacked = features.contains(.packedRing)
    hasIndirect = features.contains(.indirectDescriptors)
    split = SplitVirtqueue(layout, position: position.counter, features: features, log: log)
    packed = PackedVirtqueue(layout, position: position.counter, features: features, log: log)
    self.call = call
  }

  public var size: Int { split.size }

  /// Where a successor has to continue. Everything popped has been filled and flushed.
  public var position: RingPosition {
    RingPosition(counter: isPacked ? packed.position : split.position)
  }

  // MARK: pop

  /// How many buffers the driver offers, counted up to `limit` (at most 263); negative when it broke the ring's rules.
  /// What the driver shares is read only if what was seen last does not suffice.
  @inlinable @inline(__always)
  public mutating func pending(atMost limit: Int) -> Int {
    isPacked ? packed.pending(atMost: limit) : split.pending(atMost: limit)
  }

  /// The `offset`-th pending buffer.
  @inlinable @inline(__always)
  public func element(_ offset: Int) -> Element {
    isPacked ? packed.element(offset) : split.element(offset)
  }

  /// Lists the first `count` pending buffers. How much was written to each is left as it was in `elements`, or 0.
  // SAFETY: `elements` has room for `count`.
  @inlinable @inline(__always)
  public func elements(_ count: Int, into elements: UnsafeMutablePointer<Element>) {
    if isPacked { packed.elements(count, into: elements) } else { split.elements(count, into: elements) }
  }

  /// Takes the first `count` pending buffers; each has to be filled before the burst ends.
  @inlinable @inline(__always)
  public mutating func pop(_ count: Int) {
    if isPacked { packed.pop(count) } else { split.pop(count) }
  }

  // MARK: fill and flush

  /// Gives popped buffers back, in the order they came. The driver sees them after `flush`.
  // SAFETY: `elements` has `count`.
  @inlinable @inline(__always)
  public mutating func fill(_ elements: UnsafePointer<Element>, count: Int) {
    if isPacked { packed.fill(elements, count: count) } else { split.fill(elements, count: count) }
  }

  /// Makes all filled buffers visible to the driver; false if there were none.
  @inlinable @inline(__always)
  public mutating func flush() -> Bool { isPacked ? packed.flush() : split.flush() }

  // MARK: notify

  /// Interrupts the driver if it asked for that since the last notification; to be called after a `flush` that
  /// returned true. Returns whether it did.
  @inlinable @inline(__always)
  public mutating func notify() -> Bool {
    let wanted = isPacked ? packed.wantsNotification() : split.wantsNotification()
    if wanted { Self.signal(call) }
    return wanted
  }

  /// Interrupts the driver whether it asked for that or not: after a restart, when an interrupt may have been lost.
  public func interrupt() { Self.signal(call) }

  @usableFromInline @inline(never)
  static func signal(_ call: Int32) {
    if call >= 0 { EventFD.signalPeer(call) }
  }

  // MARK: the driver's notifications (kicks)

  /// Asks the driver to notify us of the next buffer it offers; false if there is one already.
  public mutating func arm() -> Bool { isPacked ? packed.arm() : split.arm() }

  /// Asks the driver to notify us of the next buffer it offers, however many are pending.
  public func armBehind() { if isPacked { packed.armBehind() } else { split.armBehind() } }

  /// Tells the driver that we look by ourselves.
  public func disarm() { if isPacked { packed.disarm() } else { split.disarm() } }
}

/// How far a ring has been worked.
public struct RingPosition: Equatable, Sendable {
  /// Buffers taken of a split ring; slots passed of a packed one. Goes round.
  let counter: UInt16

  init(counter: UInt16) { self.counter = counter }

  /// As SET_VRING_BASE tells it (vhost-user, "Ring states"): the available index; for packed rings the slot, with the
  /// wrap counter in bit 15, and the same for the used ring above.
  public init(base: UInt32, size: UInt32, packed: Bool) {
    let low = UInt16(truncatingIfNeeded: base)
    counter = packed ? PackedVirtqueue.position(low, size: Int(max(size, 1))) : low
  }

  /// As GET_VRING_BASE answers it.
  public func base(size: UInt32, packed: Bool) -> UInt32 {
    guard packed else { return UInt32(counter) }
    let mask = UInt16(truncatingIfNeeded: size &- 1)
    let wrap: UInt16 = counter & (mask &+ 1) == 0 ? 0x8000 : 0
    let half = UInt32(counter & mask | wrap)
    return half | half << 16
  }

  /// How far the device before us got, told by the ring itself; nil if it does not tell.
  public static func reached(_ layout: VirtqueueLayout, packed: Bool) -> RingPosition? {
    let counter = packed ? PackedVirtqueue.reached(layout) : SplitVirtqueue.reached(layout)
    return counter.map { RingPosition(counter: $0) }
  }
}
