// A meter's bands
// ===============
//
// Each band is a bucket of credit that fills with time and that every frame takes from. A frame is dropped by the band
// with the highest rate of those that have too little, and then takes from none of the faster ones' credit back: as in
// Open vSwitch, bands are independent.
//
// Instead of credit a band holds the moment at which its bucket was, or will be, empty (the generic cell rate
// algorithm): one word, moved on by what a frame costs. So there is nothing to refill, and threads need no lock.

import Synchronization

/// A meter's state, on memory of its own: the packet path reaches it without counting references.
@frozen
public struct MeterBands: @unchecked Sendable {
  /// One band, or, in the first place, what came in.
  @usableFromInline
  struct Band: ~Copyable {
    /// Nanoseconds that a packet, or 1,024 bytes, take.
    @usableFromInline let price: UInt64
    /// Nanoseconds a full bucket lasts.
    @usableFromInline let depth: UInt64
    @usableFromInline let rate: UInt32
    /// Nanoseconds of the switch's clock, which may be before it began: a new bucket is full.
    @usableFromInline let empty = Atomic<Int64>(.min / 2)
    @usableFromInline let packets = Atomic<UInt64>(0)
    @usableFromInline let bytes = Atomic<UInt64>(0)

    init(price: UInt64, depth: UInt64, rate: UInt32) {
      self.price = price
      self.depth = depth
      self.rate = rate
    }
  }

  @usableFromInline let states: UnsafeMutablePointer<Band>
  public let count: Int
  @usableFromInline let countsPackets: Bool

  // SAFETY: `count` bands behind one more; freed by the meter, which outlives every program that asks it.
  init(_ description: MeterDescription) {
    count = description.bands.count
    countsPackets = description.unit == .packetsPerSecond
    states = .allocate(capacity: count + 1)
    states.initialize(to: Band(price: 0, depth: 0, rate: 0))
    for (index, band) in description.bands.enumerated() {
      let rate = UInt64(max(band.rate, 1))
      let burst = description.hasBurst && band.burstSize > 0 ? UInt64(band.burstSize) : rate
      // A byte takes 8,000,000 / rate nanoseconds at `rate` kbit/s.
      let price = countsPackets ? 1_000_000_000 / rate : 8_000_000 * 1024 / rate
      (states + 1 + index).initialize(
        to: Band(price: price, depth: burst * 1_000_000_000 / rate, rate: band.rate))
    }
  }

  func deallocate() {
    states.deinitialize(count: count + 1)
    states.deallocate()
  }

  /// Whether a frame of `length` bytes may pass now; it is counted, also by the band that stops it.
  ///
  /// - Parameter now: nanoseconds of the switch's clock.
  // SAFETY: indices stay below `count + 1`.
  public func admits(length: Int, now: UInt64) -> Bool {
    let bytes = UInt64(truncatingIfNeeded: length)
    Self.count(states, bytes)
    var stopping: UnsafeMutablePointer<Band>?
    var index = 1
    while index <= count {
      let band = states + index
      let price = countsPackets ? band.pointee.price : (band.pointee.price &* bytes) >> 10
      if !Self.take(price, from: band, now: now)
        && (stopping == nil || band.pointee.rate > stopping!.pointee.rate)
      {
        stopping = band
      }
      index = index &+ 1
    }
    guard let stopping else { return true }
    Self.count(stopping, bytes)
    return false
  }

  private static func count(_ band: UnsafeMutablePointer<Band>, _ bytes: UInt64) {
    band.pointee.packets.wrappingAdd(1, ordering: .relaxed)
    band.pointee.bytes.wrappingAdd(bytes, ordering: .relaxed)
  }

  private static func take(_ price: UInt64, from band: UnsafeMutablePointer<Band>, now: UInt64) -> Bool {
    let now = Int64(truncatingIfNeeded: now)
    let depth = Int64(truncatingIfNeeded: band.pointee.depth)
    var empty = band.pointee.empty.load(ordering: .relaxed)
    while true {
      let next = max(empty, now &- depth) &+ Int64(truncatingIfNeeded: price)
      if next > now { return false }
      let exchange = band.pointee.empty.weakCompareExchange(
        expected: empty, desired: next, ordering: .relaxed)
      if exchange.exchanged { return true }
      empty = exchange.original
    }
  }

  /// Frames and bytes that came in.
  public var input: (packets: UInt64, bytes: UInt64) { read(states) }

  /// Frames and bytes that band `index` (below `count`) dropped.
  public func dropped(_ index: Int) -> (packets: UInt64, bytes: UInt64) {
    precondition(index >= 0 && index < count, "a meter has no such band")
    return read(states + 1 + index)
  }

  private func read(_ band: UnsafeMutablePointer<Band>) -> (packets: UInt64, bytes: UInt64) {
    (band.pointee.packets.load(ordering: .relaxed), band.pointee.bytes.load(ordering: .relaxed))
  }
}
