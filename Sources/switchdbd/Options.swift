import Glibc
import JSONRPC
import Linux

/// The command line of `switchdbd`.
struct Options {
  var daemon = DaemonOptions(program: "switchdbd")
  var remotes: [Remote] = []
  var schema: String?
  var files: [String] = []
  var isDurable = false

  static var defaultFile: String { defaultDatabaseFile() }

  static let help = """
    switchdbd: the switch's database (OVSDB, RFC 7047)
    usage: switchdbd [OPTIONS] [DATABASE-FILE…]

    A file that does not exist is created with the Open_vSwitch schema. Without a file: \(defaultFile).

      --remote=REMOTE      accept clients at punix:FILE or ptcp:PORT[:IP]; repeatable
                           (default: punix:RUNDIR/db.sock)
      --schema=FILE        the schema of databases that are created (default: vswitch.ovsschema in
                           ../share/switchd beside the program)
      --durable            make every change survive a loss of power, not only those whose client asks for that:
                           written to the disk itself before it is acknowledged

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
        print("switchdbd \(productVersion)")
        exit(0)
      case .notMine: try own(argument)
      }
    }
  }

  private mutating func own(_ argument: String) throws(UsageError) {
    let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(
      String.init)
    switch (parts[0], parts.count > 1 ? parts[1] : nil) {
    case ("--remote", let text?):
      do throws(RemoteError) {
        let remote = try Remote(text)
        guard remote.isPassive else { throw RemoteError("\(text): --remote takes punix: or ptcp:") }
        remotes.append(remote)
      } catch { throw UsageError(error.description) }
    case ("--schema", let file?): schema = absolutePath(file)
    case ("--durable", nil): isDurable = true
    case ("--remote", nil), ("--schema", nil): throw UsageError("\(argument) needs a value: \(argument)=…")
    default:
      guard !argument.hasPrefix("-") else { throw UsageError("unknown option \(argument)") }
      files.append(absolutePath(argument))
    }
  }
}
