import JSONRPC

@testable import OVSDB

/// What a transaction should do, said as plainly as possible: tables are dictionaries, a transaction works on a copy,
/// and every rule is a scan of everything.
struct Model {
  typealias Rows = [UUID: [String: Datum]]

  let schema: DatabaseSchema
  var tables: [String: Rows]

  init(_ schema: DatabaseSchema) {
    self.schema = schema
    tables = [String: Rows](uniqueKeysWithValues: schema.tables.map { ($0.name, [:]) })
  }

  struct Failure: Error {}

  /// Runs the operations; false, with nothing changed, when they fail.
  mutating func transact(_ operations: [JSON]) -> Bool {
    var copy = self
    do {
      for operation in operations { try copy.run(operation, before: self) }
      try copy.settle()
    } catch { return false }
    self = copy
    return true
  }

  private mutating func run(_ operation: JSON, before: Model) throws {
    guard let op = operation["op"]?.string, op != "abort" else { throw Failure() }
    guard let name = operation["table"]?.string, let table = schema[table: name] else { return }
    if op == "insert" { return try insert(operation, table, before: before) }
    // An operation that is wrong is wrong even if it selects nothing.
    _ = try Condition(operation["where"]!, table)
    for mutation in operation["mutations"]?.array ?? [] { _ = try Mutation(mutation, table, [:]) }
    for (column, value) in operation["row"]?.object ?? [:] {
      guard table[column: column]!.isMutable else { throw Failure() }
      _ = try Datum(value, table[column: column]!.type)
    }
    let condition = operation["where"]!.array!
    let selected = try tables[name]!.filter { uuid, row in
      try condition.allSatisfy { try Self.holds($0, uuid, row, table) }
    }
    if op == "wait" { return try wait(operation, table, selected) }
    for uuid in selected.keys {
      switch op {
      case "delete": tables[name]![uuid] = nil
      case "update":
        for (column, value) in operation["row"]!.object! {
          tables[name]![uuid]![column] = try Datum(value, table[column: column]!.type)
        }
      case "mutate":
        for mutation in operation["mutations"]!.array! { try mutate(mutation, &tables[name]![uuid]!, table) }
      default: break
      }
    }
  }

  private mutating func insert(_ operation: JSON, _ table: TableSchema, before: Model) throws {
    let uuid = UUID(operation["uuid"]!.string!)!
    guard tables[table.name]![uuid] == nil, before.tables[table.name]![uuid] == nil else { throw Failure() }
    var row = [String: Datum](uniqueKeysWithValues: table.columns.map { ($0.name, $0.type.defaultDatum) })
    for (column, value) in operation["row"]!.object! {
      row[column] = try Datum(value, table[column: column]!.type)
    }
    tables[table.name]![uuid] = row
  }

  private func wait(_ operation: JSON, _ table: TableSchema, _ selected: Rows) throws {
    let columns = operation["columns"]!.array!.map { $0.string! }
    let wanted = try Set(
      operation["rows"]!.array!.map { row in
        try columns.map { try Datum(row[$0]!, table[column: $0]!.type) }
      })
    let found = Set(selected.values.map { row in columns.map { row[$0]! } })
    guard (wanted == found) == (operation["until"] == "==") else { throw Failure() }
  }

  /// Whether one clause of a condition holds.
  static func holds(_ clause: JSON, _ uuid: UUID, _ row: [String: Datum], _ table: TableSchema) throws
    -> Bool
  {
    if let constant = clause.bool { return constant }
    let column = clause[0]!.string!
    let mine = column == "_uuid" ? Datum(.uuid(uuid)) : row[column]!
    let type = (table[column: column]?.type ?? ColumnType(key: BaseType(.uuid))).anyCount
    let other = try Datum(clause[2]!, type, checking: false)
    let (a, b) = (pairs(mine), pairs(other))
    switch clause[1]!.string! {
    case "==": return a == b
    case "!=": return a != b
    case "includes": return b.isSubset(of: a)
    case "excludes": return a.isDisjoint(with: b)
    default: break
    }
    guard let left = mine.keys.first, let right = other.keys.first else { return false }
    switch clause[1]!.string! {
    case "<": return left < right
    case "<=": return left <= right
    case ">": return left > right
    default: return left >= right
    }
  }

  private static func pairs(_ datum: Datum) -> Set<[Atom]> {
    Set(
      datum.keys.indices.map { datum.values.isEmpty ? [datum.keys[$0]] : [datum.keys[$0], datum.values[$0]] })
  }

