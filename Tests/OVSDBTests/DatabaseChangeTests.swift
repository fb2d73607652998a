import JSONRPC
import Testing

@testable import OVSDB

@Suite struct DatabaseChangeTests {
  let service: Service

  init() throws { service = try Service() }

  /// Who said so is told that a database came or went; others are disconnected.
  @Test func databasesComeAndGo() throws {
    let aware = try service.client()
    let unaware = try service.client()
    try aware.ask("set_db_change_aware", "[true]")
    try aware.ask("monitor_cond", #"["_Server","s",{"Database":[{"columns":["name"]}]}]"#)
    let extra = Database(
      schema: try DatabaseSchema(
        JSON(
          parsing: #"{"name":"Extra","version":"1.0.0","tables":{"T":{"columns":{"n":{"type":"integer"}}}}}"#)
      ))
    try service.server.add(extra)
    #expect(throws: StorageError.self) { try service.server.add(extra) }
    let (_, params) = try aware.nextNotification()
    #expect(params[1]?["Database"]?.object?.values.map { $0["insert"]?["name"] } == ["Extra"])
    #expect(unaware.isHungUp())

    #expect(try aware.ask("list_dbs", "[]") == ["Extra", "Test", "_Server"])
    try aware.ask("monitor", #"["Extra","e",{"T":[{}]}]"#)
    try aware.send(
      "transact",
      #"["Extra",{"op":"wait","table":"T","where":[],"columns":["n"],"until":"==","rows":[{"n":1}]}]"#)
    try aware.ask("echo", "[]")
    try service.server.remove("Extra")
    #expect(throws: StorageError.self) { try service.server.remove("Extra") }
    #expect(throws: StorageError.self) { try service.server.remove("_Server") }
    aware.events = []
    #expect(try aware.nextReply() == "canceled")
    try aware.ask("echo", "[]")
    #expect(aware.events.contains(.notification("monitor_canceled", ["e"])))
    #expect(
      aware.events.contains {
        if case .notification("update2", let params) = $0 {
          params[1]["Database"]?.object?.values.map { $0["delete"] } == [JSON.null]
        } else {
          false
        }
      })
    #expect(try aware.ask("get_schema", #"["Extra"]"#)["error"] == "unknown database")
  }
}
