import JSONRPC

@testable import OVSDB

/// Makes transactions for the test schema out of random numbers: mostly sensible ones, over few
/// rows and values, so that they collide.
struct OperationGenerator<Source: RandomNumberGenerator> {
  var source: Source
  /// Rows are named by a small set of UUIDs.
  let uuids = (0..<12).map { UUID(high: 0x1111_2222_3333_4444, low: 0x8000_0000_0000_0000 | UInt64($0)) }

  init(_ source: Source) { self.source = source }

  mutating func below(_ limit: Int) -> Int { Int(source.next() % UInt64(limit)) }

  mutating func transaction() -> [JSON] { (0...below(6)).map { _ in operation() } }

  private mutating func operation() -> JSON {
    let table = ["Root", "Root", "Child", "Child", "Child", "Needy", "Single"][below(7)]
    switch below(12) {
    case 0...4:
      return [
        "op": "insert", "table": .string(table), "uuid": .string(uuid().description), "row": row(table),
      ]
    case 5, 6: return ["op": "update", "table": .string(table), "where": condition(table), "row": row(table)]
    case 7, 8:
      return [
        "op": "mutate", "table": .string(table), "where": condition(table),
        "mutations": .array((0...below(2)).map { _ in mutation(table) }),
      ]
    case 9, 10: return ["op": "delete", "table": .string(table), "where": condition(table)]
    default: return below(4) == 0 ? ["op": "abort"] : ["op": "comment", "comment": "c"]
    }
  }

  private mutating func uuid() -> UUID { uuids[below(uuids.count)] }
  private mutating func reference() -> JSON { ["uuid", .string(uuid().description)] }
  private mutating func references(_ limit: Int) -> JSON {
    ["set", different((0..<below(limit + 1)).map { _ in reference() })]
  }

  private func different(_ elements: [JSON]) -> JSON {
    var seen: Set<JSON> = []
    return .array(elements.filter { seen.insert($0).inserted })
  }

  private mutating func row(_ table: String) -> JSON {
    var row: [String: JSON] = [:]
    for _ in 0..<below(4) + 1 {
      let column = column(table)
      row[column] = value(column)
    }
    return .object(row)
  }

  private mutating func column(_ table: String) -> String {
    let columns =
      switch table {
      case "Root":
        ["name", "number", "maybe", "tags", "options", "children", "children", "named", "friends", "live"]
      case "Child": ["name", "next", "next"]
      case "Needy": ["friend"]
      default: ["value"]
      }
    return columns[below(columns.count)]
  }

  private mutating func value(_ column: String) -> JSON {
    switch column {
    case "name": .string("n\(below(8))")
    case "number", "value": .integer(Int64(below(5)))
    case "maybe": below(2) == 0 ? ["set", []] : .integer(Int64(below(3)))
    case "tags": ["set", different((0..<below(4)).map { _ in .integer(Int64(below(5))) })]
    case "options": ["map", .array((0..<below(3)).map { [.string("k\($0)"), .string("v\(below(3))")] })]
    case "live": ["map", .array((0..<below(3)).map { [.string("k\($0)"), .integer(Int64(below(3)))] })]
    case "named": ["map", .array((0..<below(3)).map { [.string("k\($0)"), reference()] })]
    case "children", "friends": references(3)
    case "next": references(1)
    default: reference()
    }
  }

  private mutating func condition(_ table: String) -> JSON {
    switch below(6) {
    case 0: return []
    case 1: return [["_uuid", "==", reference()], [.string("_uuid"), "!=", reference()]]
    case 2:
      let column = column(table)
      return [[.string(column), below(2) == 0 ? "includes" : "excludes", value(column)]]
    case 3:
      let column = column(table)
      return [[.string(column), below(2) == 0 ? "==" : "!=", value(column)]]
    default: return [["_uuid", "==", reference()]]
    }
  }

  private mutating func mutation(_ table: String) -> JSON {
    let column = column(table)
    switch column {
    case "number", "value", "maybe":
      return [.string(column), ["+=", "-=", "*="][below(3)], .integer(Int64(below(3)))]
    default: return [.string(column), below(2) == 0 ? "insert" : "delete", value(column)]
    }
  }
}
