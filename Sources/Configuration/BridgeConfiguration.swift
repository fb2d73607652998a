import Datapath
import OpenVSwitchRows
import Packet

/// Reads Bridge.other_config and Open_vSwitch.other_config. A value that cannot be used is ignored with a warning,
/// so that a slip in one setting does not take the bridge down.
enum BridgeConfiguration {
  static func make(_ row: FollowedBridge) -> DesiredBridge {
    var reader = SettingReader(row.otherConfig, owner: "bridge \(row.name)")
    var settings = BridgeSettings()
    settings.startsWithNormal = row.failMode != .secure
    for (number, table) in row.flowTables {
      guard let number = UInt8(exactly: number), let limit = table.limit else { continue }
      settings.flowLimits[number] = FlowLimit(
        count: Int(clamping: limit), evicts: table.overflowPolicy == .evict)
    }
    if let seconds = reader.integer("mac-aging-time", in: 15...3600) { settings.macAgingTime = seconds }
    if let size = reader.integer("mac-table-size", in: 10...1_000_000) { settings.macTableSize = size }
    if let forwards = reader.boolean("forward-bpdu") { settings.forwardsReserved = forwards }
    let address = reader.address("hwaddr") ?? MACAddress(derivedFrom: row.id)
    let digits = String(address.bits, radix: 16)
    let datapathID =
      reader.datapathID("datapath-id") ?? String(repeating: "0", count: 16 - digits.count) + digits
    return DesiredBridge(
      row: row.id, name: row.name, settings: settings, address: address, datapathID: datapathID,
      warnings: reader.warnings)
  }

  static func pollSettings(_ otherConfig: [String: String]) -> (PollSettings, warnings: [String]) {
    var reader = SettingReader(otherConfig, owner: OpenVSwitchRow.table)
    var settings = PollSettings()
    if let cpus = reader.cpuMask("pmd-cpu-mask") { settings.cpus = cpus }
    if let idle = reader.integer("poll-idle-microseconds", in: 0...1_000_000_000) {
      settings.idleMicroseconds = idle
    }
    if let isolates = reader.boolean("pmd-rxq-isolate") { settings.isolatesPinned = isolates }
    settings.balancing = loadBalancing(&reader)
    return (settings, reader.warnings)
  }

  private static func loadBalancing(_ reader: inout SettingReader) -> LoadBalancing {
    var balancing = LoadBalancing()
    if let isEnabled = reader.boolean("pmd-auto-lb") { balancing.isEnabled = isEnabled }
    if let minutes = reader.integer("pmd-auto-lb-rebal-interval", in: 0...20_000) {
      balancing.interval = max(minutes, 1)
    }
    if let percent = reader.integer("pmd-auto-lb-load-threshold", in: 0...100) {
      balancing.loadThreshold = percent
    }
    if let percent = reader.integer("pmd-auto-lb-improvement-threshold", in: 0...100) {
      balancing.improvementThreshold = percent
    }
    return balancing
  }

  /// other_config:stats-update-interval, in milliseconds; 5000 unless set.
  static func statisticsInterval(_ otherConfig: [String: String]) -> Int {
    guard let text = otherConfig["stats-update-interval"], let value = Int(text) else { return 5000 }
    return min(max(value, 100), 3_600_000)
  }
}

/// Typed access to a map of strings, collecting what was wrong.
struct SettingReader {
  private let values: [String: String]
  private let owner: String
  private(set) var warnings: [String] = []

  init(_ values: [String: String], owner: String) {
    self.values = values
    self.owner = owner
  }

  mutating func integer(_ key: String, in range: ClosedRange<Int>) -> Int? {
    read(key, "a number from \(range.lowerBound) to \(range.upperBound)") { text in
      Int(text).flatMap { range.contains($0) ? $0 : nil }
    }
  }

  mutating func boolean(_ key: String) -> Bool? {
    read(key, "true or false") { $0 == "true" ? true : $0 == "false" ? false : nil }
  }

  mutating func address(_ key: String) -> MACAddress? {
    read(key, "a unicast Ethernet address (xx:xx:xx:xx:xx:xx)") { text in
      MACAddress(text).flatMap { $0.isGroup || $0.bits == 0 ? nil : $0 }
    }
  }

  mutating func datapathID(_ key: String) -> String? {
    read(key, "1 to 16 hexadecimal digits, not all zero") { text in
      let digits = text.hasPrefix("0x") ? text.dropFirst(2) : Substring(text)
      guard (1...16).contains(digits.utf8.count), let value = UInt64(digits, radix: 16), value != 0,
        digits.first != "+"
      else { return nil }
      let shortest = String(value, radix: 16)
      return String(repeating: "0", count: 16 - shortest.count) + shortest
    }
  }

  /// Processor numbers of a hexadecimal mask, ascending.
  mutating func cpuMask(_ key: String) -> [Int]? {
    read(key, "a hexadecimal processor mask such as 6 (processors 1 and 2), of at most 256 digits") { text in
      let digits = text.hasPrefix("0x") || text.hasPrefix("0X") ? text.dropFirst(2) : Substring(text)
      guard (1...256).contains(digits.utf8.count) else { return nil }
      var cpus: [Int] = []
      for (place, digit) in digits.reversed().enumerated() {
        guard digit.isASCII, let value = digit.hexDigitValue else { return nil }
        cpus += (0..<4).filter { value >> $0 & 1 == 1 }.map { place * 4 + $0 }
      }
      return cpus
    }
  }

  private mutating func read<Value>(_ key: String, _ wanted: String, _ parse: (String) -> Value?) -> Value? {
    guard let text = values[key] else { return nil }
    if let value = parse(text) { return value }
    warnings.append("\(owner): other_config:\(key) \"\(printable(text))\" is ignored: it must be \(wanted)")
    return nil
  }
}
