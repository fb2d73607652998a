import Glibc
import JSONRPC
import Linux

/// Open vSwitch's own `ovsdb-server` with an empty database, to compare with.
public final class ReferenceServer {
  public let directory: ScratchDirectory
  public var socket: String { directory.file("db.sock") }
  public var remote: Remote { .unix(path: socket) }
  private var process: Subprocess?

  /// Whether this machine has what is needed: Debian's package openvswitch-switch.
  public static let isInstalled =
    access("/usr/sbin/ovsdb-server", X_OK) == 0 && access("/usr/bin/ovs-vsctl", X_OK) == 0
    && access(schema, R_OK) == 0
  public static let reason = "needs ovsdb-server and ovs-vsctl (Debian: openvswitch-switch)"

  private static let schema = "/usr/share/openvswitch/vswitch.ovsschema"

  /// - Parameter schema: the database's schema, as its text; without one it is Open_vSwitch's.
  public init(schema: String? = nil) throws(SystemError) {
    directory = try ScratchDirectory()
    var file = Self.schema
    if let schema {
      file = directory.file("schema")
      guard let stream = fopen(file, "w") else { throw .last("write \(file)") }
      fputs(schema, stream)
      fclose(stream)
    }
    let created = try directory.run(["ovsdb-tool", "create", directory.file("db"), file])
    guard created.status == 0 else { throw SystemError("ovsdb-tool: \(created.errors)", code: EINVAL) }
    try start()
  }

  /// Starts it (again, with the same file), and returns once it listens.
  public func start() throws(SystemError) {
    let process = try Subprocess(
      [
        "/usr/sbin/ovsdb-server", directory.file("db"), "--remote=punix:\(socket)",
        "--unixctl=\(directory.file("ctl"))", "--no-chdir", "-vconsole:off", "-vsyslog:off",
      ], errors: directory.file("log"))
    self.process = process
    while !UnixSocket.isListening(socket) {
      guard process.isRunning else { throw SystemError("start ovsdb-server", code: ECHILD) }
      usleep(2000)
    }
  }

  /// Kills it.
  public func stop() {
    process?.kill()
    process = nil
  }

  /// All rows of all tables, as `ovsdb-client` prints them.
  public func dump() throws(SystemError) -> String {
    try directory.run(["ovsdb-client", "dump", "unix:\(socket)", "Open_vSwitch"]).output
  }
}
