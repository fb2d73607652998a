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
    if op == "insert" {
      let uuid = UUID(operation["uuid"]!.string!)!
      guard tables[name]![uuid] == nil, before.tables[name]![uuid] == nil else { throw Failure() }
      var row = [String: Datum](uniqueKeysWithValues: table.columns.map { ($0.name, $0.type.defaultDatum) })
      for (column, value) in operation["row"]!.object! {
        row[column] = try Datum(value, table[column: column]!.type)
      }
      tables[name]![uuid] = row
      return
    }
    // An operation that is wrong is wrong even if it selects nothing.
    _ = try Condition(operation["where"]!, table)
    for mutation in operation["mutations"]?.array ?? [] { _ = try Mutation(mutation, table, [:]) }
    let condition = operation["where"]!.array!
    for (uuid, row) in tables[name, default: [:]]
    where try condition.allSatisfy({ try holds($0, uuid, row, table) }) {
      switch op {
      case "delete":
        tables[name]![uuid] = nil
      case "update":
        for (column, value) in operation["row"]!.object! {
          tables[name]![uuid]![column] = try Datum(value, table[column: column]!.type)
        }
      default:
        for mutation in operation["mutations"]!.array! { try mutate(mutation, &tables[name]![uuid]!, table) }
      }
    }
    if op == "update" {
      for (column, value) in operation["row"]!.object! { _ = try Datum(value, table[column: column]!.type) }
    }
  }

  private func holds(_ clause: JSON, _ uuid: UUID, _ row: [String: Datum], _ table: TableSchema) throws
    -> Bool
  {
    let column = clause[0]!.string!
    let mine = column == "_uuid" ? Datum(.uuid(uuid)) : row[column]!
    let type = (table[column: column]?.type ?? ColumnType(key: BaseType(.uuid))).anyCount
    let other = try Datum(clause[2]!, type, checking: false)
    let (a, b) = (pairs(mine), pairs(other))
    switch clause[1]!.string! {
    case "==": return a == b
    case "!=": return a != b
    case "includes": return b.isSubset(of: a)
    default: return a.isDisjoint(with: b)
    }
  }

  private func pairs(_ datum: Datum) -> Set<[Atom]> {
    Set(
      datum.keys.indices.map { datum.values.isEmpty ? [datum.keys[$0]] : [datum.keys[$0], datum.values[$0]] })
  }

  private func mutate(_ mutation: JSON, _ row: inout [String: Datum], _ table: TableSchema) throws {
    let column = mutation[0]!.string!
    let type = table[column: column]!.type
    let old = row[column]!
    if case .integer(let operand)? = mutation[2] {
      let results = old.integers.map { value in
        switch mutation[1]!.string! {
        case "+=": value + operand
        case "-=": value - operand
        default: value * operand
        }
      }
      row[column] = Datum(results.map(Atom.integer))
    } else {
      let argument = try Datum(mutation[2]!, type.anyCount, checking: false)
      var map: [Atom: Atom?] = [:]
      for index in old.keys.indices {
        map[old.keys[index]] = .some(index < old.values.count ? old.values[index] : nil)
      }
      for index in argument.keys.indices {
        let key = argument.keys[index]
        let value = index < argument.values.count ? argument.values[index] : nil
        if mutation[1] == "insert" {
          if map[key] == nil { map[key] = .some(value) }
        } else if let mine = map[key], mine == value {
          map[key] = nil
        }
      }
      row[column] = type.isMap ? Datum(map: map.map { ($0, $1!) }) : Datum(Array(map.keys))
    }
    try type.check(row[column]!)
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
    var dropped = false
    for table in schema.tables {
      for column in table.columns where column.type.key.isWeakReference {
        for (uuid, row) in tables[table.name]! {
          let alive = row[column.name]!.uuids.filter { tables[column.type.key.referenceTable!]![$0] != nil }
          if alive.count == row[column.name]!.count { continue }
          if alive.count < column.type.minimum { throw Failure() }
          tables[table.name]![uuid]![column.name] = Datum(uuids: alive)
          dropped = true
        }
      }
    }
    return dropped
  }
}
