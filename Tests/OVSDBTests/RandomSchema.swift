import JSONRPC
import Seeded

@testable import OVSDB

/// A schema out of random numbers: every kind of column, references of both kinds, indexes, limits.
struct RandomSchema {
  private(set) var random: SeededRandom
  private let tables: [String]

  init(seed: UInt64) {
    random = SeededRandom(seed: seed)
    tables = (0..<(2 + random.below(3))).map { "T\($0)" }
  }

  mutating func schema() throws -> DatabaseSchema {
    var members: [String: JSON] = [:]
    for (number, name) in tables.enumerated() { members[name] = table(isRoot: number == 0 || chance(2)) }
    return try DatabaseSchema(["name": "Test", "version": "1.2.3", "tables": .object(members)])
  }

  private mutating func chance(_ one: Int) -> Bool { random.below(one) == 0 }

  private mutating func table(isRoot: Bool) -> JSON {
    var columns: [String: JSON] = [:]
    for number in 0..<(2 + random.below(6)) { columns["c\(number)"] = column() }
    var table: [String: JSON] = ["columns": .object(columns), "isRoot": .bool(isRoot)]
    if chance(5) { table["maxRows"] = .integer(Int64(1 + random.below(4))) }
    let indexable = columns.filter { $0.value["ephemeral"] == nil }.map(\.key).sorted()
    if chance(2), let first = indexable.first {
      table["indexes"] = .array([
        .array(chance(3) && indexable.count > 1 ? [.string(first), .string(indexable[1])] : [.string(first)])
      ])
    }
    return .object(table)
  }

  private mutating func column() -> JSON {
    var column: [String: JSON] = ["type": type()]
    if chance(6) { column["ephemeral"] = true }
    if chance(8) { column["mutable"] = false }
    return .object(column)
  }

  private mutating func type() -> JSON {
    var type: [String: JSON] = ["key": base()]
    switch random.below(8) {
    case 0, 1, 2: break
    case 3: type["min"] = 0
    case 4: (type["min"], type["max"]) = (0, "unlimited")
    case 5: (type["min"], type["max"]) = (.integer(Int64(random.below(2))), 3)
    case 6:
      type["value"] = base()
      (type["min"], type["max"]) = (0, "unlimited")
    default:
      type["value"] = base()
      (type["min"], type["max"]) = (.integer(Int64(random.below(2))), 2)
    }
    return .object(type)
  }

  private mutating func base() -> JSON {
    switch random.below(10) {
    case 0: return "integer"
    case 1: return ["type": "integer", "minInteger": -3, "maxInteger": 6]
    case 2: return ["type": "integer", "enum": ["set", [0, 2, 4]]]
    case 3: return chance(2) ? "real" : ["type": "real", "minReal": -2.5, "maxReal": 4]
    case 4: return "boolean"
    case 5: return "string"
    case 6: return ["type": "string", "enum": ["set", ["", "a", "ab"]]]
    case 7: return ["type": "string", "maxLength": 2]
    case 8: return "uuid"
    default:
      let table = JSON.string(tables[random.below(tables.count)])
      return chance(2)
        ? ["type": "uuid", "refTable": table, "refType": "weak"] : ["type": "uuid", "refTable": table]
    }
  }
}
