import OVSDB

/// The commands on datapaths: timeout policies of connection tracking zones, and capabilities.
///
/// `Open_vSwitch.datapaths` names datapaths by type ("netdev"), `Datapath.ct_zones` the zones by number, and zones with
/// equal timeouts share a row of `CT_Timeout_Policy`.
enum DatapathCommands {
  @Sendable static func addZonePolicy(_ context: CommandContext, _ request: Invocation.Request)
    throws(CommandError)
  {
    let name = request.arguments[0]
    guard let datapath = datapath(name, context) else {
      throw CommandError("datapath \(name) does not exist")
    }
    let number = try zoneNumber(request.arguments[1])
    let timeouts = try timeouts(request.arguments.dropFirst(2), context)
    let copy = context.copy
    let zones = copy[datapath, "ct_zones"]
    if let zone = zone(number, zones, context) {
      guard request.has("may-exist") else { throw CommandError("zone id \(number) already exists") }
      copy.write(zone, "timeout_policy", Datum(uuids: [policy(timeouts, context).uuid]))
      return
    }
    let zone = copy.insert(
      "CT_Zone", UUID.random(), ["timeout_policy": Datum(uuids: [policy(timeouts, context).uuid])])
    copy.verify(datapath, "ct_zones")
    copy.write(datapath, "ct_zones", zones.inserting(Datum(map: [(.integer(number), .uuid(zone.uuid))])))
  }

  @Sendable static func deleteZonePolicy(_ context: CommandContext, _ request: Invocation.Request)
    throws(CommandError)
  {
    let name = request.arguments[0]
    guard let datapath = datapath(name, context) else {
      throw CommandError("datapath \(name) does not exist")
    }
    let number = try zoneNumber(request.arguments[1])
    let zones = context.copy[datapath, "ct_zones"]
    guard zones.contains(.integer(number)) else {
      if request.has("if-exists") { return }
      throw CommandError("zone id \(number) does not exist")
    }
    context.copy.verify(datapath, "ct_zones")
    context.copy.write(datapath, "ct_zones", zones.removing(Datum(.integer(number))))
  }

  @Sendable static func listZonePolicies(_ context: CommandContext, _ request: Invocation.Request)
    throws(CommandError)
  {
    let name = request.arguments[0]
    guard let datapath = datapath(name, context) else {
      throw CommandError("datapath: \(name) record not found")
    }
    let zones = context.copy[datapath, "ct_zones"]
    for (number, reference) in zip(zones.keys, zones.values) {
      guard let zone = row("CT_Zone", reference, context) else { continue }
      let policy = context.copy.references(zone, "timeout_policy", "CT_Timeout_Policy").first
      let words = policy.map { pairs(context.copy[$0, "timeouts"]) } ?? ["default"]
      context.output.line("Zone:\(number), Timeout Policies: \(words.joined(separator: " "))")
    }
  }

  @Sendable static func printCapabilities(_ context: CommandContext, _ request: Invocation.Request)
    throws(CommandError)
  {
    let name = request.arguments[0]
    guard let datapath = datapath(name, context) else {
      throw CommandError("datapath \"\(name)\" record not found")
    }
    context.copy.verify(datapath, "capabilities")
    context.output.line(pairs(context.copy[datapath, "capabilities"]).joined(separator: " "))
  }

  // MARK: Rows

  private static func datapath(_ name: String, _ context: CommandContext) -> Row? {
    guard let root = context.root, let reference = context.copy[root, "datapaths"][.string(name)] else {
      return nil
    }
    return row("Datapath", reference, context)
  }

  private static func zone(_ number: Int64, _ zones: Datum, _ context: CommandContext) -> Row? {
    zones[.integer(number)].flatMap { row("CT_Zone", $0, context) }
  }

  private static func row(_ table: String, _ reference: Atom, _ context: CommandContext) -> Row? {
    guard case .uuid(let uuid) = reference else { return nil }
    let row = Row(table: table, uuid: uuid)
    return context.copy.exists(row) ? row : nil
  }

  /// The policy with exactly these timeouts: one that is there, or a new one.
  private static func policy(_ timeouts: Datum, _ context: CommandContext) -> Row {
    let table = "CT_Timeout_Policy"
    return context.copy.rows(table).first { context.copy[$0, "timeouts"] == timeouts }
      ?? context.copy.insert(table, UUID.random(), ["timeouts": timeouts])
  }

  // MARK: Arguments

  /// `zone=NUMBER`.
  private static func zoneNumber(_ argument: String) throws(CommandError) -> Int64 {
    guard argument.hasPrefix("zone="), let number = Int64(argument.dropFirst(5)), (0...65535).contains(number)
    else {
      throw CommandError("\(argument): write zone=NUMBER, with a number from 0 to 65535")
    }
    return number
  }

  /// `KEY=SECONDS…`, as the column takes them.
  private static func timeouts(_ arguments: ArraySlice<String>, _ context: CommandContext)
    throws(CommandError) -> Datum
  {
    guard let type = context.schema[table: "CT_Timeout_Policy"]?[column: "timeouts"]?.type else {
      throw CommandError("the database has no timeout policies (table CT_Timeout_Policy)")
    }
    return try ValueText.datum(arguments.joined(separator: ","), type, context.symbols)
  }

  private static func pairs(_ map: Datum) -> [String] {
    zip(map.keys, map.values).map { key, value in
      let key = if case .string(let text) = key { text } else { key.description }
      let value = if case .string(let text) = value { text } else { value.description }
      return "\(key)=\(value)"
    }
  }
}
