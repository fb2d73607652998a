import JSONRPC
import Seeded

@testable import OVSDB

/// Transactions for any schema out of random numbers: mostly sensible ones, over few rows and values so that they
/// collide, with mistakes in between.
struct RandomOperations {
  private var random: SeededRandom
  private let schema: DatabaseSchema
  /// How many rows of a table there may be, each with a UUID of its own.
  private let rowsOfTable = 6

  init(seed: UInt64, _ schema: DatabaseSchema) {
    random = SeededRandom(seed: seed)
    self.schema = schema
  }

  mutating func transaction() -> [JSON] { (0...random.below(5)).map { _ in operation() } }

  private mutating func chance(_ one: Int) -> Bool { random.below(one) == 0 }
  private mutating func pick<Element>(_ elements: [Element]) -> Element {
    elements[random.below(elements.count)]
  }

  /// The UUID of a row of the table; for a UUID that refers to no table, of any.
  private mutating func uuid(_ table: String?) -> JSON {
    let place = table.flatMap { schema.tableIndex[$0] } ?? random.below(schema.tables.count)
    let row = UInt64(random.below(rowsOfTable))
    return .string(UUID(high: 0x1111_2222_3333_4444, low: 1 << 63 | UInt64(place) << 8 | row).description)
  }

  private mutating func operation() -> JSON {
    let table = pick(schema.tables)
    let name = JSON.string(table.name)
    switch random.below(16) {
    case 0...5: return ["op": "insert", "table": name, "uuid": uuid(table.name), "row": row(table)]
    case 6, 7: return ["op": "update", "table": name, "where": condition(table), "row": row(table)]
    case 8, 9, 10:
      return [
        "op": "mutate", "table": name, "where": condition(table),
        "mutations": .array((0...random.below(2)).map { _ in mutation(table) }),
      ]
    case 11: return ["op": "delete", "table": name, "where": condition(table)]
    case 12, 13:
      let columns = ["_uuid"] + table.columns.map(\.name).filter { _ in chance(2) }
      return [
        "op": "select", "table": name, "where": condition(table), "columns": .array(columns.map(JSON.string)),
      ]
    case 14:
      let columns = table.columns.map(\.name).filter { _ in chance(3) }
      return [
        "op": "wait", "timeout": 0, "table": name, "where": condition(table),
        "columns": .array(columns.map(JSON.string)), "until": chance(4) ? "==" : "!=",
        "rows": .array((0..<random.below(3)).map { _ in row(table, of: columns) }),
      ]
    default: return chance(3) ? ["op": "abort"] : ["op": "comment", "comment": "c"]
    }
  }

  private mutating func row(_ table: TableSchema) -> JSON {
    let columns = table.columns.filter { $0.type.minimum > 0 && $0.type.hasReferences || chance(2) }
    return row(table, of: columns.map(\.name))
  }

  private mutating func row(_ table: TableSchema, of columns: [String]) -> JSON {
    var row: [String: JSON] = [:]
    for name in columns { row[name] = table[column: name].map { value($0.type) } }
    return .object(row)
  }

  /// A value of a column: with the number of elements it needs, but for a mistake now and then.
  private mutating func value(_ type: ColumnType) -> JSON {
    let most = min(type.maximum ?? 4, 4)
    var count = type.minimum + random.below(most - type.minimum + 1)
    if chance(40) { count = random.below(5) }
    return elements(type, count)
  }

  private mutating func elements(_ type: ColumnType, _ count: Int) -> JSON {
    if let value = type.value {
      var seen: Set<JSON> = []
      let keys = (0..<count).map { _ in atom(type.key) }.filter { seen.insert($0).inserted }
      return ["map", .array(keys.map { [$0, atom(value)] })]
    }
    if count == 1, chance(3) == false { return atom(type.key) }
    var seen: Set<JSON> = []
    return ["set", .array((0..<count).map { _ in atom(type.key) }.filter { seen.insert($0).inserted })]
  }

  private mutating func atom(_ base: BaseType) -> JSON {
    if let allowed = base.enumeration, !chance(30) { return pick(allowed.keys).json }
    switch chance(60) ? pick(AtomType.allCases) : base.type {
    case .integer: return .integer(Int64(random.below(8)) - 2)
    case .real: return .real([0, 0.5, -1.25, 3][random.below(4)])
    case .boolean: return .bool(chance(2))
    case .string: return pick(["", "a", "b", "ab", chance(10) ? "abc" : "é"])
    case .uuid: return ["uuid", uuid(base.referenceTable)]
    }
  }

  mutating func condition(_ table: TableSchema) -> JSON {
    if chance(6) { return [] }
    return .array((0..<(1 + random.below(2))).map { _ in clause(table) })
  }

  private mutating func clause(_ table: TableSchema) -> JSON {
    if chance(30) { return .bool(chance(2)) }
    guard !chance(2) else { return ["_uuid", chance(6) ? "!=" : "==", ["uuid", uuid(table.name)]] }
    let column = pick(table.columns)
    var functions = ["==", "!=", "includes", "excludes"]
    let isNumber = column.type.key.type == .integer || column.type.key.type == .real
    if isNumber || chance(20) { functions += ["<", "<=", ">", ">="] }
    return [
      .string(column.name), .string(pick(functions)), elements(column.type, chance(2) ? 1 : random.below(4)),
    ]
  }

  private mutating func mutation(_ table: TableSchema) -> JSON {
    let column = pick(table.columns)
    let name = JSON.string(column.name)
    let isNumber = column.type.key.type == .integer || column.type.key.type == .real
    if isNumber && !chance(4) || chance(20) {
      let operand = atom(column.type.key)
      // ovsdb-server 3.1 ends by SIGFPE when it multiplies by the integer 0.
      let mutators = ["+=", "-=", "/=", "%="] + (operand.integer == 0 ? [] : ["*="])
      return [name, .string(pick(mutators)), operand]
    }
    if column.type.isMap, chance(2) {
      return [name, "delete", elements(ColumnType(key: column.type.key), random.below(3))]
    }
    return [name, chance(2) ? "insert" : "delete", elements(column.type, random.below(4))]
  }
}
