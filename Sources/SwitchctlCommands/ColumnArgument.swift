import OVSDB

/// An argument that begins with a column: `COLUMN[:KEY]`, followed by an operator and a value where one is expected.
struct ColumnArgument {
  let column: ColumnSchema
  let key: String?
  /// Empty without a value.
  let operation: String
  let value: String

  /// Reads `COLUMN[:KEY]`.
  static func plain(_ argument: String, _ table: TableSchema) throws(CommandError) -> ColumnArgument {
    var rest = argument[...]
    let (column, key) = try columnAndKey(argument, &rest, table)
    guard rest.isEmpty else { throw CommandError("\(argument): trailing garbage \"\(rest)\" in argument") }
    return ColumnArgument(column: column, key: key, operation: "", value: "")
  }

  /// Reads `COLUMN[:KEY]OPERATOR VALUE`; of the operators that fit, the longest.
  static func withValue(_ argument: String, _ table: TableSchema, _ operators: [String] = ["="])
    throws(CommandError) -> ColumnArgument
  {
    var rest = argument[...]
    let (column, key) = try columnAndKey(argument, &rest, table)
    let fitting = operators.filter { rest.hasPrefix($0) && rest.utf8.count > $0.utf8.count }
    guard let operation = fitting.max(by: { $0.utf8.count < $1.utf8.count }) else {
      throw CommandError("\(argument): argument does not end in \(list(operators)) followed by a value.")
    }
    return ColumnArgument(
      column: column, key: key, operation: operation, value: String(rest.dropFirst(operation.count)))
  }

  /// Only the column of such an argument.
  static func column(_ argument: String, _ table: TableSchema) throws(CommandError) -> ColumnSchema {
    var rest = argument[...]
    return try column(argument, &rest, table)
  }

  private static func column(_ argument: String, _ rest: inout Substring, _ table: TableSchema)
    throws(CommandError) -> ColumnSchema
  {
    let name = try Token.take(from: &rest)
    guard !name.isEmpty else { throw CommandError("\(argument): missing column name") }
    return try table.column(matching: name)
  }

  private static func columnAndKey(_ argument: String, _ rest: inout Substring, _ table: TableSchema)
    throws(CommandError) -> (ColumnSchema, String?)
  {
    let column = try column(argument, &rest, table)
    guard rest.first == ":" else { return (column, nil) }
    rest.removeFirst()
    return (column, try Token.take(from: &rest))
  }

  private static func list(_ operators: [String]) -> String {
    let quoted = operators.map { "\"\($0)\"" }
    switch quoted.count {
    case 0, 1: return quoted.joined()
    case 2: return quoted.joined(separator: " or ")
    default: return quoted.dropLast().joined(separator: ", ") + ", or " + quoted[quoted.count - 1]
    }
  }
}
