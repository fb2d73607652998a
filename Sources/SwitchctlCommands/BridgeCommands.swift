import OVSDB

/// The commands on bridges.
enum BridgeCommands {
  @Sendable static func add(_ context: CommandContext, _ request: Invocation.Request) throws(CommandError) {
    let name = request.arguments[0]
    guard !name.isEmpty else { throw CommandError("bridge name must not be empty string") }
    let parent = try parentAndVLAN(request)
    if request.has("may-exist"), let bridge = context.view.bridge(name) {
      return try checkSame(bridge, parent)
    }
    try context.view.checkUnused(name, "a bridge")
    guard let root = context.root else { return }

    let copy = context.copy
    if let (parentName, vlan) = parent {
      let bridge = try parentBridge(parentName, vlan, context.view)
      let port = addLocalPort(name, context)
      copy.write(port, "fake_bridge", Datum(true))
      copy.write(port, "tag", Datum(vlan))
      PortCommands.append(port, to: bridge, "ports", copy)
    } else {
      let port = addLocalPort(name, context)
      let bridge = copy.insert(
        "Bridge", UUID.random(), ["name": Datum(name), "ports": Datum(uuids: [port.uuid])])
      PortCommands.append(bridge, to: root, "bridges", copy)
    }
    context.invalidateView()
  }

  /// The PARENT and VLAN arguments of `add-br`.
  private static func parentAndVLAN(_ request: Invocation.Request) throws(CommandError) -> (String, Int64)? {
    switch request.arguments.count {
    case 1: return nil
    case 3:
      guard let vlan = Int64(request.arguments[2]), (0...4095).contains(vlan) else {
        throw CommandError("add-br: vlan must be between 0 and 4095")
      }
      return (request.arguments[1], vlan)
    default: throw .usage("'add-br' command takes exactly 1 or 3 arguments")
    }
  }

  /// With --may-exist: the bridge that exists must be the one that was to be created.
  private static func checkSame(_ bridge: SwitchView.Bridge, _ wanted: (name: String, vlan: Int64)?)
    throws(CommandError)
  {
    let name = bridge.name
    guard let wanted else {
      if bridge.parent == nil { return }
      throw CommandError(
        "\"--may-exist add-br \(name)\" but \(name) is a VLAN bridge for VLAN \(bridge.vlan)")
    }
    let command = "\"--may-exist add-br \(name) \(wanted.name) \(wanted.vlan)\" but \(name)"
    guard let parent = bridge.parent else { throw CommandError("\(command) is not a VLAN bridge") }
    if parent.name != wanted.name { throw CommandError("\(command) has the wrong parent \(parent.name)") }
    if bridge.vlan != wanted.vlan {
      throw CommandError("\(command) is a VLAN bridge for the wrong VLAN \(bridge.vlan)")
    }
  }

  private static func parentBridge(_ name: String, _ vlan: Int64, _ view: SwitchView) throws(CommandError)
    -> Row
  {
    guard let parent = view.bridge(name) else { throw CommandError("parent bridge \(name) does not exist") }
    guard let row = parent.row else { throw CommandError("cannot create bridge with fake bridge as parent") }
    if let conflict = parent.children.first(where: { $0.vlan == vlan }) {
      throw CommandError("bridge \(name) already has a child VLAN bridge \(conflict.name) on VLAN \(vlan)")
    }
    return row
  }

  /// A new port whose only interface is internal, both named like the bridge.
  private static func addLocalPort(_ name: String, _ context: CommandContext) -> Row {
    let interface = context.copy.insert(
      "Interface", UUID.random(), ["name": Datum(name), "type": Datum("internal")])
    context.expect(interface)
    return context.copy.insert(
      "Port", UUID.random(), ["name": Datum(name), "interfaces": Datum(uuids: [interface.uuid])])
  }

  @Sendable static func delete(_ context: CommandContext, _ request: Invocation.Request) throws(CommandError)
  {
    let name = request.arguments[0]
    if request.has("if-exists"), context.view.bridge(name) == nil { return }
    delete(try context.view.existingBridge(name), context)
    context.invalidateView()
  }

