import Glibc
import Linux

/// Runs a test in a lab of its own, with a bridge called br0. The lab and all that was plugged into it live exactly as
/// long as `body` runs; an error tells what the daemons said.
func withLab(start: Bool = true, _ body: (Lab) throws -> Void) throws {
  let lab = try Lab()
  try withExtendedLifetime(lab) {
    do {
      if start {
        try lab.startSwitch()
        try lab.ctl("add-br", "br0")
      }
      try body(lab)
    } catch { throw HarnessError("\(error)\nThe daemons said:\n\(lab.log)") }
  }
}

/// One switch with its own database, directory and network namespace, and whatever a test plugs into it.
final class Lab {
  let directory: String
  let namespace: Namespace
  private(set) var switchd: Program?
  private(set) var switchdbd: Program?
  /// Guests and namespaces; they go with the lab, whenever the test last mentions them.
  private var stations: [AnyObject] = []

  fileprivate init() throws {
    directory = Scratch.shared.path("lab-\(Scratch.shared.number())")
    mkdir(directory, 0o755)
    namespace = try Namespace("sw")
  }

  // MARK: Programs

  private var environment: [String: String] {
    [
      "OVS_RUNDIR": directory, "OVS_DBDIR": directory, "OVS_LOGDIR": directory,
    ]
  }
  private func program(_ name: String) -> String { "\(Location.programs)/\(name)" }
  var database: String { "\(directory)/db.sock" }
  func socket(_ port: String) -> String { "\(directory)/\(port)" }
  /// All that the daemons said.
  var log: String { readFile("\(directory)/switchd.log") + readFile("\(directory)/switchdbd.log") }

  /// Starts the switch and waits until it takes commands.
  /// - Parameters:
  ///   - database: where the database is; none means inside the switch.
  ///   - options: more of the command line.
  ///   - wrapper: a program that starts the switch as it says.
  func startSwitch(database remote: String? = nil, options: [String] = [], wrapper: [String] = []) throws {
    let started = try startSwitchWithoutWaiting(database: remote, options: options, wrapper: wrapper)
    try eventually("switchd is ready") {
      guard started.isRunning else { throw HarnessError("switchd ended: \(log)") }
      guard UnixSocket.isListening(database) else { return false }
      return try attempt("show").succeeded
    }
  }

  @discardableResult
  func startSwitchWithoutWaiting(
    database remote: String? = nil, options: [String] = [], wrapper: [String] = []
  ) throws -> Program {
    let command =
      wrapper + [program("switchd"), "--rundir=\(directory)"] + options + [remote ?? "\(directory)/conf.db"]
    let started = try Program(
      namespace.wrap(command), environment: environment, standardOutput: "\(directory)/switchd.log")
    switchd = started
    return started
  }

  /// Starts the database server alone and waits until it listens.
  func startDatabase(options: [String] = []) throws {
    let started = try Program(
      [program("switchdbd"), "--rundir=\(directory)", "--remote=punix:\(database)"] + options + [
        "\(directory)/conf.db"
      ],
      environment: environment, standardOutput: "\(directory)/switchdbd.log")
    switchdbd = started
    try eventually("switchdbd listens") {
      guard started.isRunning else { throw HarnessError("switchdbd ended: \(log)") }
      return UnixSocket.isListening(database)
    }
  }

  /// Runs `switchctl`; it has to succeed. Returns its output without the last newline.
  @discardableResult
  func ctl(_ arguments: String...) throws -> String {
    let output = try attempt(arguments)
    guard output.succeeded else {
      throw HarnessError("switchctl \(arguments.joined(separator: " ")): \(output)")
    }
    return output.text
  }

  /// Runs `switchctl`, which may fail.
  func attempt(_ arguments: String...) throws -> Output { try attempt(arguments) }
  func attempt(_ arguments: [String]) throws -> Output {
    try run(
      [program("switchctl"), "--timeout=20", "--db=unix:\(database)"] + arguments, environment: environment)
  }

