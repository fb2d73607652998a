import Flow
import JSONRPC

/// The commands that change and print flows.
enum FlowCommands {
  // MARK: Changes

  @Sendable static func add(_ session: ControlSession, _ request: Invocation.Request) throws(CommandError) {
    if request.arguments[1] == "-" { return try addFile(session, request) }
    try change(session, request, verb: "add")
  }

  @Sendable static func addFile(_ session: ControlSession, _ request: Invocation.Request) throws(CommandError)
  {
    let reader = try session.lineReader(bridge: request.arguments[0])
    try FlowSender(session, request).send(try FlowLines(file: request.arguments[1], reader))
  }

  @Sendable static func modify(_ session: ControlSession, _ request: Invocation.Request) throws(CommandError)
  {
    try change(session, request, verb: request.has("strict") ? "modify_strict" : "modify")
  }

  @Sendable static func delete(_ session: ControlSession, _ request: Invocation.Request) throws(CommandError)
  {
    try change(session, request, verb: request.has("strict") ? "delete_strict" : "delete")
  }

  private static func change(_ session: ControlSession, _ request: Invocation.Request, verb: String)
    throws(CommandError)
  {
    let reader = try session.lineReader(bridge: request.arguments[0])
    let text = request.arguments.count > 1 ? request.arguments[1] : ""
    try FlowSender(session, request).send(try FlowLines.argument(text, verb: verb, reader))
  }

  // MARK: Dumps

  @Sendable static func dump(_ session: ControlSession, _ request: Invocation.Request) throws(CommandError) {
    var arguments = request.arguments + session.portNameOption(request)
    if request.has("no-stats") { arguments.append("--no-stats") }
    for order in ["sort", "rsort"] where request.has(order) {
      arguments.append("--\(order)=\(request.value(order) ?? "priority")")
    }
    session.show(try session.call("flow/dump", arguments + ControlRunner.format(session)))
  }

  // MARK: Comparison

  @Sendable static func replace(_ session: ControlSession, _ request: Invocation.Request) throws(CommandError)
  {
    let (bridge, file) = (request.arguments[0], request.arguments[1])
    let reader = try session.lineReader(bridge: bridge)
    let wanted = try flows(inFile: file, reader)
    let present = try flows(of: bridge, session, reader)
    let difference = FlowDifference(from: present, to: wanted)
    let flows = FlowLines(lines: difference.changes(readding: request.has("readd") ? wanted : nil))
    try FlowSender(session, request).send(flows)
  }

  @Sendable static func compare(_ session: ControlSession, _ request: Invocation.Request) throws(CommandError)
  {
    var sides: [[FlowDescription]] = []
    // A file's port names are those of the bridge it is compared with.
    let bridge = request.arguments.first { !FlowSource.isFile($0) }
    for argument in request.arguments {
      let reader = try session.lineReader(bridge: FlowSource.isFile(argument) ? bridge : argument)
      sides.append(
        FlowSource.isFile(argument)
          ? try flows(inFile: argument, reader) : try flows(of: argument, session, reader))
    }
    let difference = FlowDifference(from: sides[0], to: sides[1])
    guard !difference.isEmpty else { return }
    session.show(difference.text)
    throw .answerIsNo
  }

  private static func flows(inFile path: String, _ reader: FlowLineReader) throws(CommandError)
    -> [FlowDescription]
  {
    var flows: [FlowDescription] = []
    try LineFile.read(path) { line, number throws(CommandError) in
      if let flow = try reader.flow(line, at: (path, number)) { flows.append(flow) }
    }
    return flows
  }

  private static func flows(of bridge: String, _ session: ControlSession, _ reader: FlowLineReader)
    throws(CommandError) -> [FlowDescription]
  {
    let text = try session.call("flow/dump", [bridge, "--no-stats", "--no-names"])
    var flows: [FlowDescription] = []
    for line in text.utf8.split(separator: UInt8(ascii: "\n")) {
      if let flow = try reader.flow(String(Substring(line))) { flows.append(flow) }
    }
    return flows
  }

  /// `parse-flows`: what a file says, in normal form.
  @Sendable static func parse(_ session: ControlSession, _ request: Invocation.Request) throws(CommandError) {
    let reader = try session.lineReader(bridge: nil)
    let formatter = FlowFormatter()
    let flows = try flows(inFile: request.arguments[0], reader)
    session.show(flows.map { formatter.flow($0) + "\n" }.joined())
  }
}

/// What `diff-flows` takes flows from.
enum FlowSource {
  /// As `ovs-ofctl` tells files from bridges: by how the name begins, else by whether there is such a file.
  static func isFile(_ name: String) -> Bool {
    if name == "-" || name.hasPrefix("/") || name.hasPrefix(".") { return true }
    return !name.contains(":") && (try? LineFile.open(name)) != nil
  }
}

extension ControlSession {
  /// - Parameter bridge: whose ports may be named; nil: ports have numbers only.
  func lineReader(bridge: String?) throws(CommandError) -> FlowLineReader {
    let ports = try bridge.map { bridge throws(CommandError) in try portNames(of: bridge) }
    return FlowLineReader(ports: ports) { [terminal] in terminal.say($0) }
  }

  /// The ports of a bridge, as the switch has them now.
  private func portNames(of bridge: String) throws(CommandError) -> PortNameTable {
    let text = try call("ports/show", [bridge, "--format=json"])
    guard let table = try? JSON(parsing: text), let headings = table["headings"]?.array,
      let rows = table["data"]?.array, let name = headings.firstIndex(of: "port"),
      let number = headings.firstIndex(of: "number")
    else { throw CommandError("\(options.target): ports/show did not answer with a table of ports") }
    return PortNameTable(
      rows.compactMap { row in
        guard let name = row[name]?.string else { return nil }
        if row[number]?.string == "LOCAL" { return (name, .local) }
        return row[number]?.integer.flatMap(UInt16.init(exactly:)).map { (name, PortNumber($0)) }
      })
  }

  /// Ports are shown by name to people, by number to programs, unless the user says which.
  func portNameOption(_ request: Invocation.Request) -> [String] {
    if request.has("names") { return ["--names"] }
    return request.has("no-names") || !terminal.isInteractive ? ["--no-names"] : ["--names"]
  }
}
