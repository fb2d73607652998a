import Seeded
import JSONRPC
import Testing

@testable import OVSDB

/// Transactions and records that are almost right: seeds with random edits, at the level of JSON values so that most
/// still parse. The fuzz targets database-session and database-file do the same to bytes.
@Suite struct MutationTests {
  private static let transaction = """
    [{"op":"insert","table":"Root","uuid-name":"r","row":{"name":"a","children":["named-uuid","c"],"tags":["set",[2,1]],"options":["map",[["k","v"]]]}},
    {"op":"insert","table":"Child","uuid-name":"c","row":{}},
    {"op":"mutate","table":"Root","where":[["tags","includes",1]],"mutations":[["number","+=",5],["tags","delete",["set",[1]]]]},
    {"op":"select","table":"Root","where":[["number","<=",9]],"columns":["_uuid","name"]},
    {"op":"wait","timeout":0,"table":"Root","where":[],"columns":["name"],"until":"==","rows":[{"name":"a"}]},
    {"op":"comment","comment":"x"},
    {"op":"commit","durable":true},
    {"op":"assert","lock":"l"},
    {"op":"update","table":"Single","where":[true],"row":{"value":3}},
    {"op":"delete","table":"Root","where":[]},
    {"op":"abort"}]
    """

  @Test(arguments: 0..<4)
  func brokenTransactionsLeaveNoTrace(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let database = Database(schema: try testSchema())
    let operations = try JSON(parsing: Self.transaction)
    for _ in 0..<300 {
      guard case .array(let mutated) = operations.mutated(&random, operations.parts()) else { continue }
      let before = database.contents
      guard case .finished(_, .some) = Execution(database, mutated).attempt() else {
        #expect(database.contents == before, "\(JSON.array(mutated))")
        continue
      }
    }
    database.expectConsistentBookkeeping()
  }

  private static let record = """
    {"_date":1,"_is_diff":true,"_comment":"c","Root":{"11111111-2222-3333-4444-555555555555":{"name":"a","tags":["set",[1,2]],"options":["map",[["k","v"]]],
    "children":["uuid","11111111-2222-3333-4444-555555555556"]}},
    "Child":{"11111111-2222-3333-4444-555555555556":{"name":"c"},"11111111-2222-3333-4444-555555555557":null}}
    """

  @Test(arguments: 0..<4)
  func brokenRecordsAreAppliedOrRefused(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let record = try JSON(parsing: Self.record)
    let parts = record.parts()
    var refused = 0
    for _ in 0..<300 {
      let database = Database(schema: try testSchema())
      do { try LogRecord.apply(record.mutated(&random, parts), to: database) } catch { refused += 1 }
      database.rebuild()
    }
    #expect((1..<300).contains(refused))
  }

  @Test(arguments: 0..<4)
  func brokenSchemasAreReadOrRefused(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let schema = try JSON(parsing: testSchemaText)
    let parts = schema.parts()
    var refused = 0
    for _ in 0..<300 {
      do {
        let read = try DatabaseSchema(schema.mutated(&random, parts))
        #expect(try DatabaseSchema(read.json) == read)
        _ = Database(schema: read)
      } catch { refused += 1 }
    }
    #expect((1..<300).contains(refused))
  }
}

extension JSON {
  /// Every value inside, itself included.
  fileprivate func parts() -> [JSON] {
    switch self {
    case .array(let elements): [self] + elements.flatMap { $0.parts() }
    case .object(let members):
      [self] + members.sorted { $0.key < $1.key }.flatMap { [.string($0.key)] + $0.value.parts() }
    default: [self]
    }
  }

  /// A copy in which, here and there, a value is another's, is gone, or is twice there.
  fileprivate func mutated(_ random: inout SeededRandom, _ parts: [JSON]) -> JSON {
    switch random.below(60) {
    case 0: return parts[random.below(parts.count)]
    case 1: return [nil, -1, .integer(.max), .integer(.min), 1.5, "", [], [:], true][random.below(9)]
    default: break
    }
    switch self {
    case .array(let elements):
      var result: [JSON] = []
      for element in elements {
        let action = random.below(60)
        if action != 0 { result.append(element.mutated(&random, parts)) }
        if action == 1 { result.append(element) }
      }
      return .array(result)
    case .object(let members):
      var result: [String: JSON] = [:]
      for (key, value) in members.sorted(by: { $0.key < $1.key }) where random.below(60) != 0 {
        result[key] = value.mutated(&random, parts)
      }
      return .object(result)
    default: return self
    }
  }
}
