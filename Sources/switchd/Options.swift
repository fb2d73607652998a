import Glibc
import JSONRPC
import Linux
import OVSDB

/// The command line of `switchd`.
struct Options {
  /// Where the configuration is.
  enum Database: Equatable {
    /// Another process serves it; of a cluster, several.
    case followed([Remote])
    /// This process serves it, from this file.
    case hosted(file: String, remotes: [RemoteSource])
  }

  var daemon = DaemonOptions(program: "switchd")
  var tls = TLSSettings()
  var schema: String?
  var isDurable = false
  private var followed: [Remote] = []
  private var file: String?
  private var remotes: [RemoteSource] = []

  static var defaultFile: String { defaultDatabaseFile() }

  static let help = """
    switchd: a virtual switch
    usage: switchd [OPTIONS] [DATABASE]

    DATABASE is unix:FILE, tcp:IP:PORT or ssl:IP:PORT to follow a database server (switchdbd,
    ovsdb-server; of a cluster all of them, with commas between), or a file that this process is to serve itself (default: \(defaultFile);
    it is created when it does not exist).

      --db-file=FILE       the same as naming FILE
      --remote=REMOTE      accept database clients at punix:FILE, ptcp:PORT[:IP] or pssl:PORT[:IP], connect to
                           one at unix:FILE, tcp:IP:PORT or ssl:IP:PORT, or as db:DATABASE,TABLE,COLUMN says;
                           repeatable (default: punix:RUNDIR/db.sock and
                           db:Open_vSwitch,Open_vSwitch,manager_options)
      --schema=FILE        the schema of a database that is created (default: vswitch.ovsschema in
                           ../share/switchd beside the program)
      --durable            make every change of a database of one's own survive a loss of power, not only those
                           whose client asks for that

    \(TLSSettings.help)

    \(DaemonOptions.help)

    Signals: TERM and INT end it cleanly, HUP opens the log file anew.
    """

  private static let table =
    DaemonOptions.table + TLSSettings.table + [
      CommandLineOption("remote", .required), CommandLineOption("db-file", .required),
      CommandLineOption("schema", .required), CommandLineOption("durable"),
    ]

  init(_ arguments: [String]) throws(UsageError) {
    for item in try CommandLineOption.read(arguments, Self.table) {
      switch item {
      case .positional(let database): try setDatabase(database)
      case .option(let name, let value): try take(name, value)
      }
    }
    if let remote = followed.first, file != nil || !remotes.isEmpty {
      throw UsageError(
        "\(remote) is served by another process: --db-file and --remote are for a database of one's own")
    }
  }

  /// - Parameter runDirectory: where the database's socket is unless `--remote` says otherwise.
  func database(runDirectory: String) -> Database {
    if !followed.isEmpty { return .followed(followed) }
    let socket = RemoteSource(.listenUnix(path: "\(runDirectory)/db.sock"))
    return .hosted(file: file ?? Self.defaultFile, remotes: remotes.isEmpty ? [socket, .managers] : remotes)
  }

  private mutating func take(_ name: String, _ value: String?) throws(UsageError) {
    switch try daemon.consume(name, value) {
    case .consumed: break
    case .showHelp:
      print(Self.help)
      exit(0)
    case .showVersion:
      print("switchd \(productVersion)")
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
    case "db-file": try setFile(value)
    case "durable": isDurable = true
    case "schema": schema = absolutePath(value)
    default: guard try tls.consume(name, value) else { throw UsageError("unknown option --\(name)") }
    }
  }

  private mutating func setDatabase(_ argument: String) throws(UsageError) {
    guard followed.isEmpty, file == nil else {
      throw UsageError("\(argument): the database was named already; a switch follows one")
    }
    // A path may contain a colon, but not before its first slash.
    if argument.prefix(while: { $0 != "/" }).contains(":") {
      for remote in argument.split(separator: ",") { followed.append(try Self.remote(String(remote))) }
    } else {
      try setFile(argument)
    }
  }

  private mutating func setFile(_ path: String) throws(UsageError) {
    guard !path.isEmpty else { throw UsageError("the database file needs a name") }
    file = absolutePath(path)
  }

  private static func remote(_ text: String) throws(UsageError) -> Remote {
    do throws(RemoteError) {
      let remote = try Remote(text)
      guard !remote.isPassive else {
        throw RemoteError(
          "\(text): to follow a database name unix:FILE, tcp:IP:PORT or ssl:IP:PORT; to serve one use --remote"
        )
      }
      return remote
    } catch { throw UsageError(error.description) }
  }
}
