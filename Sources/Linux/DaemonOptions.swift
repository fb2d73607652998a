/// The command-line options every daemon has, and what they mean together.
public struct DaemonOptions: Sendable {
  /// The program's name: `NAME.pid`, `NAME.<pid>.ctl`, `NAME.log`.
  public let program: String
  public var detach = false
  /// Nil: no pid file.
  public var pidFile: String?
  public var logFile: String?
  public var runDirectory: String
  /// The control socket; nil: none.
  public var controlSocket: String?
  /// Whom to run as; nil: whoever starts it.
  public var user: UserIdentity?

  private var pidFileOption: String?? = .some(nil)
  private var runDirectoryOption: String?
  private var controlOption: String?
  private var logsToFile = false
  private var logFileOption: String?

  public init(program: String) {
    self.program = program
    runDirectory = RunDirectory.resolve()
  }

  public static let help = """
    Daemon options:
      --detach             run in the background; returns once the daemon is ready
      --pidfile[=FILE]     where to write the process id (default: RUNDIR/NAME.pid)
      --no-pidfile         write none; two daemons can then share a run directory
      --log-file[=FILE]    log to FILE (default: /var/log/switchd/NAME.log)
      --rundir=DIR         where sockets and pid files are (default: $OVS_RUNDIR, or /run/switchd)
      --user=USER[:GROUP]  run as that user, with no more of root's capabilities than without this option
      --unixctl=SOCKET     the control socket (default: RUNDIR/NAME.PID.ctl; "none": no control socket)
      -v, --verbose[=SPEC] log everything, or SPEC: [MODULE:]LEVEL, LEVEL one of off emer err warn info dbg
      -V, --version        print the version
      -h, --help           print this help
    """

  public enum Outcome: Equatable, Sendable {
    /// Not one of these options: the program's own, or a positional argument.
    case notMine
    case consumed
    case showHelp
    case showVersion
  }

  /// Takes `argument` if it is one of these options.
  public mutating func consume(_ argument: String) throws(UsageError) -> Outcome {
    let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(
      String.init)
    let value = parts.count > 1 ? parts[1] : nil
    switch parts[0] {
    case "--detach": detach = true
    case "--pidfile": pidFileOption = .some(value)
    case "--no-pidfile": pidFileOption = .none
    case "--log-file":
      logsToFile = true
      logFileOption = value
    case "--rundir": runDirectoryOption = try Self.needed(value, argument)
    case "--user": user = try UserIdentity(try Self.needed(value, argument))
    case "--unixctl": controlOption = try Self.needed(value, argument)
    case "--verbose": try Log.apply(specification: value ?? "dbg")
    case "--help", "-h": return .showHelp
    case "--version", "-V": return .showVersion
    default:
      guard argument.hasPrefix("-v") else { return .notMine }
      try Log.apply(specification: argument == "-v" ? "dbg" : String(argument.dropFirst(2)))
    }
    return .consumed
  }

  /// Fills in what follows from the options together; call it after the last `consume`. The control socket's name
  /// has the process id, so this comes after detaching (`Daemon.start` calls it).
  mutating func resolve(pid: Int32) {
    runDirectory = RunDirectory.resolve(runDirectoryOption)
    if let option = pidFileOption { pidFile = inRunDirectory(option ?? "\(program).pid") }
    if controlOption != "none" { controlSocket = inRunDirectory(controlOption ?? "\(program).\(pid).ctl") }
    if logsToFile { logFile = absolutePath(logFileOption ?? "/var/log/switchd/\(program).log") }
  }

  private func inRunDirectory(_ name: String) -> String {
    name.hasPrefix("/") ? name : "\(runDirectory)/\(name)"
  }

  private static func needed(_ value: String?, _ argument: String) throws(UsageError) -> String {
    guard let value, !value.isEmpty else { throw UsageError("\(argument) needs a value: \(argument)=…") }
    return value
  }
}

/// A command line that cannot be understood.
public struct UsageError: Error, Equatable, CustomStringConvertible {
  public let description: String
  public init(_ description: String) { self.description = description }
}

extension Log {
  /// Sets levels as `vlog/set` and `-v` write them: `[MODULE:][DESTINATION:]LEVEL`, in any order. The destinations
  /// `console`, `syslog`, `file` are accepted and mean all.
  public static func apply(specification: String) throws(UsageError) {
    var module: String?
    var level = Level.debug
    for word in specification.split(whereSeparator: { $0 == ":" || $0 == " " || $0 == "," }).map(String.init)
    {
      if let named = Level(name: word) {
        level = named
      } else if !["console", "syslog", "file", "any"].contains(word.lowercased()) {
        guard module == nil else {
          throw UsageError("\"\(word)\" is not a log level; levels are off, emer, err, warn, info, dbg")
        }
        module = word
      }
    }
    setLevel(level, module: module)
  }
}
