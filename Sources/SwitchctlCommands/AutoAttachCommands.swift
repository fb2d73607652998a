import OVSDB

/// The commands on a bridge's Auto Attach mappings (IEEE 802.1Qcj) from service identifiers to VLANs.
enum AutoAttachCommands {
  private static let table = "AutoAttach"

  @Sendable static func add(_ context: CommandContext, _ request: Invocation.Request) throws(CommandError) {
    let bridge = try bridge(request, context)
    let mapping = Datum(map: [(try number(request.arguments[1]), try number(request.arguments[2]))])
    let copy = context.copy
    if let row = copy.references(bridge, "auto_attach", table).first {
      // A service that has a VLAN keeps it.
      copy.write(row, "mappings", copy[row, "mappings"].inserting(mapping))
    } else {
      let row = copy.insert(table, UUID.random(), ["mappings": mapping])
      copy.write(bridge, "auto_attach", Datum(uuids: [row.uuid]))
    }
  }

  @Sendable static func delete(_ context: CommandContext, _ request: Invocation.Request) throws(CommandError)
  {
    let bridge = try bridge(request, context)
    let mapping = Datum(map: [(try number(request.arguments[1]), try number(request.arguments[2]))])
    guard let row = context.copy.references(bridge, "auto_attach", table).first else { return }
    context.copy.verify(row, "mappings")
    context.copy.write(row, "mappings", context.copy[row, "mappings"].removing(mapping))
  }

  @Sendable static func print(_ context: CommandContext, _ request: Invocation.Request) throws(CommandError) {
    let bridge = try bridge(request, context)
    guard let row = context.copy.references(bridge, "auto_attach", table).first else { return }
    context.copy.verify(row, "mappings")
    let mappings = context.copy[row, "mappings"]
    for (service, vlan) in zip(mappings.keys, mappings.values) { context.output.line("\(service) \(vlan)") }
  }

  /// The row of the bridge, or of the bridge that carries a fake one.
  private static func bridge(_ request: Invocation.Request, _ context: CommandContext) throws(CommandError)
    -> Row
  {
    let bridge = try context.view.existingBridge(request.arguments[0])
    guard let row = bridge.real.row else { throw CommandError("\(bridge.name) has no parent") }
    context.copy.verify(row, "auto_attach")
    return row
  }

  private static func number(_ text: String) throws(CommandError) -> Atom {
    guard let number = Int64(text) else { throw CommandError("Invalid argument \(text)") }
    return .integer(number)
  }
}
