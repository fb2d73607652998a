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

  /// Rows stay, what has no place any more goes, and what does not fit is refused with everything as it was.
  @Test func aDatabaseIsConvertedWhileItIsServed() throws {
    let directory = try TemporaryDirectory()
    let file = directory.file("db")
    let server = service.server
    try server.remove("Test")
    let old = try testSchema()
    try server.open(file: file) { () throws(StorageError) in old }
    let aware = try service.client()
    let unaware = try service.client()
    try aware.ask("set_db_change_aware", "[true]")
    try aware.ask("monitor", #"["Test","m",{"Root":[{"columns":["name"]}]}]"#)
    try aware.ask("transact", #"["Test",{"op":"insert","table":"Root","row":{"name":"a","number":7}}]"#)

    let columns =
      #"{"name":{"type":"string"},"number":{"type":{"key":{"type":"integer","maxInteger":LIMIT}}},"new":{"type":"real"}}"#
    func schema(_ name: String, _ limit: Int) -> String {
      #"{"name":"\#(name)","version":"2.0.0","tables":{"Root":{"isRoot":true,"columns":\#(columns.replacing("LIMIT", with: "\(limit)"))}}}"#
    }
    aware.events = []
    for refused in [
      "[\"Test\"]", "[\"Test\",\(schema("Other", 9))]", "[\"Test\",\(schema("Test", 6))]", #"["Test",{}]"#,
    ] {
      #expect(try aware.ask("convert", refused)["error"] != nil)
    }
    #expect(try aware.ask("convert", "[\"_Server\",\(schema("_Server", 9))]")["error"] == "not allowed")
    #expect(aware.events == [])
    #expect(try aware.ask("get_schema", #"["Test"]"#)["version"] == "1.0.0")

    #expect(try aware.ask("convert", "[\"Test\",\(schema("Test", 7))]") == [:])
    #expect(aware.events.contains(.notification("monitor_canceled", ["m"])))
    #expect(unaware.isHungUp())
    #expect(try aware.ask("get_schema", #"["Test"]"#)["version"] == "2.0.0")
    let select = #"["Test",{"op":"select","table":"Root","where":[],"columns":["name","number","new"]}]"#
    let rows: JSON = [["rows": [["name": "a", "number": 7, "new": 0]]]]
    #expect(try aware.ask("transact", select) == rows)
    try aware.ask("transact", #"["Test",{"op":"insert","table":"Root","row":{"name":"b","number":7}}]"#)
    service.server.close()
    let again = try Storage.open(file) { () throws(StorageError) in throw StorageError("it exists") }
    #expect(again.schema.version == "2.0.0")
    #expect(again.rowCount == 2)
  }
}
