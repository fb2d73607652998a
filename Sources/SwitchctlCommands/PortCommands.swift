import OVSDB

/// The commands on ports, bonds and interfaces.
enum PortCommands {
  @Sendable static func add(_ context: CommandContext, _ request: Invocation.Request) throws(CommandError) {
    let port = request.arguments[1]
    try add(port, interfaces: [port], settings: request.arguments.dropFirst(2), context, request)
  }

  @Sendable static func addBond(_ context: CommandContext, _ request: Invocation.Request) throws(CommandError)
  {
    let rest = request.arguments.dropFirst(2)
    let interfaces = rest.prefix { !$0.contains("=") }
    guard interfaces.count >= 2 else {
      throw CommandError(
        "add-bond requires at least 2 interfaces, but only \(interfaces.count) were specified")
    }
    try add(
      request.arguments[1], interfaces: Array(interfaces), settings: rest.dropFirst(interfaces.count),
      context,
      request)
  }

  private static func add(
    _ name: String, interfaces: [String], settings: ArraySlice<String>, _ context: CommandContext,
    _ request: Invocation.Request
  ) throws(CommandError) {
    guard !name.isEmpty else { throw CommandError("port name must not be empty string") }
    guard !interfaces.contains("") else { throw CommandError("interface name must not be empty string") }
    let view = context.view
    if request.has("may-exist"), let port = view.port(name) {
      return try checkSame(port, request, interfaces)
    }
    try view.checkUnused(name, "a port")
    for interface in interfaces { try view.checkUnused(interface, "an interface") }
    let bridge = try view.existingBridge(request.arguments[0])
    guard let bridgeRow = bridge.real.row, let table = context.schema[table: "Port"] else { return }

    let copy = context.copy
    let rows = interfaces.map { copy.insert("Interface", UUID.random(), ["name": Datum($0)]) }
    for row in rows { context.expect(row) }
    let port = copy.insert(
      "Port", UUID.random(), ["name": Datum(name), "interfaces": Datum(uuids: rows.map(\.uuid))])
    if request.has("fake-iface") { copy.write(port, "bond_fake_iface", Datum(true)) }
    if bridge.parent != nil { copy.write(port, "tag", Datum(bridge.vlan)) }
    for setting in settings { try RowCommands.set(setting, port, table, context) }
    append(port, to: bridgeRow, "ports", copy)
    let added = view.insert(name, port, into: bridge)
    for (name, row) in zip(interfaces, rows) { view.insert(name, row, into: added) }
  }

  /// With --may-exist: the port that exists must be the one that was to be created.
  private static func checkSame(
    _ port: SwitchView.Port, _ request: Invocation.Request, _ interfaces: [String]
  )
    throws(CommandError)
  {
    let words = request.options.keys.sorted().map { "--\($0)" } + [request.command.name] + request.arguments
    let command = "\"\(words.joined(separator: " "))\" but \(port.name)"
    guard port.bridge.name == request.arguments[0] else {
      throw CommandError("\(command) is actually attached to bridge \(port.bridge.name)")
    }
    let names = port.interfaces.map(\.name).sorted()
    guard names == interfaces.sorted() else {
      throw CommandError("\(command) actually has interface(s) \(names.joined(separator: ", "))")
    }
  }

  @Sendable static func delete(_ context: CommandContext, _ request: Invocation.Request) throws(CommandError)
  {
    let name = request.arguments[request.arguments.count - 1]
    guard let port = try portToDelete(name, context.view, request) else { return }
    if request.arguments.count == 2 {
      let bridge = try context.view.existingBridge(request.arguments[0])
      if port.bridge.name != bridge.name {
        let child =
          port.bridge.parent?.name == bridge.name
          ? " (although its child bridge \(port.bridge.name) does)" : ""
        throw CommandError("bridge \(bridge.name) does not have a port \(name)\(child)")
      }
    }
    delete(port, context)
    context.invalidateView()
  }

