import OVSDB

/// The tables and columns an invocation looks at: what the client monitors.
struct Selection {
  private(set) var tables: [String: Set<String>] = [:]

  /// Adds a table with columns, leaving out what the server's schema lacks.
  mutating func add(_ name: String, _ columns: [String], _ schema: DatabaseSchema) {
    guard let table = schema[table: name] else { return }
    tables[name, default: []].formUnion(columns.filter { table[column: $0] != nil })
  }

  /// A table by the name the user gave, with the columns that name its rows.
  mutating func add(named name: String, _ schema: DatabaseSchema) throws(CommandError) -> TableSchema {
    let table = try schema.table(matching: name)
    add(table.name, [], schema)
    for id in RowName.kinds(table) {
      add(id.table, [id.nameColumn] + (id.referenceColumn.map { [$0] } ?? []), schema)
    }
    return table
  }
}

// What commands add: the entries of `Command.all` refer to these.
extension Selection {
  @Sendable static func addNothing(_: inout Selection, _: Invocation.Request, _: DatabaseSchema) {}

  /// Bridges, ports and interfaces, as `SwitchView` reads them.
  @Sendable static func addSwitch(
    _ selection: inout Selection, _: Invocation.Request, _ schema: DatabaseSchema
  ) {
    selection.add("Open_vSwitch", ["bridges"], schema)
    selection.add("Bridge", ["name", "fail_mode", "ports"], schema)
    selection.add("Port", ["name", "fake_bridge", "tag", "interfaces"], schema)
    selection.add("Interface", ["name", "ofport", "error"], schema)
    // Its rows refer to bridges strongly: they go with their bridge.
    selection.add("Flow_Sample_Collector_Set", ["bridge"], schema)
  }

  @Sendable static func addExternalIDs(
    _ selection: inout Selection, _ request: Invocation.Request, _ schema: DatabaseSchema
  ) {
    addSwitch(&selection, request, schema)
    selection.add("Bridge", ["external_ids"], schema)
    selection.add("Port", ["external_ids"], schema)
  }

  @Sendable static func addControllers(
    _ selection: inout Selection, _ request: Invocation.Request, _ schema: DatabaseSchema
  ) {
    addSwitch(&selection, request, schema)
    selection.add("Bridge", ["controller"], schema)
    selection.add("Controller", ["target"], schema)
  }

  @Sendable static func addManagers(
    _ selection: inout Selection, _: Invocation.Request, _ schema: DatabaseSchema
  ) {
    selection.add("Open_vSwitch", ["manager_options"], schema)
    selection.add("Manager", ["target"], schema)
  }

  @Sendable static func addTLS(
    _ selection: inout Selection, _: Invocation.Request, _ schema: DatabaseSchema
  ) {
    selection.add("Open_vSwitch", ["ssl"], schema)
    selection.add("SSL", ["private_key", "certificate", "ca_cert", "bootstrap_ca_cert"], schema)
  }

  @Sendable static func addDatapaths(
    _ selection: inout Selection, _: Invocation.Request, _ schema: DatabaseSchema
  ) {
    selection.add("Open_vSwitch", ["datapaths"], schema)
    selection.add("Datapath", ["ct_zones", "capabilities"], schema)
    selection.add("CT_Zone", ["timeout_policy"], schema)
    selection.add("CT_Timeout_Policy", ["timeouts"], schema)
  }

  @Sendable static func addAutoAttach(
    _ selection: inout Selection, _ request: Invocation.Request, _ schema: DatabaseSchema
  ) {
    addSwitch(&selection, request, schema)
    selection.add("Bridge", ["auto_attach"], schema)
    selection.add("AutoAttach", ["mappings"], schema)
  }

  /// The table named by the first argument.
  @Sendable static func addTable(
    _ selection: inout Selection, _ request: Invocation.Request, _ schema: DatabaseSchema
  ) throws(CommandError) {
    _ = try selection.add(named: request.arguments[0], schema)
  }

  /// The table, and the column at one place.
  static func addColumn(at index: Int) -> Command.Prerequisites {
    { selection, request, schema throws(CommandError) in
      let table = try selection.add(named: request.arguments[0], schema)
      selection.add(table.name, [try table.column(matching: request.arguments[index]).name], schema)
    }
  }

  /// The table, and the columns that begin the arguments from one place on.
  static func addColumns(from index: Int) -> Command.Prerequisites {
    { selection, request, schema throws(CommandError) in
      let table = try selection.add(named: request.arguments[0], schema)
      for argument in request.arguments.dropFirst(index) where !RowCommands.isUUIDColumn(argument) {
        selection.add(table.name, [try ColumnArgument.column(argument, table).name], schema)
      }
    }
  }

  @Sendable static func addListedColumns(
    _ selection: inout Selection, _ request: Invocation.Request, _ schema: DatabaseSchema
  ) throws(CommandError) {
    let table = try selection.add(named: request.arguments[0], schema)
    let columns = try RowCommands.columns(request.value("columns"), of: table)
    selection.add(table.name, columns.compactMap { $0?.name }, schema)
  }

  @Sendable static func addFoundColumns(
    _ selection: inout Selection, _ request: Invocation.Request, _ schema: DatabaseSchema
  ) throws(CommandError) {
    try addListedColumns(&selection, request, schema)
    try addColumns(from: 1)(&selection, request, schema)
  }
}

extension DatabaseSchema {
  /// The table that `name` names or abbreviates.
  func table(matching name: String) throws(CommandError) -> TableSchema {
    switch NearestName.match(name, among: tables.map(\.name)) {
    case .one(let match):
      if let table = self[table: match] { return table }
    case .several(let matches):
      throw CommandError("\"\(name)\" matches multiple table names: \(matches.joined(separator: ", "))")
    case .none: break
    }
    throw CommandError(
      "unknown table \"\(name)\"", hint: NearestName.hint(for: name, among: tables.map(\.name)))
  }
}

extension TableSchema {
  /// The column that `text` names or abbreviates.
  func column(matching text: String) throws(CommandError) -> ColumnSchema {
    let names = columns.map(\.name)
    switch NearestName.match(text, among: names) {
    case .one(let match):
      if let column = self[column: match] { return column }
    case .several(let matches):
      throw CommandError(
        "\(name) contains more than one column whose name matches \"\(text)\": \(matches.joined(separator: ", "))"
      )
    case .none: break
    }
    // Scripts look for this sentence; what follows it is for people.
    throw CommandError(
      "\(name) does not contain a column whose name matches \"\(text)\"",
      hint: NearestName.hint(for: text, among: names))
  }
}
