import OVSDB

/// The commands on OpenFlow controllers, database managers and TLS settings.
enum ConnectionCommands {
  // MARK: Controllers

  @Sendable static func printControllers(_ context: CommandContext, _ request: Invocation.Request)
    throws(CommandError)
  {
    guard let row = try context.view.existingBridge(request.arguments[0]).real.row else { return }
    printTargets(row, "controller", "Controller", context)
  }

  @Sendable static func setControllers(_ context: CommandContext, _ request: Invocation.Request)
    throws(CommandError)
  {
    let (_, row) = try context.view.realBridge(request.arguments[0])
    try setTargets(request.arguments.dropFirst(), row, "controller", "Controller", context, request)
  }

  @Sendable static func clearControllers(_ context: CommandContext, _ request: Invocation.Request)
    throws(CommandError)
  {
    let (_, row) = try context.view.realBridge(request.arguments[0])
    try setTargets([], row, "controller", "Controller", context, request)
  }

  // MARK: Managers

  @Sendable static func printManagers(_ context: CommandContext, _: Invocation.Request) throws(CommandError) {
    if let root = context.root { printTargets(root, "manager_options", "Manager", context) }
  }

  @Sendable static func setManagers(_ context: CommandContext, _ request: Invocation.Request)
    throws(CommandError)
  {
    guard let root = context.root else { return }
    try setTargets(request.arguments[...], root, "manager_options", "Manager", context, request)
  }

  @Sendable static func clearManagers(_ context: CommandContext, _ request: Invocation.Request)
    throws(CommandError)
  {
    guard let root = context.root else { return }
    try setTargets([], root, "manager_options", "Manager", context, request)
  }

  private static func printTargets(_ owner: Row, _ column: String, _ table: String, _ context: CommandContext)
  {
    context.copy.verify(owner, column)
    let targets = context.copy.references(owner, column, table).compactMap {
      context.copy[$0, "target"].string
    }
    for target in targets.sorted(by: { $0.utf8.lexicographicallyPrecedes($1.utf8) }) {
      context.output.line(target)
    }
  }

  private static func setTargets(
    _ targets: ArraySlice<String>, _ owner: Row, _ column: String, _ table: String, _ context: CommandContext,
    _ request: Invocation.Request
  ) throws(CommandError) {
    var columns: [String: Datum] = [:]
    if let probe = request.value("inactivity-probe") {
      guard let milliseconds = Int64(probe) else {
        throw .usage("--inactivity-probe: \"\(probe)\" is not a number of milliseconds")
      }
      columns["inactivity_probe"] = Datum(milliseconds)
    }
    let copy = context.copy
    copy.verify(owner, column)
    for row in copy.references(owner, column, table) { copy.delete(row) }
    let rows = targets.map { target in
      copy.insert(table, UUID.random(), columns.merging(["target": Datum(target)]) { $1 })
    }
    copy.write(owner, column, Datum(uuids: rows.map(\.uuid)))
  }

  // MARK: TLS

  private static let files = [
    ("Private key", "private_key"), ("Certificate", "certificate"), ("CA Certificate", "ca_cert"),
  ]

  @Sendable static func printTLS(_ context: CommandContext, _: Invocation.Request) throws(CommandError) {
    guard let root = context.root, let row = context.copy.references(root, "ssl", "SSL").first else { return }
    for (label, column) in files {
      context.output.line("\(label): \(context.copy[row, column].string ?? "")")
    }
    context.output.line("Bootstrap: \(context.copy[row, "bootstrap_ca_cert"].bool ?? false)")
  }

  @Sendable static func setTLS(_ context: CommandContext, _ request: Invocation.Request) throws(CommandError)
  {
    try clearTLS(context, request)
    guard let root = context.root else { return }
    let row = context.copy.insert(
      "SSL", UUID.random(), ["bootstrap_ca_cert": Datum(request.has("bootstrap"))])
    for ((_, column), path) in zip(files, request.arguments) { context.copy.write(row, column, Datum(path)) }
    context.copy.write(root, "ssl", Datum(uuids: [row.uuid]))
  }

  @Sendable static func clearTLS(_ context: CommandContext, _: Invocation.Request) throws(CommandError) {
    guard let root = context.root else { return }
    context.copy.verify(root, "ssl")
    let rows = context.copy.references(root, "ssl", "SSL")
    guard !rows.isEmpty else { return }
    for row in rows { context.copy.delete(row) }
    context.copy.write(root, "ssl", .empty)
  }
}
