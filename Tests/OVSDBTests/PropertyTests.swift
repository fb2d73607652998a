import Glibc
import JSONRPC
import Linux
import Seeded
import Testing

@testable import OVSDB

@Suite struct PropertyTests {
  /// Random transactions on random schemas do what the model does, failed ones nothing; the reference counts and indexes
  /// kept along the way equal those counted afresh.
  @Test(arguments: UInt64(0)..<12)
  func transactionsAgreeWithTheModel(seed: UInt64) throws {
    var random = RandomSchema(seed: seed)
    let database = Database(schema: try random.schema())
    var model = Model(database.schema)
    var generator = RandomOperations(seed: seed, database.schema)
    var succeeded = 0
    for number in 0..<300 {
      let operations = generator.transaction()
      let results = try database.transact(operations)
      let didSucceed = results.count == operations.count && results.allSatisfy { $0["error"] == nil }
      let shouldSucceed = model.transact(operations)
      let context = "seed \(seed), \(number): \(JSON.array(operations)) gave \(JSON.array(results))"
      try #require(didSucceed == shouldSucceed, "\(context)")
      try #require(database.contents == model.tables, "\(context)")
      if didSucceed { succeeded += 1 }
    }
    #expect(succeeded > 10, "the generator makes transactions that succeed")
    database.expectConsistentBookkeeping()
  }

  /// Monitors of every kind rebuild exactly what they follow, also after their conditions changed and connections were
  /// lost; and the log rebuilds the whole database.
  @Test(arguments: UInt64(20)..<26)
  func monitorsAndTheLogRebuildTheDatabase(seed: UInt64) throws {
    let directory = try TemporaryDirectory()
    let loop = try EventLoop()
    let server = DatabaseServer(loop)
    var random = RandomSchema(seed: seed)
    let schema = try random.schema()
    let database = try server.open(file: directory.file("db")) { () throws(StorageError) in schema }
    database.storage?.policy = .init(records: 30, bytes: 10_000)
    let writer = TestClient(try server.connect(), loop)
    let followers = try Follower.Kind.allCases.map { kind in
      try Follower(kind, schema) { TestClient(try server.connect(), loop) }
    }
    var generator = RandomOperations(seed: seed, schema)
    var dice = SeededRandom(seed: seed)
    func write() throws {
      try writer.ask("transact", JSON.array([.string("Test")] + generator.transaction()).text)
    }
    for number in 0..<200 {
      try write()
      for follower in followers {
        if number % 50 == 10 {
          let (columns, conditions) = part(schema, &dice, &generator)
          try follower.follow(columns, conditions)
        }
        guard number > 10 else { continue }
        switch dice.below(12) {
        case 0: try follower.reconnect { for _ in 0..<dice.below(4) { try write() } }
        case 1:
          let table = schema.tables[dice.below(schema.tables.count)]
          try follower.change(table.name, to: validClauses(generator.condition(table), table))
        default: break
        }
      }
      guard number > 10 else { continue }
      for follower in followers { try follower.expectEqual(to: database.contents, "seed \(seed), \(number)") }
    }
    #expect(followers[2].continued > 3)
    let before = durable(database)
    server.close()
    let again = try Storage.open(directory.file("db")) { () throws(StorageError) in schema }
    #expect(durable(again) == before)
    again.expectConsistentBookkeeping()
  }

  /// Some columns of some tables, of some only rows that meet one of some conditions.
  private func part(
    _ schema: DatabaseSchema, _ dice: inout SeededRandom, _ generator: inout RandomOperations
  ) -> (columns: [String: [String]], conditions: [String: [JSON]]) {
    var columns: [String: [String]] = [:]
    var conditions: [String: [JSON]] = [:]
    for table in schema.tables where dice.below(4) > 0 {
      columns[table.name] = table.columns.map(\.name).filter { _ in dice.below(3) > 0 }
      if dice.below(2) == 0 { conditions[table.name] = validClauses(generator.condition(table), table) }
    }
    return (columns, conditions)
  }

  private func validClauses(_ condition: JSON, _ table: TableSchema) -> [JSON] {
    (condition.array ?? []).filter { (try? Condition([$0], table)) != nil }
  }

  /// What is on disk.
  private func durable(_ database: Database) -> [String: [UUID: [String: Datum]]] {
    var contents = database.contents
    for table in database.schema.tables {
      let ephemeral = Set(table.columns.filter(\.isEphemeral).map(\.name))
      contents[table.name] = contents[table.name]?.mapValues { $0.filter { !ephemeral.contains($0.key) } }
    }
    return contents
  }
}

extension Database {
  /// Counts and indexes equal those made anew from the rows.
  func expectConsistentBookkeeping() {
    let kept = tables.map { ($0.strongReferences, $0.weakReferrers, $0.indexes) }
    rebuild()
    for (table, (strong, weak, indexes)) in zip(tables, kept) {
      #expect(table.strongReferences == strong)
      #expect(table.weakReferrers == weak)
      #expect(table.indexes == indexes)
    }
  }
}
