import Glibc
import JSONRPC
import Linux
import OVSDB

/// The command line of `switchdbd`. Called `ovsdb-server`, it uses that program's names and directories, so that what was
/// made for it, ovs-ctl(8) and ovs-appctl(8) too, works with this one.
struct Options {
  let program: String
  let directories: StandardDirectories
  var daemon: DaemonOptions
  var remotes: [RemoteSource] = []
  var tls = TLSSettings()
  var schema: String?
  var isDurable = false
  var files: [String] = []
  /// A command that the server runs for.
  var command: String?
  /// Whether rows may ask for sockets anywhere.
  var isUnconfined = false
  private var hasNoDatabases = false

  static let help = """
    switchdbd: the switch's database (OVSDB, RFC 7047)
    usage: switchdbd [OPTIONS] [DATABASE-FILE…]

    A file that does not exist is created with the Open_vSwitch schema. Without a file:
    \(defaultDatabaseFile()).

      --remote=REMOTE      accept clients at punix:FILE, ptcp:PORT[:IP] or pssl:PORT[:IP], connect to one at
                           unix:FILE, tcp:IP:PORT or ssl:IP:PORT, or as db:DATABASE,TABLE,COLUMN says; repeatable
                           (default: punix:RUNDIR/db.sock and db:Open_vSwitch,Open_vSwitch,manager_options)
      --run=COMMAND        run COMMAND by the shell once clients are accepted, and end when it does
      --no-dbs             serve no file at first
      --schema=FILE        the schema of databases that are created (default: vswitch.ovsschema in
                           ../share/switchd beside the program)
      --durable            make every change survive a loss of power, not only those whose client asks for that:
                           written to the disk itself before it is acknowledged

    \(TLSSettings.help)

    \(DaemonOptions.help)

    Signals: TERM and INT end it cleanly, HUP opens the log file anew.
    """

  private static let table =
    DaemonOptions.table + TLSSettings.table + [
      CommandLineOption("remote", .required), CommandLineOption("run", .required),
      CommandLineOption("no-dbs"),
      CommandLineOption("schema", .required), CommandLineOption("durable"),
    ]

  init(_ arguments: [String]) throws(UsageError) {
    let isDropIn = arguments.first.map { $0.hasSuffix("/ovsdb-server") || $0 == "ovsdb-server" } ?? false
    program = isDropIn ? "ovsdb-server" : "switchdbd"
    directories = isDropIn ? .openVSwitch : .own
    daemon = DaemonOptions(program: program, directories: directories)
    for item in try CommandLineOption.read(Array(arguments.dropFirst()), Self.table) {
      switch item {
      case .positional(let file): files.append(absolutePath(file))
      case .option(let name, let value): try take(name, value)
      }
    }
    if files.isEmpty, !hasNoDatabases { files = [defaultDatabaseFile(in: directories)] }
  }

  private mutating func take(_ name: String, _ value: String?) throws(UsageError) {
    switch try daemon.consume(name, value) {
    case .consumed: if name == "no-self-confinement" { isUnconfined = true }
    case .showHelp:
      print(Self.help)
      exit(0)
    case .showVersion:
      print("\(program) \(productVersion)")
      exit(0)
    case .notMine: try own(name, value ?? "")
    }
  }

  private mutating func own(_ name: String, _ value: String) throws(UsageError) {
    switch name {
    case "remote":
      do throws(RemoteError) { remotes.append(try RemoteSource(value)) } catch {
        throw UsageError(error.description)
      }
    case "run": command = value
    case "durable": isDurable = true
    case "no-dbs": hasNoDatabases = true
    case "schema": schema = absolutePath(value)
    default: guard try tls.consume(name, value) else { throw UsageError("unknown option --\(name)") }
    }
  }
}
