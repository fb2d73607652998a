import Synchronization

/// A meter as a user describes it (OpenFlow 1.5 §5.11). Its bands drop.
public struct MeterDescription: Hashable, Sendable {
  public enum Unit: String, CaseIterable, Sendable {
    case kilobitsPerSecond = "kbps"
    case packetsPerSecond = "pktps"
  }

  public struct Band: Hashable, Sendable {
    /// In the meter's unit.
    public var rate: UInt32
    /// In kilobits or packets; 0: what one second brings.
    public var burstSize: UInt32

    public init(rate: UInt32, burstSize: UInt32 = 0) {
      self.rate = rate
      self.burstSize = burstSize
    }
  }

  public static let maximumID: UInt32 = 0xFFFF_0000

  public var id: UInt32
  public var unit: Unit
  /// Whether the user wrote `burst`: band bursts count only then.
  public var hasBurst: Bool
  /// `stats`: as written; a meter counts in any case.
  public var wantsStatistics: Bool
  public var bands: [Band]

  public init(
    id: UInt32, unit: Unit = .kilobitsPerSecond, hasBurst: Bool = false, wantsStatistics: Bool = false,
    bands: [Band] = []
  ) {
    self.id = id
    self.unit = unit
    self.hasBurst = hasBurst
    self.wantsStatistics = wantsStatistics
    self.bands = bands
  }
}

/// A meter in use, shared by all poll threads.
///
/// Each band is a bucket of credit that fills with time and that a frame takes from; a frame is dropped by the band with
/// the highest rate of those that have too little. The state of a band is one word, exchanged atomically: the moment at
/// which its bucket would have been empty. A full bucket is a moment long past.
public final class Meter: Sendable {
  public let description: MeterDescription
  public let created: UInt64
  /// What came in, and per band what it dropped.
  public let counters: FlowCounters
  public let bandCounters: [FlowCounters]
  private let bands: [BandState]

  private final class BandState: Sendable {
    /// Nanoseconds per packet, or per 1,000 bytes, times 1,024 for precision.
    let cost: UInt64
    /// Nanoseconds a full bucket lasts.
    let depth: UInt64
    let rate: UInt32
    /// Nanoseconds of the switch's clock at which the bucket would have been empty.
    let empty = Atomic<UInt64>(0)

    init(cost: UInt64, depth: UInt64, rate: UInt32) {
      self.cost = cost
      self.depth = depth
      self.rate = rate
    }
  }

  public init(_ description: MeterDescription, created: UInt64) {
    self.description = description
    self.created = created
    counters = FlowCounters()
    bandCounters = description.bands.map { _ in FlowCounters() }
    bands = description.bands.map { band in
      let rate = UInt64(max(band.rate, 1))
      let burst = description.hasBurst && band.burstSize > 0 ? UInt64(band.burstSize) : rate
      // One packet takes 10⁹/rate ns; one byte takes 8·10⁶/rate ns at rate kbit/s.
      let cost =
        description.unit == .packetsPerSecond
        ? 1_000_000_000 * 1024 / rate : 8_000_000_000 / rate * 1024
      return BandState(cost: cost, depth: burst * 1_000_000_000 / rate, rate: band.rate)
    }
  }

  /// Whether a frame of `length` bytes may pass now; when not, it is counted by the band that stopped it.
  ///
  /// - Parameter now: nanoseconds of the switch's clock.
  public func admits(length: Int, now: UInt64) -> Bool {
    var stopping: (index: Int, rate: UInt32)?
    for (index, band) in bands.enumerated() {
      let price =
        description.unit == .packetsPerSecond
        ? band.cost >> 10 : (band.cost >> 10) &* UInt64(truncatingIfNeeded: length) / 1000
      if !take(price, from: band, now: now), stopping == nil || band.rate > stopping!.rate {
        stopping = (index, band.rate)
      }
    }
    guard let stopping else { return true }
    bandCounters[stopping.index].add(packets: 1, bytes: UInt64(length), at: now / 1_000_000)
    return false
  }

  private func take(_ price: UInt64, from band: BandState, now: UInt64) -> Bool {
    var empty = band.empty.load(ordering: .relaxed)
    while true {
      let start = max(empty, now > band.depth ? now - band.depth : 0)
      let next = start &+ price
      if next > now { return false }
      let (exchanged, seen) = band.empty.weakCompareExchange(
        expected: empty, desired: next, ordering: .relaxed)
      if exchanged { return true }
      empty = seen
    }
  }
}
