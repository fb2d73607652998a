/// The command-line options every daemon has, and what they mean together: those of ovs-vswitchd(8) and
/// ovsdb-server(1), so that scripts made for these start ours.
public struct DaemonOptions: Sendable {
  /// The program's name: `NAME.pid`, `NAME.<pid>.ctl`, `NAME.log`.
  public let program: String
  public var detach = false
  /// Whether a second process starts the daemon again when it crashes.
  public var isMonitored = false
  /// Whether a daemon in the background stays in its directory.
  public var staysInDirectory = false
  /// Nil: no pid file.
  public var pidFile: String?
  /// Whether a pid file that another process holds is replaced.
  public var replacesPIDFile = false
  public var logFile: String?
  public var runDirectory: String
  /// The control socket; nil: none.
  public var controlSocket: String?
  /// Whom to run as; nil: whoever starts it.
  public var user: UserIdentity?

  private let directories: StandardDirectories
  private var pidFileOption: String?? = .some(nil)
  private var runDirectoryOption: String?
  private var controlOption: String?
  private var logsToFile = false
  private var logFileOption: String?

  /// - Parameter directories: where files are that no option names.
  public init(program: String, directories: StandardDirectories = .own) {
    self.program = program
    self.directories = directories
    runDirectory = directories.run
  }

  public static let help = """
    Daemon options:
      --detach             run in the background; returns once the daemon is ready
      --monitor            start the daemon again when it crashes
      --no-chdir           in the background, stay in the current directory
      --pidfile[=FILE]     where to write the process id (default: RUNDIR/NAME.pid)
      --overwrite-pidfile  do so even if another process holds that file
      --no-pidfile         write none; two daemons can then share a run directory
      --log-file[=FILE]    log to FILE (default: /var/log/switchd/NAME.log)
      --rundir=DIR         where sockets and pid files are (default: $OVS_RUNDIR, or /run/switchd)
      --user=USER[:GROUP]  run as that user, with no more of root's capabilities than without this option
      --unixctl=SOCKET     the control socket (default: RUNDIR/NAME.PID.ctl; "none": no control socket)
      -v, --verbose[=SPEC] log everything, or SPEC: [MODULE:][DESTINATION:]LEVEL, LEVEL one of off emer err
                           warn info dbg, DESTINATION one of console file
      --syslog-target=HOST:PORT, --syslog-method=METHOD, --no-self-confinement
                           accepted for scripts of Open vSwitch, and without meaning here
      -V, --version        print the version
      -h, --help           print this help
    """

  /// The options; a program appends its own.
  public static let table: [CommandLineOption] = [
    CommandLineOption("detach"), CommandLineOption("monitor"), CommandLineOption("no-chdir"),
    CommandLineOption("pidfile", .optional), CommandLineOption("overwrite-pidfile"),
    CommandLineOption("no-pidfile"), CommandLineOption("log-file", .optional),
    CommandLineOption("rundir", .required), CommandLineOption("user", .required),
    CommandLineOption("unixctl", .required), CommandLineOption("verbose", short: "v", .optional),
    CommandLineOption("syslog-target", .required), CommandLineOption("syslog-method", .required),
    CommandLineOption("no-self-confinement"), CommandLineOption("version", short: "V"),
    CommandLineOption("help", short: "h"),
  ]

  public enum Outcome: Equatable, Sendable {
    /// The program's own.
    case notMine
    case consumed
    case showHelp
    case showVersion
  }

  /// Takes an option if it is one of these.
  public mutating func consume(_ name: String, _ value: String?) throws(UsageError) -> Outcome {
    switch name {
    case "detach": detach = true
    case "monitor": isMonitored = true
    case "no-chdir": staysInDirectory = true
    case "pidfile": pidFileOption = .some(value)
    case "overwrite-pidfile": replacesPIDFile = true
    case "no-pidfile": pidFileOption = .none
    case "log-file":
      logsToFile = true
      logFileOption = value
    case "rundir": runDirectoryOption = value
    case "user": user = try value.map(UserIdentity.init)
    case "unixctl": controlOption = value
    case "verbose": try Log.apply(specification: value ?? "dbg")
    case "syslog-target", "syslog-method", "no-self-confinement": break
    case "version": return .showVersion
    case "help": return .showHelp
    default: return .notMine
    }
    return .consumed
  }

  /// Fills in what follows from the options together, but for what depends on the process; call it after the last
  /// `consume` (`Daemon.start` does).
  mutating func resolve() {
    runDirectory = runDirectoryOption.map(absolutePath) ?? directories.run
    if let option = pidFileOption { pidFile = inRunDirectory(option ?? "\(program).pid") }
    if logsToFile { logFile = absolutePath(logFileOption ?? "\(directories.log)/\(program).log") }
  }

  /// The control socket's name has the process id, so this comes after forking.
  mutating func resolve(pid: Int32) {
    if controlOption != "none" { controlSocket = inRunDirectory(controlOption ?? "\(program).\(pid).ctl") }
  }

  private func inRunDirectory(_ name: String) -> String {
    name.hasPrefix("/") ? name : "\(runDirectory)/\(name)"
  }
}

/// Where a daemon's files are unless options or the environment (OVS_RUNDIR, OVS_LOGDIR, OVS_DBDIR) say otherwise.
public struct StandardDirectories: Sendable {
  public let run: String
  public let log: String
  public let database: String

  private init(run: String, log: String, database: String) {
    self.run = environmentPath("OVS_RUNDIR") ?? run
    self.log = environmentPath("OVS_LOGDIR") ?? log
    self.database = environmentPath("OVS_DBDIR") ?? database
  }

  public static let own = StandardDirectories(
    run: RunDirectory.standard, log: "/var/log/switchd", database: "/var/lib/switchd")

  /// Those of Open vSwitch, for a program that is called by the name of its counterpart there.
  public static let openVSwitch = StandardDirectories(
    run: "/var/run/openvswitch", log: "/var/log/openvswitch", database: "/etc/openvswitch")
}
