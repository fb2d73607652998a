import Glibc
import Linux

/// One `switchdbd` with a directory of its own, and what talks to it. Everything goes with the object.
final class DatabaseLab {
  let directory: String
  private(set) var server: Program?
  /// Processes that put themselves into the background.
  private var daemons: [pid_t] = []

  init() throws {
    directory = Scratch.shared.path("database-\(Scratch.shared.number())")
    mkdir(directory, 0o755)
  }

  deinit {
    server?.kill()
    for pid in daemons { kill(pid, SIGKILL) }
  }

  func file(_ name: String) -> String { "\(directory)/\(name)" }
  var socket: String { file("db.sock") }
  var log: String { readFile(file("switchdbd.out")) + readFile(file("switchdbd.log")) }

  var environment: [String: String] {
    ["OVS_RUNDIR": directory, "OVS_DBDIR": directory, "OVS_LOGDIR": directory]
  }

  private static var schema: String { "--schema=\(Location.package)/etc/vswitch.ovsschema" }

  /// The command line of a server in this directory.
  func command(_ options: [String]) -> [String] {
    ["\(Location.programs)/switchdbd", Self.schema] + options
  }

  /// Starts the server in the foreground, and waits until it listens on its own socket.
  @discardableResult
  func start(_ options: String...) throws -> Program {
    let started = try Program(
      command(options), environment: environment, standardOutput: file("switchdbd.out"))
    server = started
    try eventually("switchdbd listens: \(log)") {
      guard started.isRunning else { throw HarnessError("switchdbd ended: \(log)") }
      return UnixSocket.isListening(socket)
    }
    return started
  }

  /// Starts the server in the background; its parent has returned, and so it listens. The process's id.
  func startDetached(_ options: String...) throws -> pid_t {
    let output = try run(
      command(["--detach", "--pidfile", "--log-file"] + options), environment: environment)
    guard output.succeeded else { throw HarnessError("switchdbd --detach: \(output) \(log)") }
    return try pid()
  }

  /// What the pid file says, remembered so that the process ends with the lab.
  func pid() throws -> pid_t {
    guard let pid = pid_t(readFile(file("switchdbd.pid")).filter(\.isNumber)) else {
      throw HarnessError("the pid file is empty: \(log)")
    }
    daemons.append(pid)
    return pid
  }

  /// Remembers a process to end with the lab.
  func remember(_ pid: pid_t) { daemons.append(pid) }

  /// `ovs-appctl` to the server with that id.
  func appctl(_ pid: pid_t, _ arguments: String...) throws -> Output {
    try run(
      ["ovs-appctl", "-T", "10", "-t", file("switchdbd.\(pid).ctl")] + arguments, environment: environment)
  }

  /// `ovs-vsctl` to the server's socket; it has to succeed.
  @discardableResult
  func vsctl(_ arguments: String...) throws -> String {
    try must(["ovs-vsctl", "--no-wait", "--timeout=10", "--db=unix:\(socket)"] + arguments)
  }

  /// The only value of a column in the table Manager.
  func manager(_ column: String) throws -> String {
    try vsctl("--bare", "--columns=\(column)", "list", "Manager")
  }

  /// `ovsdb-client`, which may fail.
  func client(_ arguments: [String]) throws -> Output {
    try run(["ovsdb-client", "--timeout=10"] + arguments, environment: environment)
  }
}

/// A TCP port of this machine that nobody listens on now.
func freePort() throws -> UInt16 {
  let listener = try TCPSocket.listen("127.0.0.1", port: 0)
  guard let port = TCPSocket.localPort(listener.raw) else { throw HarnessError("no free port") }
  return port
}
