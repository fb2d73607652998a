import JSONRPC
import Linux
import OVSDBTesting
import Testing

@testable import OVSDB

/// The same transactions on Open vSwitch's server and on ours: the same results, the same errors by name, the same rows.
@Suite(.enabled(if: ReferenceServer.isInstalled, Comment(rawValue: ReferenceServer.reason)))
struct DifferentialTests {
  @Test(arguments: UInt64(0)..<12)
  func `Random transactions on random schemas do what they do elsewhere`(seed: UInt64) throws {
    var random = RandomSchema(seed: seed)
    let schema = try random.schema()
    let loop = try EventLoop()
    let reference = try ReferenceServer(schema: schema.json.text)
    let theirs = TestClient(try Connection.connect(to: reference.remote, loop), loop)
    let server = DatabaseServer(loop)
    try server.add(Database(schema: schema))
    let ours = TestClient(try server.connect(), loop)
    var operations = RandomOperations(seed: seed &+ 1000, schema)
    var committed = 0
    var misnamed = 0
    for number in 0..<250 {
      let transaction = operations.transaction()
      let request = JSON.array(["Test"] + transaction).text
      let (expected, found) = (try theirs.ask("transact", request), try ours.ask("transact", request))
      let context = "seed \(seed), \(number): \(request)\ntheirs: \(expected)\nours: \(found)\n\(schema.json)"
      if comparable(found) != comparable(expected) {
        // Of two mistakes in one operation it is chance which one is found first.
        try #require(comparable(found, named: false) == comparable(expected, named: false), "\(context)")
        misnamed += 1
      }
      if expected.array?.allSatisfy({ $0["error"] == nil }) == true { committed += 1 }
      let everything = everything(schema)
      let (theirRows, ourRows) = (
        try theirs.ask("transact", everything), try ours.ask("transact", everything)
      )
      try #require(
        comparable(ourRows) == comparable(theirRows), "\(context)\ntheirs: \(theirRows)\nours: \(ourRows)")
    }
    #expect(committed > 10, "transactions succeed")
    #expect(misnamed < 10, "errors have the same names: \(misnamed)")
  }

  /// Results without what may differ: the words of errors, and the order of rows.
  private func comparable(_ reply: JSON, named: Bool = true) -> JSON {
    guard let results = reply.array else { return reply["error"].map { ["error": $0] } ?? reply }
    return .array(
      results.map { result in
        if let error = result["error"] { return ["error": named || !isMistake(error) ? error : "mistake"] }
        if let rows = result["rows"]?.array { return .array(rows.map(rounded).sorted { $0.text < $1.text }) }
        return result
      })
  }

  /// Reals to the 12 digits that both write.
  private func rounded(_ json: JSON) -> JSON {
    switch json {
    case .real(let value): .real((value * 1e12).rounded() / 1e12)
    case .array(let elements): .array(elements.map(rounded))
    case .object(let members): .object(members.mapValues(rounded))
    default: json
    }
  }

  private func isMistake(_ error: JSON) -> Bool {
    ["syntax error", "constraint violation", "ovsdb error", "domain error", "range error"]
      .contains(error.string ?? "")
  }

  private func everything(_ schema: DatabaseSchema) -> String {
    let selects = schema.tables.map { table -> JSON in
      let columns = ["_uuid"] + table.columns.map(\.name)
      return [
        "op": "select", "table": .string(table.name), "where": [],
        "columns": .array(columns.map(JSON.string)),
      ]
    }
    return JSON.array(["Test"] + selects).text
  }
}
