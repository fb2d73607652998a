import JSONRPC
import OVSDB

/// The commands on any table's rows: `get list find set add remove clear create destroy wait-until`.
enum RowCommands {
  @Sendable static func get(_ context: CommandContext, _ request: Invocation.Request) throws(CommandError) {
    let mustExist = !request.has("if-exists")
    if request.has("id"), !mustExist {
      throw CommandError("--if-exists and --id may not be specified together")
    }
    guard let (table, row) = try row(context, request, mustExist: mustExist) else { return }
    if let id = request.value("id") { try context.symbols.define(id, row.uuid) }
    for argument in request.arguments.dropFirst(2) {
      if isUUIDColumn(argument) {
        context.output.line(row.uuid.description)
        continue
      }
      let parsed = try ColumnArgument.plain(argument, table)
      context.copy.verify(row, parsed.column.name)
      let datum = context.copy[row, parsed.column.name]
      guard let key = parsed.key else {
        context.output.line(ValueText.text(datum, parsed.column.type))
        continue
      }
      guard parsed.column.type.isMap else {
        throw CommandError("cannot specify key to get for non-map column \(parsed.column.name)")
      }
      let value = datum[try ValueText.atom(key, parsed.column.type.key, context.symbols)]
      if value == nil, mustExist {
        throw CommandError(
          "no key \"\(key)\" in \(table.name) record \"\(request.arguments[1])\" column \(parsed.column.name)"
        )
      }
      context.output.line(value.map(ValueText.text) ?? "")
    }
  }

  @Sendable static func list(_ context: CommandContext, _ request: Invocation.Request) throws(CommandError) {
    let table = try context.schema.table(matching: request.arguments[0])
    let names = request.arguments.dropFirst()
    var rows: [Row] = []
    for name in names {
      if let row = try RowName.find(name, table, context.copy, mustExist: !request.has("if-exists")) {
        rows.append(row)
      }
    }
    if names.isEmpty { rows = sorted(context.copy.rows(table.name), table, context.copy) }
    context.output.table = try self.table(rows, table, context, request)
  }

  @Sendable static func find(_ context: CommandContext, _ request: Invocation.Request) throws(CommandError) {
    let table = try context.schema.table(matching: request.arguments[0])
    var conditions: [Condition] = []
    for argument in request.arguments.dropFirst() {
      conditions.append(try Condition(argument, table, context.symbols))
    }
    let rows = context.copy.rows(table.name).filter { row in
      conditions.allSatisfy { $0.holds(row, context.copy) }
    }
    context.output.table = try self.table(sorted(rows, table, context.copy), table, context, request)
  }

  @Sendable static func set(_ context: CommandContext, _ request: Invocation.Request) throws(CommandError) {
    guard let (table, row) = try row(context, request, mustExist: !request.has("if-exists")) else { return }
    for argument in request.arguments.dropFirst(2) { try set(argument, row, table, context) }
    // Of an interface the view has only the name, which nothing can change.
    if table.name != "Interface" { context.invalidateView() }
  }

  /// Carries out one `COLUMN[:KEY]=VALUE`.
  static func set(_ argument: String, _ row: Row, _ table: TableSchema, _ context: CommandContext)
    throws(CommandError)
  {
    let parsed = try ColumnArgument.withValue(argument, table)
    let column = parsed.column
    try checkMutable(row, table, column, context)
    guard let key = parsed.key else {
      context.copy.write(row, column.name, try ValueText.datum(parsed.value, column.type, context.symbols))
      return
    }
    guard let valueType = column.type.value else {
      throw CommandError("cannot specify key to set for non-map column \(column.name)")
    }
    let pair = Datum(map: [
      (
        try ValueText.atom(key, column.type.key, context.symbols),
        try ValueText.atom(parsed.value, valueType, context.symbols)
      )
    ])
    context.copy.verify(row, column.name)
    context.copy.write(row, column.name, pair.inserting(context.copy[row, column.name]))
  }

