// Meters as text: `meter=1 kbps burst stats bands=type=drop rate=100 burst_size=10`; what follows `bands=` is of the
// bands, each of which begins with its type.

extension FlowParser {
  /// Reads the METER argument of `add-meter` and `mod-meter`.
  ///
  /// - Parameter requiresBands: false where a meter is only named, as for `del-meter`.
  public func meter(_ text: String, requiresBands: Bool) throws(FlowError) -> MeterDescription {
    var id: UInt32?
    var unit: MeterDescription.Unit?
    var meter = MeterDescription(id: 0)
    var bandText: Text?
    let text = try limited(text)
    var reader = TextReader(text)
    while bandText == nil, let pair = reader.next() {
      switch pair.key.string {
      case "meter":
        id = try number(
          pair, "a number, 1 to \(MeterDescription.maximumID)", upTo: MeterDescription.maximumID)
      case "kbps": unit = try changed(unit, .kilobitsPerSecond)
      case "pktps": unit = try changed(unit, .packetsPerSecond)
      case "burst": meter.hasBurst = true
      case "stats": meter.wantsStatistics = true
      case "bands", "band": bandText = text[pair.value.startIndex...]
      default:
        throw FlowError(
          "a meter has no \(pair.key.quoted); it has meter, kbps or pktps, burst, stats and bands")
      }
    }
    guard let id, id != 0 else { throw FlowError("the meter has no number; begin with meter=NUMBER, from 1") }
    meter.id = id
    if let bandText { meter.bands = try bands(bandText, hasBurst: meter.hasBurst) }
    if let unit {
      meter.unit = unit
    } else if requiresBands {
      throw FlowError("meter \(id) has no unit; give kbps or pktps")
    }
    if requiresBands { try meter.check() }
    return meter
  }

  /// Reads the METER argument of `del-meters`, `dump-meters` and `meter-stats`: `meter=N`, or `meter=all` or nothing for
  /// all.
  ///
  /// - Returns: the meter's number; nil for all.
  public func meterSelection(_ text: String) throws(FlowError) -> UInt32? {
    try selection(text, "meter", upTo: MeterDescription.maximumID)
  }

  private func changed(
    _ unit: MeterDescription.Unit?, _ new: MeterDescription.Unit
  ) throws(FlowError) -> MeterDescription.Unit {
    guard unit == nil || unit == new else {
      throw FlowError("a meter counts kbps or pktps, not both; give one")
    }
    return new
  }

  private func number(_ pair: TextPair, _ what: String, upTo limit: UInt32 = .max) throws(FlowError) -> UInt32
  {
    try ActionParser(ports: ports).number(pair.value, pair.key.string, what, upTo: limit)
  }

  private static var maximumBands: Int { 64 }

  private func bands(_ text: Text, hasBurst: Bool) throws(FlowError) -> [MeterDescription.Band] {
    var bands: [(rate: UInt32?, burst: UInt32?)] = []
    var reader = TextReader(text)
    while let pair = reader.next() {
      switch pair.key.string {
      case "type":
        guard pair.value.equals("drop") else {
          throw FlowError("the band type \(pair.value.quoted) is not supported: bands drop; write type=drop")
        }
        guard bands.count < Self.maximumBands else {
          throw FlowError("the meter has more than \(Self.maximumBands) bands; use fewer")
        }
        bands.append((nil, nil))
      case "rate" where !bands.isEmpty: bands[bands.count - 1].rate = try number(pair, "a rate")
      case "burst_size" where !bands.isEmpty: bands[bands.count - 1].burst = try number(pair, "a number")
      case "rate", "burst_size":
        throw FlowError("a band begins with its type; write bands=type=drop rate=RATE")
      default: throw FlowError("a band has no \(pair.key.quoted); it has type, rate and burst_size")
      }
    }
    var result: [MeterDescription.Band] = []
    for band in bands {
      guard hasBurst == (band.burst != nil) else {
        throw FlowError(
          hasBurst
            ? "a band of a meter with burst has no burst_size; add it"
            : "burst_size needs burst before the bands; add it"
        )
      }
      result.append(MeterDescription.Band(rate: band.rate ?? 0, burstSize: band.burst ?? 0))
    }
    return result
  }
}
