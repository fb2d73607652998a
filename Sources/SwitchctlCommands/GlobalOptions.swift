/// What holds for the whole invocation, whatever its commands are.
struct GlobalOptions: Equatable {
  /// The database's remote (`unix:FILE`, `tcp:HOST:PORT`, several separated by commas); nil for the default.
  var database: String?
  /// Where the daemons keep their sockets and pid files; nil for `$OVS_RUNDIR` or the built-in default.
  var runDirectory: String?
  /// The daemon that `appctl` talks to: a program's name, or the path of a control socket.
  var target = "switchd"
  var waitsForSwitch = true
  /// Seconds; nil waits without limit.
  var timeout: Int?
  var retriesConnection = false
  var isDryRun = false
  var printsOneLine = false
  var style = OutputStyle()
  var wantsHelp = false
  var wantsVersion = false
  /// For completion: every command's synopsis, one per line.
  var wantsCommands = false
  /// For completion: every global option, one per line.
  var wantsOptions = false
  /// What `ssl:` remotes are reached with.
  var tls = TLSFiles()

  /// One option and what it does to the settings. `apply` gets the argument, or nil when none was given.
  struct Entry: Sendable {
    let syntax: OptionSyntax
    let apply: @Sendable (inout GlobalOptions, String?) throws(CommandError) -> Void

    init(
      _ syntax: OptionSyntax,
      _ apply: @escaping @Sendable (inout GlobalOptions, String?) throws(CommandError) -> Void
    ) {
      self.syntax = syntax
      self.apply = apply
    }
  }

  static let table: [Entry] = general + tlsTable

  private static let general: [Entry] = [
    Entry(OptionSyntax("db", "REMOTE", "the database to use (default: unix:RUNDIR/db.sock)")) {
      $0.database = $1
    },
    Entry(
      OptionSyntax("rundir", "DIR", "where sockets and pid files are (default: $OVS_RUNDIR, or /run/switchd)")
    ) {
      $0.runDirectory = $1
    },
    Entry(OptionSyntax("target", "DAEMON", "the daemon appctl talks to: a program or a control socket")) {
      $0.target = $1 ?? $0.target
    },
    Entry(OptionSyntax("no-wait", "return without waiting for the switch to apply the change")) {
      settings, _ in
      settings.waitsForSwitch = false
    },
    Entry(OptionSyntax("retry", "keep trying to connect to the database")) { settings, _ in
      settings.retriesConnection = true
    },
    Entry(OptionSyntax("timeout", "SECONDS", letter: "t", "give up after so many seconds")) {
      settings, text throws(CommandError) in
      guard let seconds = Int(text ?? ""), seconds > 0, seconds <= Int(Int32.max) else {
        throw .usage(
          "value \(text ?? "") on -t or --timeout is invalid", hint: "; give a number of seconds above zero")
      }
      settings.timeout = seconds
    },
    Entry(OptionSyntax("dry-run", "check and print, but do not change the database")) { settings, _ in
      settings.isDryRun = true
    },
    Entry(OptionSyntax("oneline", "print exactly one line per command")) { settings, _ in
      settings.printsOneLine = true
    },
    Entry(OptionSyntax("format", "FORMAT", letter: "f", "print tables as table, list, html, csv or json")) {
      settings, text throws(CommandError) in
      guard let format = OutputStyle.Format(rawValue: text ?? "") else {
        throw .usage(
          "unknown output format \"\(text ?? "")\"", hint: " (use table, list, html, csv or json)")
      }
      settings.style.format = format
    },
    Entry(OptionSyntax("data", "FORMAT", letter: "d", "print table cells as string, bare or json")) {
      settings, text throws(CommandError) in
      guard let cells = OutputStyle.Cells(rawValue: text ?? "") else {
        throw .usage("unknown data format \"\(text ?? "")\"", hint: " (use string, bare or json)")
      }
      settings.style.cells = cells
    },
    Entry(OptionSyntax("no-headings", "leave the heading row or the column names out")) { settings, _ in
      settings.style.hasHeadings = false
    },
    Entry(OptionSyntax("pretty", "indent JSON output")) { settings, _ in settings.style.isPretty = true },
    Entry(OptionSyntax("max-column-width", "N", "cut the cells of --format=table to N characters")) {
      settings, text in
      // As C reads a number: no digits are zero, and zero is no limit.
      let width = Int((text ?? "").prefix { $0.isASCII && $0.isNumber }) ?? 0
      settings.style.maximumWidth = width > 0 ? width : nil
    },
    Entry(OptionSyntax("bare", "same as --format=list --data=bare --no-headings")) { settings, _ in
      settings.style.format = .list
      settings.style.cells = .bare
      settings.style.hasHeadings = false
    },
    Entry(OptionSyntax("help", letter: "h", "print help and exit")) { settings, _ in settings.wantsHelp = true
    },
    Entry(OptionSyntax("commands", "print every command's options and arguments, one command per line")) {
      settings, _ in settings.wantsCommands = true
    },
    Entry(OptionSyntax("options", "print every global option, one per line")) { settings, _ in
      settings.wantsOptions = true
    },
    Entry(OptionSyntax("version", letter: "V", "print the version and exit")) { settings, _ in
      settings.wantsVersion = true
    },
  ]

