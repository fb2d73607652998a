import JSONRPC

/// A change of one column (RFC 7047 §5.1, `<mutation>`).
struct Mutation {
  enum Mutator: String {
    case add = "+="
    case subtract = "-="
    case multiply = "*="
    case divide = "/="
    case remainder = "%="
    case insert
    case delete
  }

  let column: Int
  let mutator: Mutator
  let argument: Datum

  init(_ json: JSON, _ table: TableSchema, _ names: NamedUUIDs) throws(OVSDBError) {
    guard case .array(let parts) = json, parts.count == 3, case .string(let name) = parts[0],
      case .string(let mutatorName) = parts[1]
    else { throw .syntax("a mutation must be [COLUMN, MUTATOR, VALUE], not \(json.excerpt)") }
    column = try table.writableColumn(name)
    guard let mutator = Mutator(rawValue: mutatorName) else {
      throw OVSDBError("unknown mutator", "\"\(mutatorName)\" is not a mutator")
    }
    self.mutator = mutator
    let schema = table.columns[column]
    guard schema.isMutable else {
      throw .constraint("column \(name) of table \(table.name) cannot be changed after the insert")
    }
    argument = try Self.argument(parts[2], mutator, schema, names)
  }

  private static func argument(
    _ json: JSON, _ mutator: Mutator, _ column: ColumnSchema, _ names: NamedUUIDs
  ) throws(OVSDBError) -> Datum {
    var type = column.type
    switch mutator {
    case .insert, .delete:
      guard !type.isScalar else {
        throw .syntax(
          "\(mutator.rawValue) cannot be applied to column \(column.name), which is no set or map")
      }
      type.minimum = 0
      guard mutator == .delete else { return try Datum(json, type, names: names) }
      type.maximum = nil
      do throws(OVSDBError) { return try Datum(json, type, names: names) } catch {
        guard type.isMap else { throw error }
        // The keys of pairs, whatever their values.
        type.value = nil
        return try Datum(json, type, names: names)
      }
    default:
      let number = type.key.type
      guard !type.isMap, number == .integer || (number == .real && mutator != .remainder) else {
        throw .syntax("\(mutator.rawValue) cannot be applied to column \(column.name)")
      }
      return try Datum(json, ColumnType(key: BaseType(number)), names: names)
    }
  }

  /// The column's new value; its constraints are the caller's to check.
  func apply(to value: Datum) throws(OVSDBError) -> Datum {
    switch mutator {
    case .insert: return value.inserting(argument)
    case .delete: return value.removing(argument)
    default: break
    }
    guard let operand = argument.scalar else { return value }
    var results: [Atom] = []
    results.reserveCapacity(value.count)
    for atom in value.keys { results.append(try arithmetic(atom, operand)) }
    let result = Datum(results)
    guard result.count == value.count else {
      throw .constraint("the result of \(mutator.rawValue) has an element twice")
    }
    return result
  }

  private func arithmetic(_ left: Atom, _ right: Atom) throws(OVSDBError) -> Atom {
    switch (left, right) {
    case (.integer(let left), .integer(let right)): return .integer(try integer(left, right))
    case (.real(let left), .real(let right)):
      if mutator == .divide, right == 0 { throw Self.divisionByZero }
      let result =
        switch mutator {
        case .add: left + right
        case .subtract: left - right
        case .multiply: left * right
        default: left / right
        }
      guard result.isFinite else { throw range(left.description, right.description) }
      return .real(result)
    default: throw .syntax("\(mutator.rawValue) needs numbers")
    }
  }

  private func integer(_ left: Int64, _ right: Int64) throws(OVSDBError) -> Int64 {
    let (result, overflow): (Int64, Bool)
    switch mutator {
    case .add: (result, overflow) = left.addingReportingOverflow(right)
    case .subtract: (result, overflow) = left.subtractingReportingOverflow(right)
    case .multiply: (result, overflow) = left.multipliedReportingOverflow(by: right)
    case .remainder:
      if right == 0 { throw Self.divisionByZero }
      (result, overflow) = right == -1 ? (0, false) : left.remainderReportingOverflow(dividingBy: right)
    default:
      if right == 0 { throw Self.divisionByZero }
      (result, overflow) = left.dividedReportingOverflow(by: right)
    }
    if overflow { throw range(left.description, right.description) }
    return result
  }

  private static let divisionByZero = OVSDBError("domain error", "division by zero")

  private func range(_ left: String, _ right: String) -> OVSDBError {
    OVSDBError("range error", "the result of \(left) \(mutator.rawValue) \(right) is out of range")
  }
}

extension TableSchema {
  /// The place of a column that operations may write.
  func writableColumn(_ name: String) throws(OVSDBError) -> Int {
    if let index = columnIndex[name] { return index }
    if name == "_uuid" || name == "_version" {
      throw .constraint("column \(name) is kept by the server and cannot be written")
    }
    throw .unknownColumn(name, self.name)
  }
}
