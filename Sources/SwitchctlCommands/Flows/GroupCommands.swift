/// The commands on groups and meters. The switch reads what they say; here it is only put into its words.
enum GroupCommands {
  // MARK: Groups

  @Sendable static func add(_ session: ControlSession, _ request: Invocation.Request) throws(CommandError) {
    if request.arguments[1] == "-" { return try addFile(session, request) }
    try change(session, request, "add", request.has("may-create") ? "add_or_mod" : nil)
  }

  @Sendable static func addFile(_ session: ControlSession, _ request: Invocation.Request) throws(CommandError)
  {
    let file = request.arguments[1]
    var lines: [String] = []
    // A group or meter takes the switch longer than a line of this takes to read; so many fit into one request.
    try LineFile.read(file, limit: 32 << 20) { line, _ throws(CommandError) in lines.append(line) }
    do throws(CommandError) {
      _ = try session.call("group/mod", [request.arguments[0], "--line=1"] + lines)
    } catch { throw CommandError("\(LineFile.name(file)): \(error.message)") }
  }

  @Sendable static func modify(_ session: ControlSession, _ request: Invocation.Request) throws(CommandError)
  {
    try change(session, request, "mod", request.has("may-create") ? "add_or_mod" : nil)
  }

  @Sendable static func delete(_ session: ControlSession, _ request: Invocation.Request) throws(CommandError)
  {
    try change(session, request, "del")
  }

  @Sendable static func insertBuckets(_ session: ControlSession, _ request: Invocation.Request)
    throws(CommandError)
  {
    try change(session, request, "insert_buckets")
  }

  @Sendable static func removeBuckets(_ session: ControlSession, _ request: Invocation.Request)
    throws(CommandError)
  {
    try change(session, request, "remove_buckets")
  }

  private static func change(
    _ session: ControlSession, _ request: Invocation.Request, _ verb: String, _ other: String? = nil
  ) throws(CommandError) {
    let text = request.arguments.dropFirst().first ?? ""
    _ = try session.call("group/mod", [request.arguments[0], "\(other ?? verb) \(text)"])
  }

  @Sendable static func dump(_ session: ControlSession, _ request: Invocation.Request) throws(CommandError) {
    session.show(try session.call("group/dump", request.arguments + session.portNameOption(request)))
  }

  // MARK: Meters

  @Sendable static func addMeter(_ session: ControlSession, _ request: Invocation.Request)
    throws(CommandError)
  {
    try changeMeter(session, request, "add")
  }

  @Sendable static func modifyMeter(_ session: ControlSession, _ request: Invocation.Request)
    throws(CommandError)
  {
    try changeMeter(session, request, "mod")
  }

  @Sendable static func deleteMeters(_ session: ControlSession, _ request: Invocation.Request)
    throws(CommandError)
  {
    try changeMeter(session, request, "del")
  }

  private static func changeMeter(_ session: ControlSession, _ request: Invocation.Request, _ verb: String)
    throws(CommandError)
  {
    let text = request.arguments.dropFirst().first ?? ""
    _ = try session.call("meter/mod", [request.arguments[0], "\(verb) \(text)"])
  }
}
