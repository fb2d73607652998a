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
    case hosted(file: String, remotes: [Remote])
  }

  var daemon = DaemonOptions(program: "switchd")
  var schema: String?
  var isDurable = false
  private var followed: [Remote] = []
  private var file: String?
  private var remotes: [Remote] = []

  static var defaultFile: String { defaultDatabaseFile() }

  static let help = """
    switchd: a virtual switch
    usage: switchd [OPTIONS] [DATABASE]

    DATABASE is unix:FILE or tcp:IP:PORT to follow a database server (switchdbd, ovsdb-server;
    of a cluster all of them, with commas between),
    or a file that this process is to serve itself (default: \(defaultFile);
    it is created when it does not exist).

      --db-file=FILE       the same as naming FILE
      --remote=REMOTE      accept database clients at punix:FILE or ptcp:PORT[:IP]; repeatable
                           (default: punix:RUNDIR/db.sock)
      --schema=FILE        the schema of a database that is created (default: vswitch.ovsschema in
                           ../share/switchd beside the program)
      --durable            make every change of a database of one's own survive a loss of power, not only those
                           whose client asks for that

    \(DaemonOptions.help)

    Signals: TERM and INT end it cleanly, HUP opens the log file anew.
    """

  init(_ arguments: [String]) throws(UsageError) {
    for argument in arguments {
      switch try daemon.consume(argument) {
      case .consumed: continue
      case .showHelp:
        print(Self.help)
        exit(0)
      case .showVersion:
        print("switchd \(productVersion)")
        exit(0)
      case .notMine: try own(argument)
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
    let socket = Remote.listenUnix(path: "\(runDirectory)/db.sock")
    return .hosted(file: file ?? Self.defaultFile, remotes: remotes.isEmpty ? [socket] : remotes)
  }

  private mutating func own(_ argument: String) throws(UsageError) {
    let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(
      String.init)
    switch (parts[0], parts.count > 1 ? parts[1] : nil) {
    case ("--remote", let text?): remotes.append(try Self.remote(text, isPassive: true))
    case ("--db-file", let file?): try setFile(file)
    case ("--schema", let file?): schema = absolutePath(file)
    case ("--durable", nil): isDurable = true
    case ("--remote", nil), ("--db-file", nil), ("--schema", nil):
      throw UsageError("\(argument) needs a value: \(argument)=…")
    default:
      guard !argument.hasPrefix("-") else { throw UsageError("unknown option \(argument)") }
      try setDatabase(argument)
    }
  }

  private mutating func setDatabase(_ argument: String) throws(UsageError) {
    guard followed.isEmpty, file == nil else {
      throw UsageError("\(argument): the database was named already; a switch follows one")
    }
    // A path may contain a colon, but not before its first slash.
    if argument.prefix(while: { $0 != "/" }).contains(":") {
      for remote in argument.split(separator: ",") {
        followed.append(try Self.remote(String(remote), isPassive: false))
      }
    } else {
      try setFile(argument)
    }
  }

  private mutating func setFile(_ path: String) throws(UsageError) {
    guard !path.isEmpty else { throw UsageError("the database file needs a name") }
    file = absolutePath(path)
  }

  private static func remote(_ text: String, isPassive: Bool) throws(UsageError) -> Remote {
    do throws(RemoteError) {
      let remote = try Remote(text)
      guard remote.isPassive == isPassive else {
        throw RemoteError(
          isPassive
            ? "\(text): --remote takes punix: or ptcp:, where clients are accepted"
            : "\(text): to follow a database name unix:FILE or tcp:IP:PORT; to serve one use --remote")
      }
      return remote
    } catch { throw UsageError(error.description) }
  }
}