  private static func delete(_ bridge: SwitchView.Bridge, _ context: CommandContext) {
    for child in bridge.children { delete(child, context) }
    for port in bridge.ports { PortCommands.delete(port, context) }
    guard let row = bridge.row, let root = context.root else { return }
    for set in context.copy.rows("Flow_Sample_Collector_Set")
    where context.copy[set, "bridge"].uuid == row.uuid {
      context.copy.delete(set)
    }
    context.copy.delete(row)
    PortCommands.remove(row, from: root, "bridges", context.copy)
  }

  @Sendable static func list(_ context: CommandContext, _ request: Invocation.Request) throws(CommandError) {
    let both = request.has("real") == request.has("fake")
    for bridge in context.view.bridges.values.sorted(by: {
      $0.name.utf8.lexicographicallyPrecedes($1.name.utf8)
    }) {
      if both || (bridge.parent == nil) == request.has("real") { context.output.line(bridge.name) }
    }
  }

  @Sendable static func exists(_ context: CommandContext, _ request: Invocation.Request) throws(CommandError)
  {
    if context.view.bridge(request.arguments[0]) == nil { throw .answerIsNo }
  }

  @Sendable static func printVLAN(_ context: CommandContext, _ request: Invocation.Request)
    throws(CommandError)
  {
    context.output.line(String(try context.view.existingBridge(request.arguments[0]).vlan))
  }

  @Sendable static func printParent(_ context: CommandContext, _ request: Invocation.Request)
    throws(CommandError)
  {
    context.output.line(try context.view.existingBridge(request.arguments[0]).real.name)
  }

  // MARK: external_ids

  /// Where a bridge's external ids are: a fake bridge keeps them in its port, with a prefix.
  private static func externalIDs(_ name: String, _ context: CommandContext) throws(CommandError)
    -> (row: Row, prefix: String)
  {
    let bridge = try context.view.existingBridge(name)
    if let row = bridge.row { return (row, "") }
    guard let port = context.view.ports[name] else { throw CommandError("no port named \(name)") }
    return (port.row, "fake-bridge-")
  }

  @Sendable static func setExternalID(_ context: CommandContext, _ request: Invocation.Request)
    throws(CommandError)
  {
    let (row, prefix) = try externalIDs(request.arguments[0], context)
    var ids = context.copy[row, "external_ids"].stringMap
    ids[prefix + request.arguments[1]] = request.arguments.count > 2 ? request.arguments[2] : nil
    context.copy.verify(row, "external_ids")
    context.copy.write(row, "external_ids", Datum(ids))
  }

  @Sendable static func printExternalID(_ context: CommandContext, _ request: Invocation.Request)
    throws(CommandError)
  {
    let (row, prefix) = try externalIDs(request.arguments[0], context)
    let ids = context.copy[row, "external_ids"].stringMap
    if request.arguments.count > 1 {
      if let value = ids[prefix + request.arguments[1]] { context.output.line(value) }
      return
    }
    for (key, value) in ids.sorted(by: { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) })
    where key.hasPrefix(prefix) {
      context.output.line("\(key.dropFirst(prefix.count))=\(value)")
    }
  }

  // MARK: fail_mode

  @Sendable static func printFailMode(_ context: CommandContext, _ request: Invocation.Request)
    throws(CommandError)
  {
    guard let row = try context.view.existingBridge(request.arguments[0]).real.row else { return }
    context.copy.verify(row, "fail_mode")
    if let mode = context.copy[row, "fail_mode"].string, !mode.isEmpty { context.output.line(mode) }
  }

  @Sendable static func setFailMode(_ context: CommandContext, _ request: Invocation.Request)
    throws(CommandError)
  {
    let (_, row) = try context.view.realBridge(request.arguments[0])
    let mode = request.arguments[1]
    guard mode == "standalone" || mode == "secure" else {
      throw CommandError("fail-mode must be \"standalone\" or \"secure\"")
    }
    context.copy.write(row, "fail_mode", Datum(mode))
  }

  @Sendable static func clearFailMode(_ context: CommandContext, _ request: Invocation.Request)
    throws(CommandError)
  {
    context.copy.write(try context.view.realBridge(request.arguments[0]).row, "fail_mode", .empty)
  }
}
