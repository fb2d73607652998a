import JSONRPC

/// A test of rows (RFC 7047 §5.1, `<condition>`): all clauses must hold. In monitors one that holds is enough
/// (`MonitorPlan.Part`).
struct Condition: Hashable, Sendable {
  enum Function: String, Sendable {
    case equal = "=="
    case notEqual = "!="
    case less = "<"
    case lessOrEqual = "<="
    case greater = ">"
    case greaterOrEqual = ">="
    case includes
    case excludes
  }

  enum Clause: Hashable, Sendable {
    case compare(ColumnReference, Function, Datum)
    /// `true` or `false` in place of a clause, as monitors of OVS clients use it.
    case constant(Bool)
  }

  let clauses: [Clause]

  static let all = Condition(clauses: [])

  init(clauses: [Clause]) { self.clauses = clauses }

  init(_ json: JSON, _ table: TableSchema, _ names: NamedUUIDs? = nil) throws(OVSDBError) {
    guard case .array(let elements) = json else {
      throw .syntax("a condition must be an array of clauses, not \(json.excerpt)")
    }
    var clauses: [Clause] = []
    clauses.reserveCapacity(elements.count)
    for element in elements { clauses.append(try Self.clause(element, table, names)) }
    self.clauses = clauses
  }

  private static func clause(_ json: JSON, _ table: TableSchema, _ names: NamedUUIDs?) throws(OVSDBError)
    -> Clause
  {
    if case .bool(let value) = json { return .constant(value) }
    guard case .array(let parts) = json, parts.count == 3, case .string(let column) = parts[0],
      case .string(let name) = parts[1]
    else { throw .syntax("a clause must be [COLUMN, FUNCTION, VALUE], not \(json.excerpt)") }
    let reference = try ColumnReference(column, table)
    guard let function = Function(rawValue: name) else {
      throw OVSDBError("unknown function", "\"\(name)\" is not a function of conditions")
    }
    let type = try operand(of: function, reference.type(table), column)
    return .compare(reference, function, try Datum(parts[2], type, names: names))
  }

  /// What a column is compared with: of its type, but part of a set or map may be asked for.
  private static func operand(
    of function: Function, _ type: ColumnType, _ column: String
  ) throws(OVSDBError) -> ColumnType {
    var type = type
    switch function {
    case .equal, .notEqual: break
    case .includes: if !type.isScalar { type.minimum = 0 }
    case .excludes: if !type.isScalar { type = type.anyCount }
    case .less, .lessOrEqual, .greater, .greaterOrEqual:
      let isNumber = type.key.type == .integer || type.key.type == .real
      guard isNumber, type.isScalar || type.isOptionalScalar else {
        throw .syntax("\(function.rawValue) compares numbers, which column \(column) does not hold one of")
      }
      type.minimum = 1
    }
    return type
  }

  /// The row the condition is about, when it says so by UUID.
  var uuid: UUID? {
    for case .compare(.uuid, let function, let datum) in clauses
    where function == .equal || function == .includes {
      if case .uuid(let uuid)? = datum.scalar { return uuid }
    }
    return nil
  }

  func matches(_ row: Row) -> Bool { clauses.allSatisfy { $0.holds(for: row) } }
}

extension Condition.Clause {
  func holds(for row: Row) -> Bool {
    switch self {
    case .constant(let value): value
    case .compare(let reference, let function, let datum): Self.holds(row[reference], function, datum)
    }
  }

  private static func holds(_ value: Datum, _ function: Condition.Function, _ argument: Datum) -> Bool {
    switch function {
    case .equal: return value == argument
    case .notEqual: return value != argument
    case .includes: return value.includes(argument)
    case .excludes: return value.excludes(argument)
    case .less, .lessOrEqual, .greater, .greaterOrEqual:
      // An optional number that is absent compares with nothing.
      guard let left = value.scalar, let right = argument.scalar else { return false }
      switch function {
      case .less: return left < right
      case .lessOrEqual: return left <= right
      case .greater: return left > right
      default: return left >= right
      }
    }
  }
}