  private func mutate(_ mutation: JSON, _ row: inout [String: Datum], _ table: TableSchema) throws {
    let column = mutation[0]!.string!
    let type = table[column: column]!.type
    let old = row[column]!
    let mutator = mutation[1]!.string!
    if mutator == "insert" || mutator == "delete" {
      row[column] = try Self.changed(old, mutator, mutation[2]!, type)
    } else {
      let results = try old.keys.map { try Self.calculated($0, mutator, mutation[2]!) }
      guard Set(results).count == results.count else { throw Failure() }
      row[column] = Datum(results)
    }
    try type.check(row[column]!)
  }

  private static func changed(_ old: Datum, _ mutator: String, _ json: JSON, _ type: ColumnType) throws
    -> Datum
  {
    let byKey = type.isMap && json[0] != "map"
    let argument = try Datum(
      json, byKey ? ColumnType(key: type.key).anyCount : type.anyCount, checking: false)
    var map: [Atom: Atom?] = [:]
    for index in old.keys.indices {
      map[old.keys[index]] = .some(index < old.values.count ? old.values[index] : nil)
    }
    for index in argument.keys.indices {
      let key = argument.keys[index]
      let value = index < argument.values.count ? argument.values[index] : nil
      if mutator == "insert" {
        if map[key] == nil { map[key] = .some(value) }
      } else if let mine = map[key], byKey || mine == value {
        map[key] = nil
      }
    }
    return type.isMap ? Datum(map: map.map { ($0, $1!) }) : Datum(Array(map.keys))
  }

  private static func calculated(_ atom: Atom, _ mutator: String, _ operand: JSON) throws -> Atom {
    if case .integer(let left) = atom {
      let right = operand.integer!
      switch mutator {
      case "+=": return .integer(left + right)
      case "-=": return .integer(left - right)
      case "*=": return .integer(left * right)
      default:
        guard right != 0 else { throw Failure() }
        return .integer(mutator == "/=" ? left / right : left % right)
      }
    }
    guard case .real(let left) = atom, let right = operand.real else { throw Failure() }
    switch mutator {
    case "+=": return .real(left + right)
    case "-=": return .real(left - right)
    case "*=": return .real(left * right)
    default:
      guard right != 0 else { throw Failure() }
      return .real(left / right)
    }
  }

  // Whole-database rules.

  private mutating func settle() throws {
    for (_, target, uuid, isStrong) in references() where isStrong && tables[target]![uuid] == nil {
      throw Failure()
    }
    while try dropGarbage() || dropWeakReferences() {}
    for table in schema.tables {
      let rows = tables[table.name]!
      if let maximum = table.maximumRows, rows.count > maximum { throw Failure() }
      for index in table.indexes {
        let keys = rows.values.map { row in index.map { row[table.columns[$0].name]! } }
        if Set(keys).count != keys.count { throw Failure() }
      }
    }
  }

  private func references() -> [(from: UUID, target: String, uuid: UUID, isStrong: Bool)] {
    var result: [(from: UUID, target: String, uuid: UUID, isStrong: Bool)] = []
    for table in schema.tables {
      for (from, row) in tables[table.name]! {
        for column in table.columns {
          for (base, atoms) in [
            (column.type.key, row[column.name]!.keys), (column.type.value, row[column.name]!.values),
          ] {
            guard let base, let target = base.referenceTable else { continue }
            for case .uuid(let uuid) in atoms where uuid != from {
              result.append((from, target, uuid, base.referenceKind == .strong))
            }
          }
        }
      }
    }
    return result
  }

  private mutating func dropGarbage() -> Bool {
    let referenced = Set(references().filter(\.isStrong).map { "\($0.target) \($0.uuid)" })
    var dropped = false
    for table in schema.tables where !table.isRoot {
      for uuid in tables[table.name]!.keys where !referenced.contains("\(table.name) \(uuid)") {
        tables[table.name]![uuid] = nil
        dropped = true
      }
    }
    return dropped
  }

  private mutating func dropWeakReferences() throws -> Bool {
    func isAlive(_ base: BaseType?, _ atom: Atom?) -> Bool {
      guard let base, base.isWeakReference, case .uuid(let uuid)? = atom else { return true }
      return tables[base.referenceTable!]![uuid] != nil
    }
    var dropped = false
    for table in schema.tables {
      for column in table.columns {
        for (uuid, row) in tables[table.name]! {
          let old = row[column.name]!
          let alive = old.filter { isAlive(column.type.key, $0) && isAlive(column.type.value, $1) }
          if alive.count == old.count { continue }
          if alive.count < column.type.minimum { throw Failure() }
          tables[table.name]![uuid]![column.name] = alive
          dropped = true
        }
      }
    }
    return dropped
  }
}
