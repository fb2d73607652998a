import Glibc
import JSONRPC
import Linux
import Testing

@testable import OVSDB

/// A server and clients of it on one loop.
final class Service {
  let loop: EventLoop
  let server: DatabaseServer
  let database: Database

  init() throws {
    loop = try EventLoop()
    server = DatabaseServer(loop)
    database = Database(schema: try testSchema())
    try server.add(database)
  }

  func client() throws -> TestClient { TestClient(try server.connect(), loop) }
}

/// A client that remembers, in order, what it was told.
final class TestClient {
  enum Event: Equatable {
    case reply(JSON)
    case failure(JSON)
    case notification(String, [JSON])
  }

  let connection: Connection
  private let loop: EventLoop
  var events: [Event] = []
  var closed: String?

  init(_ connection: Connection, _ loop: EventLoop) {
    self.connection = connection
    self.loop = loop
    connection.onNotification = { [unowned self] in events.append(.notification($0, $1)) }
    connection.onClose = { [unowned self] in closed = $0 }
  }

  /// Sends a request without waiting.
  func send(_ method: String, _ params: String) throws {
    connection.request(method, try #require(try JSON(parsing: params).array)) { [unowned self] result in
      switch result {
      case .success(let value): events.append(.reply(value))
      case .failure(.refused(let error)): events.append(.failure(error))
      case .failure(.closed): break
      }
    }
  }

  /// Sends a request and gives what came up to and including its reply.
  @discardableResult
  func ask(_ method: String, _ params: String) throws -> JSON {
    try send(method, params)
    return try nextReply()
  }

  func nextReply() throws -> JSON {
    var answer: JSON?
    func find() -> Bool {
      for (index, event) in events.enumerated() {
        switch event {
        case .reply(let value), .failure(let value):
          answer = value
          events.remove(at: index)
          return true
        case .notification: continue
        }
      }
      return false
    }
    #expect(loop.run(atMost: 10_000, until: find))
    return try #require(answer)
  }

  /// Whether the server hangs up.
  func isHungUp() -> Bool { loop.run(atMost: 10_000) { closed != nil } }

  /// The next notification's method and parameters.
  func nextNotification() throws -> (String, JSON) {
    var found: (String, JSON)?
    let done = loop.run(atMost: 10_000) {
      guard case .notification(let method, let params)? = events.first else { return false }
      found = (method, .array(params))
      events.removeFirst()
      return true
    }
    #expect(done)
    return try #require(found)
  }
}

@Suite struct DatabaseServerTests {
  let service: Service
  let client: TestClient

  init() throws {
    service = try Service()
    client = try service.client()
  }

  @Test func answersTheSimpleMethods() throws {
    #expect(try client.ask("list_dbs", "[]") == ["Test", "_Server"])
    #expect(try client.ask("get_schema", #"["Test"]"#) == testSchema().json)
    #expect(try client.ask("get_schema", #"["Test","surplus"]"#)["name"] == "Test")
    #expect(try client.ask("get_schema", #"["Nope"]"#)["error"] == "unknown database")
    #expect(try client.ask("no_such_method", "[]") == "unknown method")
    #expect(try client.ask("echo", #"[1,"x"]"#) == [1, "x"])
    #expect(try client.ask("set_db_change_aware", "[true]") == [:])
    #expect(UUID(try #require(try client.ask("get_server_id", "[]").string)) != nil)
    #expect(try client.ask("transact", "[]")["error"] == "syntax error")
    #expect(try client.ask("transact", #"["Test"]"#) == [])
  }