  private static func portToDelete(_ name: String, _ view: SwitchView, _ request: Invocation.Request)
    throws(CommandError) -> SwitchView.Port?
  {
    let mustExist = !request.has("if-exists")
    if view.bridge(name) != nil {
      guard mustExist else { return nil }
      throw CommandError(
        "cannot delete port \(name) because it is the local port for bridge \(name) (deleting this port requires "
          + "deleting the entire bridge)")
    }
    if let port = view.port(name) { return port }
    if request.has("with-iface") {
      if let port = view.interface(name)?.port { return port }
      if mustExist { throw CommandError("no port or interface named \(name)") }
    }
    return mustExist ? try view.existingPort(name) : nil
  }

  /// Takes the port off its bridge, with its interfaces.
  static func delete(_ port: SwitchView.Port, _ context: CommandContext) {
    if let bridge = port.bridge.real.row { remove(port.row, from: bridge, "ports", context.copy) }
    for interface in port.interfaces { context.copy.delete(interface.row) }
    context.copy.delete(port.row)
  }

  // MARK: Bonds

  @Sendable static func addBondInterface(_ context: CommandContext, _ request: Invocation.Request)
    throws(CommandError)
  {
    let name = request.arguments[1]
    let port = try context.view.existingPort(request.arguments[0])
    if request.has("may-exist"), let interface = context.view.interface(name) {
      if interface.port === port { return }
      throw CommandError(
        "\"--may-exist add-bond-iface \(port.name) \(name)\" but \(name) is actually attached to port "
          + interface.port.name)
    }
    try context.view.checkUnused(name, "an interface")
    let interface = context.copy.insert("Interface", UUID.random(), ["name": Datum(name)])
    context.expect(interface)
    append(interface, to: port.row, "interfaces", context.copy)
    context.view.insert(name, interface, into: port)
  }

  @Sendable static func deleteBondInterface(_ context: CommandContext, _ request: Invocation.Request)
    throws(CommandError)
  {
    let name = request.arguments[request.arguments.count - 1]
    if request.has("if-exists"), context.view.interface(name) == nil { return }
    let interface = try context.view.existingInterface(name)
    if request.arguments.count == 2, try context.view.existingPort(request.arguments[0]) !== interface.port {
      throw CommandError("port \(request.arguments[0]) does not have an interface \(name)")
    }
    guard interface.port.interfaces.count > 1 else {
      throw CommandError("cannot delete last interface from port \(interface.port.name)")
    }
    remove(interface.row, from: interface.port.row, "interfaces", context.copy)
    context.copy.delete(interface.row)
    context.invalidateView()
  }

  // MARK: Printing

  @Sendable static func list(_ context: CommandContext, _ request: Invocation.Request) throws(CommandError) {
    let bridge = try context.view.existingBridge(request.arguments[0])
    printSorted(bridge.ports.map(\.name).filter { $0 != bridge.name }, context)
  }

  @Sendable static func listInterfaces(_ context: CommandContext, _ request: Invocation.Request)
    throws(CommandError)
  {
    let bridge = try context.view.existingBridge(request.arguments[0])
    context.view.verify()
    printSorted(bridge.ports.flatMap(\.interfaces).map(\.name).filter { $0 != bridge.name }, context)
  }

  @Sendable static func printBridge(_ context: CommandContext, _ request: Invocation.Request)
    throws(CommandError)
  {
    context.output.line(try context.view.existingPort(request.arguments[0]).bridge.name)
  }

  @Sendable static func printInterfaceBridge(_ context: CommandContext, _ request: Invocation.Request)
    throws(CommandError)
  {
    context.output.line(try context.view.existingInterface(request.arguments[0]).port.bridge.name)
  }

  private static func printSorted(_ names: [String], _ context: CommandContext) {
    for name in names.sorted(by: { $0.utf8.lexicographicallyPrecedes($1.utf8) }) { context.output.line(name) }
  }

  // MARK: Columns of references

  static func append(_ row: Row, to owner: Row, _ column: String, _ copy: WorkingCopy) {
    copy.write(owner, column, copy[owner, column].inserting(Datum(.uuid(row.uuid))))
  }

  static func remove(_ row: Row, from owner: Row, _ column: String, _ copy: WorkingCopy) {
    copy.write(owner, column, copy[owner, column].removing(Datum(.uuid(row.uuid))))
  }
}