  private static let tlsTable: [Entry] = [
    Entry(OptionSyntax("private-key", "FILE", letter: "p", "the private key for ssl: connections (PEM)")) {
      $0.tls.privateKey = $1
    },
    Entry(OptionSyntax("certificate", "FILE", letter: "c", "the certificate of that key")) {
      $0.tls.certificate = $1
    },
    Entry(
      OptionSyntax("ca-cert", "FILE", letter: "C", "who must have signed the server's certificate, or none")
    ) {
      ($0.tls.authority, $0.tls.bootstrapsAuthority) = ($1, false)
    },
    Entry(
      OptionSyntax("bootstrap-ca-cert", "FILE", "the same; written from the first connection if missing")
    ) {
      ($0.tls.authority, $0.tls.bootstrapsAuthority) = ($1, true)
    },
    Entry(OptionSyntax("peer-ca-cert", "FILE", "more certificates to send to the server")) {
      $0.tls.peerAuthority = $1
    },
    Entry(OptionSyntax("ssl-protocols", "PROTOCOLS", "the versions of TLS to allow")) {
      $0.tls.protocols = $1
    },
    Entry(OptionSyntax("ssl-ciphers", "CIPHERS", "the ciphers to allow")) { $0.tls.ciphers = $1 },
  ]

  /// Taken for the sake of scripts written for `ovs-vsctl` and `ovs-ofctl`, and without effect here: this program
  /// writes no log, any server of a cluster will do, and flows do not depend on a version of OpenFlow.
  static let accepted: [OptionSyntax] = [
    OptionSyntax("verbose", "SPEC", letter: "v", optional: true, ""), OptionSyntax("no-syslog", ""),
    OptionSyntax("log-file", "FILE", optional: true, ""), OptionSyntax("syslog-method", "METHOD", ""),
    OptionSyntax("syslog-target", "TARGET", ""), OptionSyntax("leader-only", ""),
    OptionSyntax("no-leader-only", ""), OptionSyntax("shuffle-remotes", ""),
    OptionSyntax("no-shuffle-remotes", ""), OptionSyntax("protocols", "VERSION", letter: "O", ""),
    OptionSyntax("flow-format", "FORMAT", letter: "F", ""),
  ]

  /// Applies the option with this syntax, if it is a global one; says whether it was.
  mutating func apply(_ option: OptionSyntax, _ argument: String?) throws(CommandError) -> Bool {
    if let entry = Self.table.first(where: { $0.syntax == option }) {
      try entry.apply(&self, argument)
      return true
    }
    return Self.accepted.contains(option)
  }
}