  @Test func theCatalogDescribesEveryDatabase() throws {
    let reply = try client.ask(
      "transact", #"["_Server",{"op":"select","table":"Database","where":[["name","==","Test"]]}]"#)
    let row = try #require(reply[0]?["rows"]?[0])
    #expect(row["model"] == "standalone")
    #expect(row["connected"] == true)
    #expect(row["leader"] == true)
    #expect(try JSON(parsing: try #require(row["schema"]?.string)) == testSchema().json)
    #expect(
      try client.ask("transact", #"["_Server",{"op":"delete","table":"Database","where":[]}]"#)[0]?["error"]
        == "not allowed")
  }

  @Test func updatesComeBeforeTheReplyToTheRequestThatMadeThem() throws {
    #expect(try client.ask("monitor", #"["Test",{"my":"id"},{"Root":{"columns":["name","number"]}}]"#) == [:])
    let uuid = try #require(
      try client.ask("transact", #"["Test",{"op":"insert","table":"Root","row":{"name":"a"}}]"#)[0]?["uuid"]?[
        1]?.string)
    #expect(
      client.events == [
        .notification(
          "update", [["my": "id"], ["Root": .object([uuid: ["new": ["name": "a", "number": 0]]])]])
      ])
    client.events = []
    try client.ask(
      "transact", #"["Test",{"op":"update","table":"Root","where":[],"row":{"number":5,"flag":true}}]"#)
    #expect(
      client.events == [
        .notification(
          "update",
          [
            ["my": "id"],
            ["Root": .object([uuid: ["old": ["number": 0], "new": ["name": "a", "number": 5]]])],
          ])
      ])
    client.events = []
    try client.ask("transact", #"["Test",{"op":"update","table":"Root","where":[],"row":{"flag":false}}]"#)
    #expect(client.events == [])
    try client.ask("transact", #"["Test",{"op":"delete","table":"Root","where":[]}]"#)
    #expect(
      client.events == [
        .notification(
          "update", [["my": "id"], ["Root": .object([uuid: ["old": ["name": "a", "number": 5]]])]])
      ])
    client.events = []
    #expect(try client.ask("monitor_cancel", #"[{"my":"id"}]"#) == [:])
    try client.ask("transact", #"["Test",{"op":"insert","table":"Root","row":{"name":"b"}}]"#)
    #expect(client.events == [])
    #expect(try client.ask("monitor_cancel", #"[{"my":"id"}]"#)["error"] == "unknown monitor")
  }

  @Test func update2SendsDifferencesAndFollowsConditions() throws {
    let request =
      #"["Test",null,{"Root":[{"columns":["name","number","tags","options"],"where":[["number","<",10]]}]}]"#
    #expect(try client.ask("monitor_cond", request) == [:])
    let uuid = try #require(
      try client.ask(
        "transact",
        #"["Test",{"op":"insert","table":"Root","row":{"name":"a","tags":["set",[1,2]],"options":["map",[["k","v"],["l","w"]]]}}]"#
      )[0]?["uuid"]?[1]?.string)
    func expect(_ text: String) throws {
      let row = try JSON(parsing: text)
      #expect(client.events == [.notification("update2", [nil, ["Root": .object([uuid: row])]])])
      client.events = []
    }
    func update(_ row: String) throws {
      try client.ask(
        "transact", "[\"Test\",{\"op\":\"update\",\"table\":\"Root\",\"where\":[],\"row\":\(row)}]")
    }
    try expect(#"{"insert":{"name":"a","tags":["set",[1,2]],"options":["map",[["k","v"],["l","w"]]]}}"#)
    try update(#"{"number":3,"tags":["set",[2,3]],"options":["map",[["k","x"],["m","y"]]]}"#)
    try expect(
      #"{"modify":{"number":3,"tags":["set",[1,3]],"options":["map",[["k","x"],["l","w"],["m","y"]]]}}"#)
    try update(#"{"number":50}"#)
    try expect(#"{"delete":null}"#)
    try update(#"{"number":9}"#)
    try expect(
      #"{"insert":{"name":"a","number":9,"tags":["set",[2,3]],"options":["map",[["k","x"],["m","y"]]]}}"#)
  }

  @Test func monitorCondSinceBeginsAnewAndNumbersTransactions() throws {
    try client.ask("transact", #"["Test",{"op":"insert","table":"Single","row":{"value":4}}]"#)
    let reply = try client.ask(
      "monitor_cond_since",
      #"["Test","m",{"Single":[{"columns":["value"]}]},"00000000-0000-0000-0000-000000000000"]"#)
    #expect(reply[0] == false)
    #expect(UUID(try #require(reply[1]?.string)) != nil)
    #expect(reply[2]?["Single"]?.object?.values.first == ["initial": ["value": 4]])
    try client.ask("transact", #"["Test",{"op":"update","table":"Single","where":[],"row":{"value":5}}]"#)
    let (method, params) = try client.nextNotification()
    #expect(method == "update3")
    #expect(params[0] == "m")
    #expect(params[1] != reply[1])
    #expect(params[2]?["Single"]?.object?.values.first == ["modify": ["value": 5]])
  }

  @Test func selectionsAreKept() throws {
    try client.ask("transact", #"["Test",{"op":"insert","table":"Single","row":{"value":1}}]"#)
    let reply = try client.ask(
      "monitor", #"["Test",1,{"Single":{"columns":["value"],"select":{"initial":false,"modify":false}}}]"#)
    #expect(reply == [:])
    try client.ask("transact", #"["Test",{"op":"update","table":"Single","where":[],"row":{"value":2}}]"#)
    #expect(client.events == [])
    try client.ask("transact", #"["Test",{"op":"delete","table":"Single","where":[]}]"#)
    #expect(client.events.count == 1)
  }

  @Test(arguments: [
    ("monitor", #"["Test",1]"#), ("monitor", #"["Test",1,[]]"#), ("monitor", #"["Test",1,{"Nope":{}}]"#),
    ("monitor", #"["Test",1,{"Root":{"columns":["nope"]}}]"#),
    ("monitor", #"["Test",1,{"Root":{"columns":"name"}}]"#),
    ("monitor", #"["Test",1,{"Root":{"columns":["name","name"]}}]"#),
    ("monitor", #"["Test",1,{"Root":{"select":{"x":true}}}]"#),
    ("monitor", #"["Nope",1,{}]"#), ("monitor_cond", #"["Test",1,{"Root":{"where":[["nope","==",1]]}}]"#),
    ("monitor_cond_since", #"["Test",1,{},"x"]"#), ("monitor_cancel", "[7]"), ("monitor_cancel", "[]"),
    ("lock", "[]"),
    ("lock", "[1]"), ("unlock", #"["x"]"#), ("set_db_change_aware", "[]"),
  ])
  func badRequestsAreExplained(method: String, params: String) throws {
    let error = try client.ask(method, params)
    #expect(error["error"]?.string?.isEmpty == false)
    #expect(error["details"]?.string?.isEmpty == false)
    #expect(try client.ask("echo", "[]") == [])
  }

  @Test func aTransactionWaitsForAnotherClient() throws {
    let other = try service.client()
    try client.send(
      "transact",
      #"["Test",{"op":"wait","table":"Single","where":[],"columns":["value"],"until":"==","rows":[{"value":7}]},{"op":"comment","comment":"there"}]"#
    )
    try other.ask("transact", #"["Test",{"op":"insert","table":"Single","row":{"value":6}}]"#)
    #expect(client.events == [])
    try other.ask("transact", #"["Test",{"op":"update","table":"Single","where":[],"row":{"value":7}}]"#)
    #expect(try client.nextReply() == [[:], [:]])
  }

  @Test func aWaitTimesOutOrIsCanceled() throws {
    let wait =
      #"{"op":"wait","timeout":30,"table":"Single","where":[],"columns":["value"],"until":"!=","rows":[]}"#
    let reply = try client.ask("transact", "[\"Test\",\(wait),{\"op\":\"abort\"}]")
    #expect(reply[0]?["error"] == "timed out")
    #expect(reply[1] == .null)
    let id = client.connection.request(
      "transact", ["Test", try JSON(parsing: wait.replacing("30", with: "3000000"))]
    ) { [client] in if case .failure(.refused(let error)) = $0 { client.events.append(.failure(error)) } }
    client.connection.notify("cancel", [id])
    #expect(try client.nextReply() == "canceled")
  }

  @Test func locksAreQueuedStolenAndAsserted() throws {
    let other = try service.client()
    #expect(try client.ask("lock", #"["L"]"#) == ["locked": true])
    #expect(try other.ask("lock", #"["L"]"#) == ["locked": false])
    #expect(try client.ask("lock", #"["L"]"#)["error"] != nil)
    let assert = #"["Test",{"op":"assert","lock":"L"}]"#
    #expect(try client.ask("transact", assert) == [[:]])
    #expect(try other.ask("transact", assert)[0]?["error"] == "not owner")
    #expect(try client.ask("unlock", #"["L"]"#) == [:])
    #expect(try other.nextNotification() == ("locked", ["L"]))
    #expect(try other.ask("transact", assert) == [[:]])
    #expect(try client.ask("steal", #"["L"]"#) == ["locked": true])
    #expect(try other.nextNotification() == ("stolen", ["L"]))
    #expect(try other.ask("transact", assert)[0]?["error"] == "not owner")
    client.connection.close()
    #expect(try other.nextNotification() == ("locked", ["L"]))
  }

  @Test func aSessionThatEndsTakesItsStateAlong() throws {
    try client.ask("monitor", #"["Test",1,{"Single":{}}]"#)
    try client.send(
      "transact",
      #"["Test",{"op":"wait","table":"Single","where":[],"columns":["value"],"until":"!=","rows":[]}]"#)
    try client.ask("echo", "[]")
    #expect(service.database.plans.count == 1)
    client.connection.close()
    #expect(service.loop.run(atMost: 10_000) { service.database.plans.isEmpty })
    let other = try service.client()
    #expect(
      try other.ask("transact", #"["Test",{"op":"insert","table":"Single","row":{}}]"#)[0]?["uuid"] != nil)
  }

  @Test func equalMonitorsShareAPlan() throws {
    let clients = try (0..<5).map { _ in try service.client() }
    for client in clients { try client.ask("monitor", #"["Test",1,{"Single":{"columns":["value"]}}]"#) }
    #expect(service.database.plans.count == 1)
    try client.ask("transact", #"["Test",{"op":"insert","table":"Single","row":{"value":3}}]"#)
    for client in clients { #expect(try client.nextNotification().0 == "update") }
  }

  @Test func aClientThatDoesNotReadIsClosedAndTheOthersGoOn() throws {
    let lazy = try UnixSocket.connect(try listen())
    let request = Array(
      #"{"method":"monitor","params":["Test",1,{"Root":{"columns":["short","options"]}}],"id":1}"#.utf8)
    #expect(write(lazy.raw, request, request.count) == request.count)
    #expect(service.loop.run(atMost: 10_000) { !service.database.plans.isEmpty })
    let filler = String(repeating: "x", count: 1 << 20)
    try client.ask("transact", #"["Test",{"op":"insert","table":"Root","row":{}}]"#)
    for round in 0..<100 where !service.database.plans.isEmpty {
      try client.ask(
        "transact",
        "[\"Test\",{\"op\":\"update\",\"table\":\"Root\",\"where\":[],\"row\":{\"options\":[\"map\",[[\"k\",\"\(round)\(filler)\"]]]}}]"
      )
    }
    #expect(service.database.plans.isEmpty)
    #expect(try client.ask("echo", "[]") == [])
    service.server.close()
  }

  private func listen() throws -> String {
    let path = "/tmp/ovsdb-server-test.\(getpid()).\(UInt32.random(in: 0 ... .max)).sock"
    try service.server.listen(on: .listenUnix(path: path))
    return path
  }
}
