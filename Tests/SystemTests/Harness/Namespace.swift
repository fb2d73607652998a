import Glibc

/// A network namespace with loopback up and IPv6 off (so that nothing is sent which a test did not ask for).
/// It is removed, with every device in it, when its owner goes.
final class Namespace {
  let name: String

  init(_ stem: String = "ns") throws {
    name = Scratch.shared.deviceName(stem)
    try must(["ip", "netns", "add", name])
    Scratch.shared.remember(namespace: name)
    try run(["sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1"])
    try run(["ip", "link", "set", "lo", "up"])
  }

  deinit { _ = try? SystemTests.run(["ip", "netns", "delete", name]) }

  func wrap(_ command: [String]) -> [String] { ["ip", "netns", "exec", name] + command }

  /// Runs a program in the namespace; it has to succeed.
  @discardableResult
  func run(_ command: [String], within seconds: Double = 30) throws -> String {
    try must(wrap(command), within: seconds)
  }

  /// Runs a program in the namespace that may fail.
  func attempt(_ command: [String], within seconds: Double = 30) throws -> Output {
    try SystemTests.run(wrap(command), within: seconds)
  }

  /// Starts a program in the namespace.
  func start(_ command: [String]) throws -> Program {
    try Program(
      wrap(command), standardOutput: Scratch.shared.path("\(name)-\(Scratch.shared.number()).log"))
  }

  /// Gives a device that is already here an address, and takes it up.
  func configure(_ device: String, address: String, mtu: Int? = nil) throws {
    if let mtu { try run(["ip", "link", "set", device, "mtu", "\(mtu)"]) }
    try run(["ip", "address", "add", address, "dev", device])
    try run(["ip", "link", "set", device, "up"])
  }

  /// Makes a veth pair: `device` here, up, and `peer` in `other`.
  func addVeth(_ device: String, peer: String, in other: Namespace) throws {
    try run(["ip", "link", "add", device, "type", "veth", "peer", "name", peer, "netns", other.name])
    try run(["ip", "link", "set", device, "up"])
  }

  func ping(_ address: String, count: Int = 1, size: Int = 56) throws -> Output {
    try attempt(
      ["ping", "-n", "-i", "0.05", "-W", "1", "-c", "\(count)", "-s", "\(size)", address], within: 60)
  }
}

/// Something with an address on the bridge: a guest or a namespace.
protocol Station {
  var address: String { get }
  func ping(_ address: String, count: Int, size: Int) throws -> Output
}

extension Station {
  func ping(_ other: any Station, count: Int = 3, size: Int = 56) throws -> Output {
    try ping(other.address, count: count, size: size)
  }

  /// Waits until a ping gets through; says whether it did.
  func reaches(_ other: any Station, within seconds: Double = 20) throws {
    var last: Output?
    do {
      try eventually("\(address) reaches \(other.address)", within: seconds) {
        last = try ping(other.address, count: 1, size: 56)
        return last?.succeeded == true
      }
    } catch { throw HarnessError("\(error): \(last.map(String.init(describing:)) ?? "")") }
  }
}

/// A namespace with one device on the bridge.
struct Host: Station {
  let namespace: Namespace
  let device: String
  let address: String

  func ping(_ address: String, count: Int, size: Int) throws -> Output {
    try namespace.ping(address, count: count, size: size)
  }

  /// Whether no ping comes back, of some: as it should be where `other`, or the switch, is away.
  func misses(_ other: any Station) throws -> Bool {
    !(try namespace.attempt(["ping", "-n", "-i", "0.05", "-W", "0.3", "-c", "3", other.address]).succeeded)
  }

  /// Sends no faster than this ("32mbit").
  func limit(_ rate: String) throws {
    try namespace.run(
      ["tc", "qdisc", "add", "dev", device, "root", "tbf", "rate", rate, "burst", "64kb", "latency", "200ms"])
  }
  func removeLimit() throws { try namespace.run(["tc", "qdisc", "delete", "dev", device, "root"]) }
}