  /// Runs a second copy of a daemon to its end, as somebody would by mistake.
  func runDaemon(_ name: String, _ arguments: [String]) throws -> Output {
    try run(namespace.wrap([program(name)] + arguments), environment: environment, within: 15)
  }

  /// Runs Debian's own `ovs-vsctl` against the database.
  @discardableResult
  func vsctl(_ arguments: String...) throws -> Output {
    try run(["ovs-vsctl", "--timeout=20", "--db=unix:\(database)"] + arguments)
  }

  /// The value of one column as `switchctl get` prints it.
  func interface(_ name: String, _ column: String) throws -> String {
    try ctl("get", "Interface", name, column)
  }

  /// A counter of an interface as the switch has it now.
  func counter(_ name: String, _ key: String) throws -> Int {
    let text = try ctl("get", "Interface", name, "statistics:\(key)")
    guard let value = Int(text) else { throw HarnessError("statistics:\(key) of \(name) is '\(text)'") }
    return value
  }

  // MARK: Stations

  /// The next free address, 10.0.0.1 first.
  private func nextAddress() -> (address: String, mac: String) {
    let number = stations.count + 1
    return ("10.0.0.\(number)", "52:54:00:00:00:0\(number)")
  }

  /// A namespace behind a veth pair whose near end is a port of the bridge.
  /// - Parameter columns: settings of the port ("tag=5"), set as it is added.
  func addHost(_ port: String, bridge: String = "br0", columns: [String] = [], mtu: Int? = nil) throws -> Host
  {
    let host = try makeHost(port, mtu: mtu)
    let output = try attempt(["add-port", bridge, port] + columns)
    guard output.succeeded else { throw HarnessError("add-port \(port): \(output)") }
    return host
  }

  /// The same without adding the port.
  func makeHost(_ port: String, mtu: Int? = nil) throws -> Host {
    let (address, _) = nextAddress()
    let other = try Namespace("host")
    stations.append(other)
    try namespace.addVeth(port, peer: "eth0", in: other)
    if let mtu { try namespace.run(["ip", "link", "set", port, "mtu", "\(mtu)"]) }
    try other.configure("eth0", address: "\(address)/24", mtu: mtu)
    return Host(namespace: other, device: "eth0", address: address)
  }

  /// A namespace that holds a TAP the switch made.
  func addTAP(_ port: String, bridge: String = "br0", columns: [String] = []) throws -> Host {
    let (address, _) = nextAddress()
    let output = try attempt(
      ["add-port", bridge, port] + columns + ["--", "set", "Interface", port, "type=tap"])
    guard output.succeeded else { throw HarnessError("add-port \(port): \(output)") }
    let other = try Namespace("host")
    stations.append(other)
    try namespace.run(["ip", "link", "set", port, "netns", other.name])
    try other.configure(port, address: "\(address)/24")
    return Host(namespace: other, device: port, address: address)
  }

  /// A port for a guest, and the guest, not yet started.
  func addGuest(
    _ port: String, role: Guest.Role = .connects, bridge: String = "br0", columns: [String] = [],
    settings: [String] = [], vlan: Int? = nil, mtu: Int? = nil, options: GuestOptions = GuestOptions()
  ) throws -> Guest {
    let (address, mac) = nextAddress()
    try addVhostPort(port, role: role, bridge: bridge, columns: columns, settings: settings)
    var options = options
    options.role = role
    let guest = try Guest(
      socket: socket(port), mac: mac, address: address, vlan: vlan, mtu: mtu, options: options)
    stations.append(guest)
    return guest
  }

  /// A port, and a QEMU that waits there to be sent a guest that runs elsewhere, of this switch or another.
  /// - Parameter change: makes its options other than the guest's.
  func addDestination(_ port: String, of guest: Guest, change: (inout GuestOptions) -> Void = { _ in }) throws
    -> Guest
  {
    try addVhostPort(port, role: guest.options.role)
    var options = guest.options
    options.isIncoming = true
    change(&options)
    let destination = try Guest(
      socket: socket(port), mac: guest.mac, address: guest.address, options: options)
    stations.append(destination)
    return destination
  }
}
