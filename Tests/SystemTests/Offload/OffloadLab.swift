import Glibc
import Packet
import PacketTesting

/// A switch with two ports of every kind on br0, and what is at their far sides.
final class OffloadLab {
  let lab: Lab
  /// The far sides of kernel interfaces, except those of `internal` ports, which are in the switch's namespace.
  private let far: Namespace
  /// Per kind: who sends, who receives.
  private(set) var sources: [OffloadStation] = []
  private(set) var sinks: [OffloadStation] = []
  var stations: [OffloadStation] { sources + sinks }

  /// - Parameter mtu: of every device, and asked for by `mtu_request`, if it is not the default.
  init(_ lab: Lab, mtu: Int = 1500) throws {
    self.lab = lab
    far = try Namespace("far")
    let ports = OffloadKind.allCases.flatMap { kind in (0...1).map { (kind, "\(kind.rawValue)\($0)") } }
    for (kind, port) in ports where kind == .veth || kind == .nic { try addDevice(port, kind, mtu) }
    try addPorts(ports, mtu)
    for (kind, port) in ports {
      if kind == .tap { try lab.namespace.run(["ip", "link", "set", port, "netns", far.name]) }
      let place = kind == .internal ? lab.namespace : far
      if !kind.isGuest { try place.run(["ip", "link", "set", port, "up"]) }
    }
    for (number, (kind, port)) in ports.enumerated() {
      let station = try makeStation(kind, port, UInt8(number + 1))
      if number % 2 == 0 { sources.append(station) } else { sinks.append(station) }
    }
  }

  /// A veth pair: its near end here, its far end, of the same name, in `far`.
  private func addDevice(_ name: String, _ kind: OffloadKind, _ mtu: Int) throws {
    try lab.namespace.run([
      "ip", "link", "add", name, "mtu", "\(mtu)", "type", "veth", "peer", "name", name, "mtu", "\(mtu)",
      "netns", far.name,
    ])
    try lab.namespace.run(["ip", "link", "set", name, "up"])
    guard kind == .nic else { return }
    let off = ["ethtool", "-K", name, "tx", "off", "tso", "off", "gso", "off", "gro"]
    try lab.namespace.run(off + ["on"])
    try far.run(off + ["off"])
    // What arrives is held for a moment, or segments sent one by one would never be merged.
    for (file, value) in [("gro_flush_timeout", "300000"), ("napi_defer_hard_irqs", "2")] {
      try lab.namespace.run(["sh", "-c", "echo \(value) >/sys/class/net/\(name)/\(file)"])
    }
  }

  /// Adds all ports in one transaction.
  private func addPorts(_ ports: [(OffloadKind, String)], _ mtu: Int) throws {
    var command: [String] = []
    for (kind, port) in ports {
      command += ["--", "add-port", "br0", port, "--", "set", "Interface", port, "type=\(kind.type)"]
      if mtu != 1500 { command.append("mtu_request=\(mtu)") }
    }
    let output = try lab.attempt(Array(command.dropFirst()))
    guard output.succeeded else { throw HarnessError("add-port: \(output)") }
  }

  private func makeStation(_ kind: OffloadKind, _ port: String, _ number: UInt8) throws -> OffloadStation {
    guard let features = kind.features else {
      let end = try FarEnd(port, in: kind == .internal ? lab.namespace : far)
      return OffloadStation(kind, port: port, number: number, farEnd: end)
    }
    let chains = kind.receiveBuffers.count > 1 ? 300 : 800
    let guest = try VirtualGuest(
      lab.socket(port), features: features, buffers: kind.receiveBuffers, chains: chains)
    return OffloadStation(kind, port: port, number: number, guest: guest)
  }

  // MARK: VLANs and addresses

  /// Makes `access` access ports of `vlan`, and the others trunks of every VLAN.
  func setAccess(_ access: [OffloadStation], vlan: Int) throws {
    var command: [String] = []
    for station in stations {
      let isAccess = access.contains { $0 === station }
      command +=
        isAccess
        ? ["--", "set", "Port", station.port, "tag=\(vlan)"] : ["--", "clear", "Port", station.port, "tag"]
    }
    let output = try lab.attempt(Array(command.dropFirst()))
    guard output.succeeded else { throw HarnessError("set Port: \(output)") }
  }

  /// Has every station send until the switch knows where it is, in `vlan`; then forgets what that flooded.
  /// - Parameter tag: whether a station's frames carry a tag.
  func learn(vlan: Int, tag: (OffloadStation) -> Bool) throws {
    try eventually("the switch has learned all addresses in VLAN \(vlan)") {
      let table = try lab.ctl("fdb", "br0").split(separator: "\n").map { $0.split(separator: " ") }
      let missing = stations.filter { station in
        let mac = station.mac.map { hexadecimal($0) }.joined(separator: ":")
        return !table.contains { $0.count > 2 && $0[1] == "\(vlan)" && $0[2] == mac }
      }
      for station in missing {
        var hello = ReferencePacket.hello(from: station.mac)
        if tag(station) { hello.tags = [.tag(vlan)] }
        try station.send(hello.finished, .none)
      }
      return missing.isEmpty
    }
    for station in stations { while try station.receive() != nil {} }
  }

  /// The counters of `port` that are not zero.
  func counters(_ port: String) throws -> [String: Int] {
    let text = try lab.ctl("--format=csv", "--no-headings", "stats", port)
    var result: [String: Int] = [:]
    for line in text.split(whereSeparator: \.isNewline) {
      let cells = line.split(whereSeparator: { $0 == " " || $0 == "," })
      if cells.count == 2, let value = Int(cells[1]), value != 0 { result[String(cells[0])] = value }
    }
    return result
  }
}

extension OffloadKind {
  var isGuest: Bool { features != nil }

  /// Interface.type.
  var type: String {
    switch self {
    case .all, .checksum, .none: "vhost-user"
    case .tap: "tap"
    case .internal: "internal"
    case .veth, .nic: "system"
    }
  }
}

extension ReferencePacket {
  /// The source port of frames that only make an address known.
  static let helloPort = 1

  static func hello(from mac: [UInt8]) -> ReferencePacket {
    var packet = ReferencePacket()
    packet.isTCP = false
    packet.sourceMAC = mac
    packet.destinationMAC = [UInt8](repeating: 0xFF, count: 6)
    packet.source = [10, 0, 0, mac[5]]
    packet.destination = [10, 0, 0, 255]
    packet.sourcePort = helloPort
    return packet
  }
}

extension [UInt8] {
  /// An IEEE 802.1Q tag.
  static func tag(_ vlan: Int, priority: Int = 0) -> [UInt8] {
    [0x81, 0x00, UInt8(priority << 5 | vlan >> 8), UInt8(vlan & 0xFF)]
  }
}

private func hexadecimal(_ byte: UInt8) -> String { (byte < 16 ? "0" : "") + String(byte, radix: 16) }
