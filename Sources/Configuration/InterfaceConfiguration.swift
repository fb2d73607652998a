import Datapath
import OVSDB
import Packet
import Ports

/// Makes a `PortConfiguration` of an Interface row, or says why there is none.
enum InterfaceConfiguration {
  /// Interface.type's values, in the order messages name them.
  static let types: [(name: String, kind: PortConfiguration.Kind)] = [
    ("system", .system),
    ("tap", .tap),
    ("internal", .internal),
    ("vhost-user", .vhostUser),
    ("vhost-user-client", .vhostUserClient),
    ("dpdkvhostuser", .vhostUser),
    ("dpdkvhostuserclient", .vhostUserClient),
  ]

  static var typeNames: [String] { types.map(\.name) }

  static func kind(_ type: String) throws(ConfigurationError) -> PortConfiguration.Kind {
    if type.isEmpty { return .system }
    if let known = types.first(where: { $0.name == type }) { return known.kind }
    throw ConfigurationError(
      "interface type \"\(type)\" is not one this switch has: \(typeNames.joined(separator: ", "))")
  }

  /// - Parameter bridgeAddress: what the bridge's local port has when the row names no address.
  static func make(_ row: FollowedInterface, bridge: String, bridgeAddress: MACAddress, runDirectory: String)
    throws(ConfigurationError) -> PortConfiguration
  {
    let kind = try kind(row.type)
    try checkName(row.name, kind, runDirectory)
    return PortConfiguration(
      name: row.name, kind: kind, options: row.options, requestedMTU: try mtu(row),
      requestedMAC: try address(row, kind, local: row.name == bridge ? bridgeAddress : nil),
      runDirectory: runDirectory)
  }

  /// What the interface occupies, beside its name.
  static func claims(_ configuration: PortConfiguration) -> [Claim] {
    switch configuration.kind {
    case .system, .tap, .internal: [.name(configuration.name), .device(configuration.name)]
    case .vhostUser:
      [.name(configuration.name), .socket("\(configuration.runDirectory)/\(configuration.name)")]
    case .vhostUserClient:
      [.name(configuration.name)] + (configuration.options["vhost-server-path"].map { [.socket($0)] } ?? [])
    }
  }

  /// Reads other_config:pmd-rxq-affinity, `QUEUE:CPU[,QUEUE:CPU]...`.
  ///
  /// - Parameter cpus: those with a poll thread.
  /// - Returns: the processor of each queue, and a sentence about what of it cannot be.
  static func affinity(_ row: FollowedInterface, cpus: [Int]) -> (cpus: [Int: Int], problem: String?) {
    guard let text = row.otherConfig["pmd-rxq-affinity"], !text.isEmpty else { return ([:], nil) }
    var affinity: [Int: Int] = [:]
    for part in text.split(separator: ",") {
      let pair = part.split(separator: ":", omittingEmptySubsequences: false)
        .map { Int($0.drop { $0 == " " }) }
      guard pair.count == 2, let queue = pair[0], let cpu = pair[1], (0..<65536).contains(queue),
        (0..<65536).contains(cpu), affinity.count < 1024
      else {
        return (
          [:],
          "\(row.name): pmd-rxq-affinity \"\(printable(text))\" is ignored: it must be QUEUE:CPU pairs such as 0:1,1:2"
        )
      }
      affinity[queue] = cpu
    }
    let missing = affinity.sorted { $0.key < $1.key }.first { !cpus.contains($0.value) }
    return (
      affinity,
      missing.map { queue, cpu in
        "\(row.name): receive queue \(queue) is not polled on CPU \(cpu), as pmd-rxq-affinity asks, but by another poll "
          + "thread: add that CPU to Open_vSwitch other_config:pmd-cpu-mask"
      }
    )
  }

  /// Reads other_config:storm-limit and storm-limit-burst, in frames.
  ///
  /// - Returns: the limit, and a sentence about a value that cannot be used.
  static func stormLimit(_ row: FollowedInterface) -> (limit: StormLimit?, problem: String?) {
    var reader = SettingReader(row.otherConfig, owner: row.name)
    let burst = reader.integer("storm-limit-burst", in: StormLimit.rates)
    let limit = reader.integer("storm-limit", in: StormLimit.rates)
      .map { StormLimit(framesPerSecond: $0, burst: burst) }
    return (limit, reader.warnings.first)
  }

  /// The kernel's rules for device names (`dev_valid_name`), and those of a file for sockets.
  private static func checkName(_ name: String, _ kind: PortConfiguration.Kind, _ runDirectory: String)
    throws(ConfigurationError)
  {
    if name.isEmpty { throw ConfigurationError("an interface needs a name") }
    if name == "." || name == ".." || name.utf8.contains(where: { $0 == UInt8(ascii: "/") || $0 < 0x20 }) {
      throw ConfigurationError(
        "\"\(printable(name))\" cannot be an interface's name: it must not contain / or be . or ..")
    }
    switch kind {
    case .system, .tap, .internal: try checkDeviceName(name)
    case .vhostUser:
      let path = "\(runDirectory)/\(name)"
      if path.utf8.count > 107 {
        throw ConfigurationError("the socket path \(path) is longer than the 107 bytes a socket can have")
      }
    case .vhostUserClient: break
    }
  }

  private static func checkDeviceName(_ name: String) throws(ConfigurationError) {
    if name.utf8.count > 15 {
      throw ConfigurationError(
        "\"\(name)\" is too long for a network device: \(name.utf8.count) bytes, the kernel allows 15")
    }
    if name.utf8.contains(where: { $0 == UInt8(ascii: ":") || $0 == UInt8(ascii: " ") }) {
      throw ConfigurationError(
        "\"\(name)\" cannot be a network device's name: it contains a colon or a space")
    }
  }

  private static func mtu(_ row: FollowedInterface) throws(ConfigurationError) -> Int? {
    guard let mtu = row.mtuRequest else { return nil }
    guard (68...65535).contains(mtu) else {
      throw ConfigurationError("mtu_request \(mtu) is outside 68 to 65535")
    }
    return Int(mtu)
  }

  /// The bridge's local port has the bridge's address unless its row names one.
  private static func address(_ row: FollowedInterface, _ kind: PortConfiguration.Kind, local: MACAddress?)
    throws(ConfigurationError) -> String?
  {
    guard let text = row.mac else {
      return kind == .internal ? local?.description : nil
    }
    guard let address = MACAddress(text), !address.isGroup, address.bits != 0 else {
      throw ConfigurationError(
        "mac \"\(printable(text))\" is not a unicast Ethernet address (xx:xx:xx:xx:xx:xx)")
    }
    return address.description
  }
}

/// Why a row cannot be carried out: one sentence for Interface.error or the log.
struct ConfigurationError: Error, Equatable, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

/// `text` without control characters, and not endless: for messages.
func printable(_ text: String) -> String {
  let shown = text.prefix(64).map {
    $0.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7F } ? $0 : "?"
  }
  return String(shown) + (text.count > 64 ? "…" : "")
}

extension MACAddress {
  /// A locally administered unicast address, always the same for one row.
  init(derivedFrom row: RowID) {
    self.init(bits: row.high >> 16 & ~0x0300_0000_0000 | 0x0200_0000_0000)
  }
}

extension PortConfiguration.Kind {
  /// Whether it is a kernel network device, and named like one.
  var isDevice: Bool {
    switch self {
    case .system, .tap, .internal: true
    case .vhostUser, .vhostUserClient: false
    }
  }
}
