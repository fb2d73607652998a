import Seeded
import Glibc
import JSONRPC
import Linux
import Testing

@testable import OVSDB

@Suite struct PropertyTests {
  /// Random transactions do what the model does, failed ones nothing; the reference counts and indexes kept along the way
  /// equal those counted afresh.
  @Test(arguments: 0..<6)
  func transactionsAgreeWithTheModel(seed: UInt64) throws {
    let database = Database(schema: try testSchema())
    var model = Model(database.schema)
    var generator = OperationGenerator(SeededRandom(seed: seed))
    var succeeded = 0
    for number in 0..<400 {
      let operations = generator.transaction()
      let results = try database.transact(operations)
      let didSucceed = results.count == operations.count && results.allSatisfy { $0["error"] == nil }
      let shouldSucceed = model.transact(operations)
      #expect(
        didSucceed == shouldSucceed,
        "seed \(seed), \(number): \(JSON.array(operations)) gave \(JSON.array(results))")
      #expect(database.contents == model.tables, "seed \(seed), \(number): \(JSON.array(operations))")
      try #require(database.contents == model.tables)
      if didSucceed { succeeded += 1 }
    }
    #expect(succeeded > 50, "the generator makes transactions that succeed")
    database.expectConsistentBookkeeping()
  }

  /// Monitors of every kind rebuild the tables they follow, and the log the whole database.
  @Test(arguments: 10..<12)
  func monitorsAndTheLogRebuildTheDatabase(seed: UInt64) throws {
    let directory = try TemporaryDirectory()
    let loop = try EventLoop()
    let server = DatabaseServer(loop)
    let create = { () throws(StorageError) -> DatabaseSchema in
      do { return try testSchema() } catch { throw StorageError("\(error)") }
    }
    let database = try server.open(file: directory.file("db"), creating: create)
    database.storage?.policy = .init(records: 30, bytes: 10_000)
    let writer = TestClient(try server.connect(), loop)
    let followers = try Follower.Kind.allCases.map {
      Follower($0, TestClient(try server.connect(), loop), database.schema)
    }
    var generator = OperationGenerator(SeededRandom(seed: seed))
    for number in 0..<160 {
      if number == 20 || number == 100 { for follower in followers { try follower.follow() } }
      try writer.ask("transact", JSON.array([.string("Test")] + generator.transaction()).text)
      guard number >= 20 else { continue }
      for follower in followers { try follower.expectEqual(to: database, "seed \(seed), \(number)") }
    }
    let before = database.contents.mapValues { $0.mapValues { $0.filter { $0.key != "live" } } }
    server.close()
    let again = try Storage.open(directory.file("db"), creating: create)
    #expect(again.contents.mapValues { $0.mapValues { $0.filter { $0.key != "live" } } } == before)
    again.expectConsistentBookkeeping()
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

/// Keeps its own copy of the database by what a monitor tells it.
private final class Follower {
  enum Kind: CaseIterable { case update, update2, update3, conditional }

  let kind: Kind
  let client: TestClient
  let schema: DatabaseSchema
  var rows: [String: [UUID: [String: Datum]]] = [:]
  private var round = 0

  init(_ kind: Kind, _ client: TestClient, _ schema: DatabaseSchema) {
    self.kind = kind
    self.client = client
    self.schema = schema
  }

  /// Begins to follow, or begins anew.
  func follow() throws {
    if round > 0 { try client.ask("monitor_cancel", "[\(round)]") }
    round += 1
    client.events = []
    rows = [String: [UUID: [String: Datum]]](uniqueKeysWithValues: schema.tables.map { ($0.name, [:]) })
    let requests = JSON.object(
      [String: JSON](
        uniqueKeysWithValues: schema.tables.map { table in
          var request: [String: JSON] = ["columns": .array(table.columns.map { .string($0.name) })]
          if kind == .conditional, table.name == "Root" { request["where"] = [["number", "<", 3]] }
          return (table.name, [.object(request)])
        }))
    switch kind {
    case .update: try apply(try client.ask("monitor", "[\"Test\",\(round),\(requests)]"))
    case .update2, .conditional: try apply(try client.ask("monitor_cond", "[\"Test\",\(round),\(requests)]"))
    case .update3:
      let reply = try client.ask("monitor_cond_since", "[\"Test\",\(round),\(requests),\"\(UUID.zero)\"]")
      try apply(try #require(reply[2]))
    }
  }

  func expectEqual(to database: Database, _ context: String) throws {
    try client.ask("echo", "[]")  // what was sent before has arrived then
    for case .notification(_, let params) in client.events { try apply(try #require(params.last)) }
    client.events = []
    var wanted = database.contents
    if kind == .conditional {
      wanted["Root"] = wanted["Root"]?.filter { ($0.value["number"]?.integer ?? 0) < 3 }
    }
    #expect(rows == wanted, "\(kind), \(context)")
  }

  private func apply(_ updates: JSON) throws {
    for (name, changes) in try #require(updates.object) {
      let table = try #require(schema[table: name])
      for (text, change) in try #require(changes.object) {
        let uuid = try #require(UUID(text))
        kind == .update ? try apply(change, uuid, table) : try apply2(change, uuid, table)
      }
    }
  }

  private func columns(_ json: JSON, _ table: TableSchema) throws -> [String: Datum] {
    var result: [String: Datum] = [:]
    for (name, value) in json.object ?? [:] {
      result[name] = try Datum(value, try #require(table[column: name]).type.anyCount)
    }
    return result
  }

  private func apply(_ change: JSON, _ uuid: UUID, _ table: TableSchema) throws {
    if let old = change["old"] {
      for (name, value) in try columns(old, table) { #expect(rows[table.name]?[uuid]?[name] == value) }
    }
    rows[table.name]![uuid] = try change["new"].map { try columns($0, table) }
  }

  private func apply2(_ change: JSON, _ uuid: UUID, _ table: TableSchema) throws {
    let (kind, value) = try #require(change.object?.first)
    switch kind {
    case "initial", "insert":
      #expect(rows[table.name]![uuid] == nil)
      let defaults = [String: Datum](
        uniqueKeysWithValues: table.columns.map { ($0.name, $0.type.defaultDatum) })
      rows[table.name]![uuid] = defaults.merging(try columns(value, table)) { $1 }
    case "delete": #expect(rows[table.name]!.removeValue(forKey: uuid) != nil)
    default:
      for (name, difference) in try columns(value, table) {
        let old = try #require(rows[table.name]?[uuid]?[name])
        rows[table.name]![uuid]![name] =
          table[column: name]!.type.isPlural ? old.applying(difference) : difference
      }
    }
  }
}
