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

/// A meter in use, shared by all poll threads; `bands` is what they ask.
public final class Meter: Sendable {
  public let description: MeterDescription
  /// In milliseconds of the switch's clock.
  public let created: UInt64
  public let bands: MeterBands

  public init(_ description: MeterDescription, created: UInt64) {
    self.description = description
    self.created = created
    bands = MeterBands(description)
  }

  deinit { bands.deallocate() }
}
