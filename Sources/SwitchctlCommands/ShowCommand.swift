import OVSDB

/// `show`: the configuration as an indented tree.
enum ShowCommand {
  /// One level: how a row of the table is headed, and the columns below. A column that refers to another of these
  /// tables is followed; others are printed unless they have their default.
  private struct Level {
    let table: String
    /// Nil: headed by its UUID.
    let name: String?
    let columns: [String]
    /// A map of which only some is shown, and how.
    var summary: (column: String, lines: @Sendable ([String: String]) -> [String])?
  }

  private static let levels = [
    Level(table: "Open_vSwitch", name: nil, columns: ["manager_options", "bridges", "ovs_version"]),
    Level(table: "Bridge", name: "name", columns: ["controller", "fail_mode", "datapath_type", "ports"]),
    Level(table: "Port", name: "name", columns: ["tag", "trunks", "interfaces"]),
    Level(
      table: "Interface", name: "name", columns: ["type", "options", "error", "bfd_status"],
      summary: ("status", GuestSummary.lines)),
    Level(table: "Controller", name: "target", columns: ["is_connected"]),
    Level(table: "Manager", name: "target", columns: ["is_connected"]),
  ]

  private static func level(_ table: String?) -> Level? { levels.first { $0.table == table } }

  @Sendable static func prerequisites(
    _ selection: inout Selection, _: Invocation.Request, _ schema: DatabaseSchema
  ) {
    for level in levels {
      let others = [level.name, level.summary?.column].compactMap { $0 }
      selection.add(level.table, level.columns + others, schema)
    }
  }

  @Sendable static func run(_ context: CommandContext, _: Invocation.Request) throws(CommandError) {
    for row in context.copy.rows(levels[0].table) { show(row, depth: 0, context) }
  }

  private static func show(_ row: Row, depth: Int, _ context: CommandContext) {
    guard let level = level(row.table), let table = context.schema[table: row.table] else { return }
    let indent = String(repeating: " ", count: 4 * depth)
    if let name = level.name, let column = table[column: name] {
      context.output.line("\(indent)\(table.name) \(ValueText.text(context.copy[row, name], column.type))")
    } else {
      context.output.line("\(indent)\(row.uuid)")
    }
    for name in level.columns {
      guard let column = table[column: name] else { continue }
      let datum = context.copy[row, name]
      if let next = self.level(column.type.key.referenceTable) {
        // Depth is bounded by the number of levels: each refers only to those after it.
        for child in children(row, name, next, context) { show(child, depth: depth + 1, context) }
      } else if datum != column.type.defaultDatum {
        context.output.line("\(indent)    \(name): \(ValueText.text(datum, column.type))")
      }
    }
    if let (column, lines) = level.summary, table[column: column] != nil {
      for line in lines(context.copy[row, column].stringMap) { context.output.line("\(indent)    \(line)") }
    }
  }

  /// By name: the order of UUIDs means nothing to a reader.
  private static func children(_ row: Row, _ column: String, _ level: Level, _ context: CommandContext)
    -> [Row]
  {
    let rows = context.copy.references(row, column, level.table)
    guard let name = level.name else { return rows }
    return rows.map { ($0, context.copy[$0, name].string ?? "") }
      .sorted { $0.1.utf8.lexicographicallyPrecedes($1.1.utf8) }.map(\.0)
  }
}
