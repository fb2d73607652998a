/// The Swift of a schema: for every table a struct with a property per column, and an enum per column of fixed strings.
///
/// The types are built on those in Sources/OpenVSwitchRows, where everything is that does not depend on the schema.
struct SwiftFile {
  let text: String

  init(_ schema: Schema) throws(GeneratorError) {
    let tables = schema.tables.sorted { $0.key < $1.key }
    var lines = [
      "// Written by schema-rows from the schema \(schema.name) \(schema.version): change that instead.",
      "import OVSDB",
      "",
      "/// Every table of the schema.",
      "public let allTables: [any TableRow.Type] = [",
    ]
    lines += tables.map { "  \(SwiftName.type($0.key))Row.self," } + ["]"]
    for (name, table) in tables { lines += [""] + (try Self.row(name, table)) }
    text = lines.joined(separator: "\n") + "\n"
  }

  /// The struct of one table.
  private static func row(_ name: String, _ table: Schema.Table) throws(GeneratorError) -> [String] {
    let columns = table.columns.sorted { $0.key < $1.key }
    try checkNames(columns.map(\.key), in: name, taken: ["uuid", "columns", "table", "reference"])
    var lines = [
      "/// A row of `\(name)`.",
      "public struct \(SwiftName.type(name))Row: TableRow {",
      "  public static let table = \"\(name)\"",
      "",
      "  public enum Column: String, CaseIterable, Sendable {",
    ]
    lines += columns.map { "    case \(SwiftName.member($0.key)) = \"\($0.key)\"" }
    lines += [
      "  }",
      "",
      "  public let uuid: UUID",
      "  public var columns: [String: Datum]",
      "",
      "  public init(uuid: UUID, columns: [String: Datum]) {",
      "    self.uuid = uuid",
      "    self.columns = columns",
      "  }",
    ]
    for (column, schema) in columns {
      let swift = SwiftColumn(column, schema)
      lines += [""] + swift.property + (try choices(swift, in: name))
    }
    return lines + ["}"]
  }

  /// The enum of a column of fixed strings; none of another.
  private static func choices(_ column: SwiftColumn, in table: String) throws(GeneratorError) -> [String] {
    guard !column.choices.isEmpty else { return [] }
    try checkNames(column.choices, in: "\(table).\(column.name)", taken: ["unknown"])
    let cases = column.choices.map { (name: SwiftName.member($0), text: $0) }
    return [
      "",
      "  public enum \(column.choiceType): StringChoice {",
    ] + cases.map { "    case \($0.name)" } + [
      "    /// What only another schema allows.",
      "    case unknown(String)",
      "",
      "    public init(_ text: String) {",
      "      switch text {",
    ] + cases.map { "      case \"\($0.text)\": self = .\($0.name)" } + [
      "      default: self = .unknown(text)",
      "      }",
      "    }",
      "",
      "    public var text: String {",
      "      switch self {",
    ] + cases.map { "      case .\($0.name): \"\($0.text)\"" } + [
      "      case .unknown(let text): text",
      "      }",
      "    }",
      "  }",
    ]
  }

  /// Two names of the schema must not become one in Swift.
  private static func checkNames(_ names: [String], in place: String, taken: Set<String>)
    throws(GeneratorError)
  {
    var taken = taken
    for name in names where !taken.insert(SwiftName.bareMember(name)).inserted {
      throw GeneratorError(
        "\(place): \"\(name)\" would be called \(SwiftName.bareMember(name)) in Swift, which something else is already"
      )
    }
  }
}
