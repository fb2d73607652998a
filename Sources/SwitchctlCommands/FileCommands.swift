import JSONRPC
import Linux
import OVSDB

/// What commands on database files share.
struct FileCommandContext {
  let options: GlobalOptions
  let loop: EventLoop
  let terminal: Terminal
}

/// `switchctl db …`: database files, without a server or beside one.
enum FileCommands {
  static func run(
    _ requests: [Invocation.Request], _ options: GlobalOptions, _ loop: EventLoop, _ terminal: Terminal
  ) throws(CommandError) -> Outcome {
    let context = FileCommandContext(options: options, loop: loop, terminal: terminal)
    for request in requests {
      guard case .files(let run) = request.command.execution else { continue }
      try run(context, request)
    }
    return .code(0)
  }

  @Sendable static func create(_ context: FileCommandContext, _ request: Invocation.Request)
    throws(CommandError)
  {
    let schema = request.arguments.count > 1 ? request.arguments[1] : nil
    try commanding { () throws(StorageError) in
      try DatabaseFile.create(request.arguments[0], try SchemaFile.load(schema))
    }
  }

  @Sendable static func showLog(_ context: FileCommandContext, _ request: Invocation.Request)
    throws(CommandError)
  {
    let tornEnd = try commanding { () throws(StorageError) in
      try DatabaseLog.describe(
        request.arguments[0], detailed: request.has("more"), context.terminal.output)
    }
    if let tornEnd { context.terminal.say(torn(tornEnd)) }
  }

  @Sendable static func compact(_ context: FileCommandContext, _ request: Invocation.Request)
    throws(CommandError)
  {
    let target = request.arguments.count > 1 ? request.arguments[1] : nil
    let (before, after) = try commanding { () throws(StorageError) in
      do throws(StorageError) { return try DatabaseFile.compact(request.arguments[0], to: target) } catch {
        guard error.description.contains("is in use by process") else { throw error }
        throw StorageError(
          "\(error); or let the server do it: \(context.terminal.program) --target=switchdbd appctl "
            + "ovsdb-server/compact")
      }
    }
    context.terminal.output("\(before) bytes became \(after)\n")
  }

  @Sendable static func check(_ context: FileCommandContext, _ request: Invocation.Request)
    throws(CommandError)
  {
    let summary = try commanding { () throws(StorageError) in try DatabaseCheck.run(request.arguments[0]) }
    let schema = summary.schema
    context.terminal.output(
      "\(schema.name) \(schema.version): \(summary.records) records, \(summary.rows) rows, nothing wrong\n")
    if let tornEnd = summary.tornEnd { context.terminal.say(torn(tornEnd)) }
  }

  /// A FILE is read beside whoever serves it; a DATABASE is asked for its rows.
  @Sendable static func backUp(_ context: FileCommandContext, _ request: Invocation.Request)
    throws(CommandError)
  {
    let (source, target) = (request.arguments[0], request.arguments[1])
    if source.contains("/") || source.contains(".") || exists(source) {
      return try commanding { () throws(StorageError) in try DatabaseFile.backUp(source, to: target) }
    }
    let contents = try DatabaseReader(context).read(source)
    try commanding { () throws(StorageError) in
      try DatabaseFile.save(target, schema: contents.schema, rows: contents.rows)
    }
  }

  private static func torn(_ end: String) -> String {
    "\(end); a server is writing it, or died writing it, and nothing acknowledged is missing"
  }

  private static func commanding<Result>(_ body: () throws(StorageError) -> Result) throws(CommandError)
    -> Result
  {
    do throws(StorageError) { return try body() } catch { throw CommandError(error.description) }
  }
}

extension Command {
  /// The commands themselves.
  static let files: [Command] = [
    Command("create", "FILE [SCHEMA]", 1...2, [], FileCommands.create),
    Command(
      "show-log", "FILE", 1...1, [OptionSyntax("more", letter: "m", "also what each record changed")],
      FileCommands.showLog),
    Command("compact", "FILE [TARGET]", 1...2, [], FileCommands.compact),
    Command("check", "FILE", 1...1, [], FileCommands.check),
    Command("backup", "FILE|DATABASE TARGET", 2...2, [], FileCommands.backUp),
  ]

  private init(
    _ name: String, _ usage: String, _ arguments: ClosedRange<Int>, _ options: [OptionSyntax],
    _ run: @escaping FileRun
  ) {
    self.init(
      name: "db \(name)", usage: usage, arguments: arguments, options: options, group: .file,
      execution: .files(run))
  }
}

extension CommandHelp {
  static let files: [String: CommandHelp] = [
    "db create": .init(
      "make a new database file",
      "Makes FILE, with an empty database of the schema in SCHEMA (default: the installed vswitch.ovsschema). A server",
      "makes its file itself; this is for a file that somebody else is to fill.",
      example: "switchctl db create /var/lib/switchd/conf.db"),
    "db show-log": .init(
      "print the history of a database file",
      "Prints for each record its number, its place in the file, when it was written, and the comment its writer gave.",
      "With --more also the rows it inserted, modified and deleted, and the columns written. A server may have the file.",
      example: "switchctl db show-log -m /var/lib/switchd/conf.db"),
    "db compact": .init(
      "write a database file without its history",
      "Writes the schema and all rows as they are: to TARGET, or, if no server has FILE, in its place. A server does this",
      "by itself when its file has grown, and when told to with appctl ovsdb-server/compact.",
      example: "switchctl db compact /var/lib/switchd/conf.db"),
    "db check": .init(
      "look whether a database file is sound",
      "Reads every record and checks the result: the schema, every value's constraints, references, indexes, numbers of",
      "rows. Prints the first thing that is wrong, with its place, and exits with 1. A server may have the file.",
      example: "switchctl db check /var/lib/switchd/conf.db"),
    "db backup": .init(
      "copy a database to a file, also while it is served",
      "Writes the new file TARGET with the database as it was at one moment: of FILE with its history, or of DATABASE (as",
      "Open_vSwitch) of the server at --db with all but its ephemeral columns. To restore it, stop the server and put the",
      "file in its place.",
      example: "switchctl db backup Open_vSwitch /root/conf.db.saved"),
  ]
}
