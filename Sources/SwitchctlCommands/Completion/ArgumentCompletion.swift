import Linux
import OVSDB

/// What can stand for an argument of a command: names of the database, as far as it answers.
struct ArgumentCompletion {
  typealias Candidate = Completion.Candidate

  private let line: UnfinishedLine
  private let command: Command
  private let source: CompletionSource
  private let copy: WorkingCopy?
  private let schema: DatabaseSchema?

  init(_ line: UnfinishedLine, _ command: Command, _ loop: EventLoop) {
    self.line = line
    self.command = command
    source = CompletionSource(line.globals, program: line.program, loop)
    let asksDatabase = !["help", "appctl", "comment"].contains(command.name)
    copy =
      asksDatabase
      ? source.contents { selection, schema throws(CommandError) in
        try Self.select(&selection, line, command, schema)
      } : nil
    schema = asksDatabase ? source.schema(copy) : nil
  }

  /// Names of bridges, ports and interfaces, and of the table that is written about all there is.
  private static func select(
    _ selection: inout Selection, _ line: UnfinishedLine, _ command: Command, _ schema: DatabaseSchema
  ) throws(CommandError) {
    let request = Invocation.Request(command: command, arguments: [], options: [:])
    Selection.addSwitch(&selection, request, schema)
    Selection.addDatapaths(&selection, request, schema)
    selection.add("Open_vSwitch", ["iface_types"], schema)
    guard let name = command.parameters.first?.name == "TABLE" ? line.arguments.first : nil else { return }
    let table = try selection.add(named: name, schema)
    selection.add(table.name, table.columns.map(\.name), schema)
  }

  /// The candidates for the argument at a place, from 0.
  func candidates(_ index: Int) -> [Candidate] {
    command.parameters(at: index).flatMap(candidates)
  }

  private func candidates(_ parameter: Parameter) -> [Candidate] {
    switch parameter.name {
    case "BRIDGE", "PARENT": named("Bridge") + fakeBridges
    case "BRIDGE|FILE": named("Bridge") + [Completion.files]
    case "PORT": command.name == "add-port" ? devices : ports
    case "BOND": named("Port")
    case "INTERFACE": command.name.hasPrefix("add-bond") ? devices : named("Interface")
    case "MODE": ["standalone", "secure"].map { Candidate($0) }
    case "COMMAND": command.name == "help" ? commands : source.daemonCommands().map { Candidate($0) }
    case "FILE", "SCHEMA", "PRIVATE-KEY", "CERTIFICATE", "CA-CERT": [Completion.files]
    case "FILE|DATABASE": [Candidate("Open_vSwitch"), Completion.files]
    case "TARGET" where command.group == .file: [Completion.files]
    case "TARGET": ["ptcp:", "tcp:", "pssl:", "ssl:", "punix:", "unix:"].map { Candidate($0) }
    case "DATAPATH": datapaths
    case "zone=ZONE": zones
    case "TIMEOUT=SECONDS": timeouts
    case "TABLE": tables
    case "RECORD": table.map(records) ?? []
    default: columns(parameter)
    }
  }

  private var commands: [Candidate] {
    Command.all.map {
      Candidate(String($0.name.prefix { $0 != " " }), CommandHelp.byName[$0.name]?.summary ?? "")
    }
  }

  // MARK: The switch

  private func named(_ table: String) -> [Candidate] {
    strings(table, "name").map { Candidate($0) }
  }

  private func strings(_ table: String, _ column: String) -> [String] {
    copy.map { copy in copy.rows(table).compactMap { copy[$0, column].string }.sorted() } ?? []
  }

  private var fakeBridges: [Candidate] {
    guard let copy else { return [] }
    return copy.rows("Port").filter { copy[$0, "fake_bridge"].bool == true }
      .compactMap { copy[$0, "name"].string.map { Candidate($0) } }
  }

  /// Those of the bridge that was named, or all.
  private var ports: [Candidate] {
    guard let copy, let bridge = line.arguments.first, command.parameters.first?.name == "BRIDGE" else {
      return named("Port")
    }
    guard let row = copy.rows("Bridge").first(where: { copy[$0, "name"].string == bridge }) else { return [] }
    return copy.references(row, "ports", "Port").compactMap { copy[$0, "name"].string }
      .filter { $0 != bridge }.sorted().map { Candidate($0) }
  }

  /// Devices of this machine that are no ports yet.
  private var devices: [Candidate] {
    let used = Set(strings("Interface", "name"))
    return CompletionSource.devices().filter { !used.contains($0) }.map { Candidate($0) }
  }

  private var datapaths: [Candidate] {
    guard let copy else { return [] }
    return copy.rows("Open_vSwitch").flatMap { copy[$0, "datapaths"].keys }
      .map { Candidate(ValueText.bare($0)) }
  }

  private var zones: [Candidate] {
    guard let copy else { return [] }
    let zones = copy.rows("Datapath").flatMap { copy[$0, "ct_zones"].keys }
    return zones.isEmpty ? [Candidate("zone=")] : zones.map { Candidate("zone=\(ValueText.bare($0))") }
  }

  private var timeouts: [Candidate] {
    let type = schema?[table: "CT_Timeout_Policy"]?[column: "timeouts"]?.type
    return type?.key.enumeration?.strings.map { Candidate("\($0)=") } ?? []
  }

  // MARK: Tables

  private var tables: [Candidate] { schema?.tables.map { Candidate($0.name, isLoose: true) } ?? [] }

  /// The table that is written about.
  private var table: TableSchema? {
    guard command.parameters.first?.name == "TABLE" else { return schema?[table: "Port"] }
    return line.arguments.first.flatMap { name in try? schema?.table(matching: name) }
  }

  private func records(_ table: TableSchema) -> [Candidate] {
    guard let copy else { return [] }
    if table.maximumRows == 1 { return [Candidate(".")] }
    let names = RowName.kinds(table).flatMap { kind in
      copy.rows(kind.table).compactMap { copy[$0, kind.nameColumn].scalar.map { ValueText.bare($0) } }
    }.sorted().map { Candidate($0) }
    // Rows without names, as soon as somebody begins a UUID.
    return names.isEmpty || UUIDText.isPrefix(line.word)
      ? names + copy.rows(table.name).map { Candidate($0.uuid.description) } : names
  }

  private func columns(_ parameter: Parameter) -> [Candidate] {
    guard let table else { return [] }
    let columns = ColumnCompletion(table: table, copy: copy, line: line)
    switch parameter.name {
    case "COLUMN": return columns.names("")
    case "COLUMN[:KEY]": return columns.namesAndKeys()
    case "COLUMN[:KEY]=VALUE", "COLUMN[:KEY]OPERATOR VALUE", "CONDITION": return columns.assignments()
    case "[KEY=]VALUE": return columns.additions()
    case "KEY|VALUE|KEY=VALUE": return columns.removals()
    default: return []
    }
  }
}
