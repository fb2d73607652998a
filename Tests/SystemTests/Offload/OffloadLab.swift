import Glibc
import Packet
import PacketTesting
import VhostUser
import Virtio
import VirtioTesting

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
    try transact(command)
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

  /// Sets the ports' VLANs up, and has every station send until the switch knows where it is; then forgets what that
  /// flooded.
  func prepare(_ tagging: Tagging) throws {
    try setAccess(tagging)
    try eventually("the switch has learned all addresses in VLAN \(tagging.vlan)") {
      let table = try lab.ctl("fdb", "br0").split(separator: "\n").map { $0.split(separator: " ") }
      let missing = stations.filter { station in
        let mac = station.mac.map { hexadecimal($0) }.joined(separator: ":")
        return !table.contains { $0.count > 2 && $0[1] == "\(tagging.vlan)" && $0[2] == mac }
      }
      for station in missing {
        var hello = ReferencePacket.hello(from: station.mac)
        hello.tags = sources.contains { $0 === station } ? tagging.entering : tagging.leaving
        try station.send(hello.finished, .none)
      }
      return missing.isEmpty
    }
    for station in stations { while try station.receive() != nil {} }
  }

  private func setAccess(_ tagging: Tagging) throws {
    let access: [OffloadStation]
    switch tagging.access {
    case .none: access = []
    case .sources: access = sources
    case .sinks: access = sinks
    }
    var command: [String] = []
    for station in stations {
      let isAccess = access.contains { $0 === station }
      command += ["--"]
      command +=
        isAccess
        ? ["set", "Port", station.port, "tag=\(tagging.vlan)"] : ["clear", "Port", station.port, "tag"]
    }
    try transact(command)
  }

  private func transact(_ command: [String]) throws {
    let output = try lab.attempt(Array(command.dropFirst()))
    guard output.succeeded else { throw HarnessError("\(command): \(output)") }
  }

  /// Asks for `mtu` on every port, and sets it at the far ends that ports have no say in.
  func setMTU(_ mtu: Int) throws {
    for station in stations where station.kind == .veth || station.kind == .nic {
      try far.run(["ip", "link", "set", station.port, "mtu", "\(mtu)"])
    }
    try transact(stations.flatMap { ["--", "set", "Interface", $0.port, "mtu_request=\(mtu)"] })
    for station in stations {
      try eventually("\(station.port) has MTU \(mtu)") {
        try lab.interface(station.port, "mtu") == "\(mtu)"
      }
    }
  }

  /// Puts the sending TAP into a Linux bridge. Returns a station on a veth pair in that bridge.
  func bridgeTAP() throws -> OffloadStation {
    let tap = sources.first { $0.kind == .tap }!
    for command in [
      "ip link add bridge0 type bridge mcast_snooping 0", "ip link set bridge0 up",
      "ip link add near type veth peer name inject", "ip link set near master bridge0",
      "ip link set \(tap.port) master bridge0", "ip link set near up", "ip link set inject up",
    ] {
      try far.run(command.split(separator: " ").map(String.init))
    }
    return OffloadStation(.tap, port: tap.port, number: tap.mac[5], farEnd: try FarEnd("inject", in: far))
  }

  /// What a port of this switch offers to front-ends.
  func offeredFeatures() throws -> VirtioFeatures {
    let name = "probe"
    try lab.ctl("add-port", "br0", name, "--", "set", "Interface", name, "type=vhost-user")
    let frontEnd = try ScriptedFrontEnd(connecting: lab.socket(name))
    return VirtioFeatures(rawValue: try frontEnd.askNumber(.getFeatures))
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

private func hexadecimal(_ byte: UInt8) -> String { (byte < 16 ? "0" : "") + String(byte, radix: 16) }
