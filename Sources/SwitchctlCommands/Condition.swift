import OVSDB

/// A condition of `find` and `wait-until`: `COLUMN[:KEY]OPERATOR VALUE`.
struct Condition {
  static let operators = [
    "=", "!=", "<", ">", "<=", ">=", "{=}", "{!=}", "{<}", "{>}", "{<=}", "{>=}", "{in}", "{not-in}",
  ]

  let column: ColumnSchema
  private let key: Atom?
  private let operation: String
  private let wanted: Datum

  init(_ argument: String, _ table: TableSchema, _ symbols: SymbolTable) throws(CommandError) {
    let parsed = try ColumnArgument.withValue(argument, table, Self.operators)
    column = parsed.column
    operation = parsed.operation
    guard let keyText = parsed.key else {
      key = nil
      wanted = try ValueText.datum(parsed.value, column.type, symbols)
      return
    }
    guard let valueType = column.type.value else {
      throw CommandError("cannot specify key to check for non-map column \(column.name)")
    }
    key = try ValueText.atom(keyText, column.type.key, symbols)
    var type = ColumnType(key: valueType)
    type.minimum = column.type.minimum
    type.maximum = nil
    wanted = try ValueText.datum(parsed.value, type, symbols)
  }

  func holds(_ row: Row, _ copy: WorkingCopy) -> Bool { holds(copy[row, column.name]) }

  /// Whether it holds for a row with this value in the column.
  func holds(_ have: Datum) -> Bool {
    guard let key else { return compare(have) }
    if let value = have[key] { return compare(Datum(value)) }
    // A key that is absent satisfies only the set operators: there, it is the empty set.
    return operation.hasPrefix("{") && compare(.empty)
  }

  private func compare(_ have: Datum) -> Bool {
    switch operation {
    case "=", "{=}": have == wanted
    case "!=", "{!=}": have != wanted
    case "<": Self.isLess(have, wanted)
    case ">": Self.isLess(wanted, have)
    case "<=": !Self.isLess(wanted, have)
    case ">=": !Self.isLess(have, wanted)
    case "{<}": have.count < wanted.count && wanted.includes(have)
    case "{>}": have.count > wanted.count && have.includes(wanted)
    case "{<=}", "{in}": wanted.includes(have)
    case "{>=}": have.includes(wanted)
    default: wanted.excludes(have)
    }
  }

  /// Fewer elements first, then the order of keys, then that of values.
  private static func isLess(_ a: Datum, _ b: Datum) -> Bool {
    if a.count != b.count { return a.count < b.count }
    if a.keys != b.keys { return a.keys.lexicographicallyPrecedes(b.keys) }
    return a.values.lexicographicallyPrecedes(b.values)
  }
}