  @Sendable static func add(_ context: CommandContext, _ request: Invocation.Request) throws(CommandError) {
    try change(context, request) { datum, column, argument throws(CommandError) in
      // A pair replaces the one that has its key.
      try ValueText.datum(argument, oneOrMore(column.type), context.symbols).inserting(datum)
    }
  }

  @Sendable static func remove(_ context: CommandContext, _ request: Invocation.Request) throws(CommandError)
  {
    try change(context, request) { datum, column, argument throws(CommandError) in
      let type = oneOrMore(column.type)
      do throws(CommandError) {
        return datum.removing(try ValueText.datum(argument, type, context.symbols))
      } catch {
        guard type.isMap else { throw error }
        // Not KEY=VALUE: then keys alone.
        var keys = type
        keys.value = nil
        return datum.removing(try ValueText.datum(argument, keys, context.symbols))
      }
    }
  }

  @Sendable static func clear(_ context: CommandContext, _ request: Invocation.Request) throws(CommandError) {
    guard let (table, row) = try row(context, request, mustExist: !request.has("if-exists")) else { return }
    for argument in request.arguments.dropFirst(2) {
      let column = try table.column(matching: argument)
      try checkMutable(row, table, column, context)
      guard column.type.minimum == 0 else {
        throw CommandError(
          "\"clear\" operation cannot be applied to column \(column.name) of table \(table.name), which is not "
            + "allowed to be empty")
      }
      context.copy.write(row, column.name, .empty)
    }
    context.invalidateView()
  }

  @Sendable static func create(_ context: CommandContext, _ request: Invocation.Request) throws(CommandError)
  {
    let table = try context.schema.table(matching: request.arguments[0])
    var uuid = UUID.random()
    // --id=UUID chooses the row's own, --id=@NAME names it for later commands.
    let chosen = request.value("id").flatMap { UUID($0) }
    if let chosen {
      uuid = chosen
    } else if let id = request.value("id") {
      uuid = try context.symbols.create(id, isRoot: table.isRoot)
    } else if !table.isRoot {
      context.advice.append(
        "a record of \(table.name) vanishes unless another refers to it: create it with --id=@NAME and refer to it"
      )
    }
    let row = context.copy.insert(table.name, uuid, keepsUUID: chosen != nil)
    for argument in request.arguments.dropFirst() { try set(argument, row, table, context) }
    context.output.insertedRow = row
    context.invalidateView()
  }

  @Sendable static func destroy(_ context: CommandContext, _ request: Invocation.Request) throws(CommandError)
  {
    let table = try context.schema.table(matching: request.arguments[0])
    let names = request.arguments.dropFirst()
    if request.has("all") {
      guard names.isEmpty else {
        throw CommandError("--all and records argument should not be specified together")
      }
      guard !request.has("if-exists") else {
        throw CommandError("--all and --if-exists should not be specified together")
      }
      for row in context.copy.rows(table.name) { context.copy.delete(row) }
    }
    for name in names {
      if let row = try RowName.find(name, table, context.copy, mustExist: !request.has("if-exists")) {
        context.copy.delete(row)
      }
    }
    context.invalidateView()
  }

  @Sendable static func waitUntil(_ context: CommandContext, _ request: Invocation.Request)
    throws(CommandError)
  {
    guard let (table, row) = try row(context, request, mustExist: false) else {
      context.mustTryAgain = true
      return
    }
    for argument in request.arguments.dropFirst(2) {
      let condition = try Condition(argument, table, context.symbols)
      if !condition.holds(row, context.copy) { context.mustTryAgain = true }
    }
  }
}

// What they share.
extension RowCommands {
  /// `_uuid`, which is not a column of the schema.
  static func isUUIDColumn(_ argument: String) -> Bool {
    let name = argument.lowercased()
    return name == "_uuid" || name == "-uuid"
  }

  /// The columns that `--columns` names, or all; nil stands for `_uuid`.
  static func columns(_ text: String?, of table: TableSchema) throws(CommandError) -> [ColumnSchema?] {
    guard let text else { return [nil] + table.columns }
    var columns: [ColumnSchema?] = []
    for name in text.split(whereSeparator: { $0 == "," || $0 == " " }) {
      columns.append(name.lowercased() == "_uuid" ? nil : try table.column(matching: String(name)))
    }
    guard !columns.isEmpty else { throw CommandError("must specify at least one column name") }
    return columns
  }

  private static func row(_ context: CommandContext, _ request: Invocation.Request, mustExist: Bool)
    throws(CommandError) -> (TableSchema, Row)?
  {
    let table = try context.schema.table(matching: request.arguments[0])
    guard let row = try RowName.find(request.arguments[1], table, context.copy, mustExist: mustExist) else {
      return nil
    }
    return (table, row)
  }

  /// `add` and `remove`: applies `body` for each argument to the column's value.
  private static func change(
    _ context: CommandContext, _ request: Invocation.Request,
    _ body: (Datum, ColumnSchema, String) throws(CommandError) -> Datum
  ) throws(CommandError) {
    let table = try context.schema.table(matching: request.arguments[0])
    let column = try table.column(matching: request.arguments[2])
    guard let (_, row) = try row(context, request, mustExist: !request.has("if-exists")) else { return }
    try checkMutable(row, table, column, context)
    var datum = context.copy[row, column.name]
    for argument in request.arguments.dropFirst(3) { datum = try body(datum, column, argument) }
    try checkCount(datum, request.command.name, column, table)
    context.copy.verify(row, column.name)
    context.copy.write(row, column.name, datum)
    context.invalidateView()
  }

  private static func checkCount(
    _ datum: Datum, _ command: String, _ column: ColumnSchema, _ table: TableSchema
  )
    throws(CommandError)
  {
    let what = column.type.isMap ? "pairs" : "values"
    let place = "column \(column.name) of table \(table.name)"
    if let maximum = column.type.maximum, datum.count > maximum {
      throw CommandError(
        "\"\(command)\" operation would put \(datum.count) \(what) in \(place) but the maximum number is \(maximum)"
      )
    }
    if datum.count < column.type.minimum {
      throw CommandError(
        "\"\(command)\" operation would put \(datum.count) \(what) in \(place) but the minimum number is "
          + "\(column.type.minimum)")
    }
  }

  private static func oneOrMore(_ type: ColumnType) -> ColumnType {
    var type = type
    type.minimum = 1
    type.maximum = nil
    return type
  }

  private static func checkMutable(
    _ row: Row, _ table: TableSchema, _ column: ColumnSchema, _ context: CommandContext
  ) throws(CommandError) {
    guard !column.isMutable, context.copy.replica.row(row.table, row.uuid) != nil else { return }
    throw CommandError("cannot modify read-only column \(column.name) in table \(table.name)")
  }

  /// By name where the table has one, else by UUID.
  private static func sorted(_ rows: [Row], _ table: TableSchema, _ copy: WorkingCopy) -> [Row] {
    guard let kind = RowName.kinds(table).first, kind.referenceColumn == nil else { return rows }
    return rows.map { ($0, copy[$0, kind.nameColumn].keys) }
      .sorted { $0.1.lexicographicallyPrecedes($1.1) }.map(\.0)
  }

  private static func table(
    _ rows: [Row], _ table: TableSchema, _ context: CommandContext, _ request: Invocation.Request
  ) throws(CommandError) -> OutputTable {
    let columns = try columns(request.value("columns"), of: table)
    let uuidType = ColumnType(key: BaseType(.uuid))
    var output = OutputTable(headings: columns.map { $0?.name ?? "_uuid" })
    for row in rows {
      output.rows.append(
        columns.map { column in
          let type = column?.type ?? uuidType
          return cell(column.map { context.copy[row, $0.name] } ?? Datum(.uuid(row.uuid)), type)
        })
    }
    return output
  }

  private static func cell(_ datum: Datum, _ type: ColumnType) -> OutputTable.Cell {
    let json = datum.json(type)
    return OutputTable.Cell(json: json) { cells in
      switch cells {
      case .string: ValueText.text(datum, type)
      case .bare: ValueText.bare(datum, type)
      case .json: json.text
      }
    }
  }
}
