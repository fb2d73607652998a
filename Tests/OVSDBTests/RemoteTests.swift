import Glibc
import JSONRPC
import Linux
import Testing

@testable import OVSDB

/// A schema whose columns name remotes, in both ways, and whose other tables say nothing about them.
private let remoteSchema = """
  {"name": "Config", "version": "1.0.0", "tables": {
    "Global": {"isRoot": true, "columns": {
      "number": {"type": "integer"},
      "addresses": {"type": {"key": "string", "min": 0, "max": "unlimited"}},
      "managers": {"type": {"key": {"type": "uuid", "refTable": "Manager"}, "min": 0, "max": "unlimited"}}}},
    "Manager": {"columns": {
      "target": {"type": "string"},
      "inactivity_probe": {"type": {"key": "integer", "min": 0, "max": 1}},
      "max_backoff": {"type": {"key": "integer", "min": 0, "max": 1}},
      "read_only": {"type": "boolean"},
      "other_config": {"type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}},
      "is_connected": {"type": "boolean", "ephemeral": true},
      "status": {"type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}, "ephemeral": true}}},
    "SSL": {"isRoot": true, "columns": {
      "private_key": {"type": "string"}, "ca_cert": {"type": "string"},
      "bootstrap_ca_cert": {"type": "boolean"}}}}}
  """

/// A server whose remotes its database names.
private final class ManagedService {
  let loop: EventLoop
  let server: DatabaseServer
  let database: Database
  let directory: TemporaryDirectory

  init() throws {
    loop = try EventLoop()
    directory = try TemporaryDirectory()
    server = DatabaseServer(loop)
    database = Database(schema: try DatabaseSchema(JSON(parsing: remoteSchema)))
    try server.add(database)
  }

  deinit { server.close() }

  func add(_ source: String) throws { try server.add(RemoteSource(source)) }

  /// Runs operations as a client of this process would, and lets what follows happen.
  func transact(_ operations: String) throws {
    let client = TestClient(try server.connect(), loop)
    let reply = try client.ask("transact", "[\"Config\",\(operations)]")
    for result in reply.array ?? [] { #expect(result["error"] == nil, "\(reply)") }
    client.connection.close()
    loop.turn(atMostMilliseconds: 0)
  }

  /// Inserts a manager; `columns` is JSON text that follows the target.
  func addManager(_ target: String, _ columns: String = "") throws {
    try transact(
      #"{"op":"insert","table":"Manager","row":{"target":"\#(target)"\#(columns)},"uuid-name":"m"},"#
        + #"{"op":"insert","table":"Global","row":{"managers":["named-uuid","m"]}}"#)
  }

  func listens(_ path: String) -> Bool { UnixSocket.isListening(path) }

  /// The only row of the table Manager.
  func manager() throws -> (isConnected: Bool?, status: [String: String]) {
    let table = try database.table("Manager")
    let row = try #require(table.rows.values.first)
    return (table.value("is_connected", of: row)?.bool, table.value("status", of: row)?.stringMap ?? [:])
  }

  func eventually(_ condition: () throws -> Bool) rethrows {
    let held = try loop.run(atMost: 10_000, until: condition)
    #expect(held)
  }
}

extension EventLoop {
  fileprivate func run(atMost milliseconds: Int, until condition: () throws -> Bool) rethrows -> Bool {
    let end = monotonicNanoseconds() + UInt64(milliseconds) * 1_000_000
    while try !condition() {
      if monotonicNanoseconds() >= end { return false }
      turn(atMostMilliseconds: 20)
    }
    return true
  }
}

@Suite struct RemoteTests {
  @Test func `Sources are read as they are written`() throws {
    #expect(try RemoteSource("ptcp:6640").description == "ptcp:6640")
    #expect(try RemoteSource("ptcp:6640") == RemoteSource("ptcp:6640:0.0.0.0"))
    #expect(try RemoteSource("db:Open_vSwitch,Open_vSwitch,manager_options") == .managers)
    for text in ["db:a,b", "db:a,b,c,d", "db:a,,c", "db:", "nonsense"] {
      #expect(throws: RemoteError.self) { try RemoteSource(text) }
    }
  }

  @Test func `A column that is not there, or holds something else, is refused by name`() throws {
    let service = try ManagedService()
    for (source, reason) in [
      ("db:Nothing,a,b", "no database named Nothing"), ("db:Config,Nothing,b", "no table named Nothing"),
      ("db:Config,Global,nothing", "no column named nothing"), ("db:Config,Global,number", "neither strings"),
      ("db:Config,Manager,other_config", "neither strings"),
    ] {
      let refusal = #expect(throws: SystemError.self) { try service.add(source) }
      #expect(
        refusal?.description.contains(reason) == true, "\(source): \(refusal?.description ?? "accepted")")
    }
    #expect(service.server.remotes.isEmpty)
  }

  @Test func `Strings in a column are listened on while they are there`() throws {
    let service = try ManagedService()
    let paths = ["a", "b"].map(service.directory.file)
    try service.add("db:Config,Global,addresses")
    try service.transact(
      #"{"op":"insert","table":"Global","row":{"addresses":["set",["punix:\#(paths[0])","punix:\#(paths[1])","no"]]}}"#
    )
    #expect(service.listens(paths[0]) && service.listens(paths[1]))
    let client = TestClient(try Connection.connect(to: .unix(path: paths[0]), service.loop), service.loop)
    #expect(try client.ask("list_dbs", "[]") == ["Config", "_Server"])
    try service.transact(
      #"{"op":"mutate","table":"Global","where":[],"mutations":[["addresses","delete","punix:\#(paths[0])"]]}"#
    )
    #expect(!service.listens(paths[0]) && service.listens(paths[1]))
    service.eventually { client.closed != nil }
    #expect(service.server.remove(try RemoteSource("db:Config,Global,addresses")))
    #expect(!service.listens(paths[1]))
    #expect(!service.server.remove(try RemoteSource("db:Config,Global,addresses")))
  }

  @Test func `A row learns whether anybody is connected, how many, and to which port`() throws {
    let service = try ManagedService()
    try service.add("db:Config,Global,managers")
    try service.addManager("ptcp:0:127.0.0.1")
    let waiting = try service.manager()
    #expect(waiting.isConnected == false)
    let port = try #require(waiting.status["bound_port"].flatMap(UInt16.init))
    #expect(waiting.status == ["bound_port": "\(port)"])
    func connect() throws -> TestClient {
      TestClient(
        try Connection.connect(to: .tcp(address: "127.0.0.1", port: port), service.loop), service.loop)
    }
    let first = try connect()
    #expect(try first.ask("lock", #"["one"]"#) == ["locked": true])
    try service.eventually { try service.manager().isConnected == true }
    try service.eventually { try service.manager().status["locks_held"] == "one" }
    #expect(try service.manager().status["n_connections"] == nil)
    let second = try connect()
    #expect(try second.ask("lock", #"["one"]"#) == ["locked": false])
    try service.eventually { try service.manager().status["n_connections"] == "2" }
    try service.eventually { try service.manager().status["locks_waiting"] == "one" }
    first.connection.close()
    second.connection.close()
    try service.eventually { try service.manager().isConnected == false }
    #expect(try service.manager().status["sec_since_disconnect"] != nil)
    #expect(try service.manager().status["sec_since_connect"] != nil)
  }

  @Test func `A client that is to be connected to is connected to, again and again`() throws {
    let service = try ManagedService()
    var sessions: [TestClient] = []
    let listener = try Server(service.loop, on: .listenTCP(address: "127.0.0.1", port: 0)) {
      sessions.append(TestClient($0, service.loop))
    }
    try service.add("db:Config,Global,managers")
    try service.addManager(listener.remote.counterpart.description, #","max_backoff":1000"#)
    service.eventually { sessions.count == 1 }
    #expect(try sessions[0].ask("list_dbs", "[]") == ["Config", "_Server"])
    try service.eventually { try service.manager().isConnected == true }
    #expect(try service.manager().status["state"] == "ACTIVE")
    sessions[0].connection.close()
    try service.eventually { try service.manager().status["state"] == "BACKOFF" }
    #expect(try service.manager().isConnected == false)
    service.eventually { sessions.count == 2 }
    #expect(try sessions[1].ask("list_dbs", "[]") == ["Config", "_Server"])
  }

  @Test func `A client that cannot be reached is named in the row that asks for it`() throws {
    let service = try ManagedService()
    try service.add("db:Config,Global,managers")
    try service.addManager("unix:\(service.directory.file("nobody"))")
    try service.eventually { try service.manager().status["last_error"] != nil }
    #expect(try service.manager().status["last_error"]?.contains("No such file") == true)
  }

  @Test func `A row sets the probe, and a change of it holds for sessions that are there`() throws {
    let service = try ManagedService()
    let path = service.directory.file("a")
    try service.add("db:Config,Global,managers")
    try service.addManager("punix:\(path)")
    let client = TestClient(try Connection.connect(to: .unix(path: path), service.loop), service.loop)
    try client.ask("list_dbs", "[]")
    var probes = 0
    client.connection.onRequest = { _, _, _ in probes += 1 }
    let raw = try UnixSocket.connect(path).release()
    defer { close(raw) }
    try service.transact(#"{"op":"update","table":"Manager","where":[],"row":{"inactivity_probe":50}}"#)
    // The one that answers stays, the one that says nothing goes.
    var bytes = [UInt8](repeating: 0, count: 4096)
    var heard = ""
    service.eventually {
      let count = read(raw, &bytes, bytes.count)
      if count > 0 { heard += String(decoding: bytes[..<count], as: UTF8.self) }
      return count == 0
    }
    #expect(heard.contains(#""method":"echo""#))
    #expect(client.closed == nil)
  }

  @Test func `Through a remote that is for reading only nothing is written`() throws {
    let service = try ManagedService()
    let path = service.directory.file("a")
    try service.add("db:Config,Global,managers")
    try service.addManager("punix:\(path)", #","read_only":true"#)
    let client = TestClient(try Connection.connect(to: .unix(path: path), service.loop), service.loop)
    let refused = try client.ask("transact", #"["Config",{"op":"insert","table":"Global","row":{}}]"#)
    #expect(refused[0]?["error"] == "not allowed")
    let schema = remoteSchema.replacing("1.0.0", with: "2.0.0")
    #expect(try client.ask("convert", #"["Config",\#(schema)]"#)["error"] == "not allowed")
    #expect(try client.ask("get_schema", #"["Config"]"#)["version"] == "1.0.0")
    let rows = try client.ask("transact", #"["Config",{"op":"select","table":"Global","where":[]}]"#)
    #expect(rows[0]?["rows"]?.array?.count == 1)
  }

  @Test func `Rows may ask for sockets in one directory only`() throws {
    let service = try ManagedService()
    let other = try TemporaryDirectory()
    service.server.confineSockets(to: service.directory.path)
    try service.add("db:Config,Global,addresses")
    let escape = service.directory.file("../\(other.path.split(separator: "/").last ?? "")/x")
    try service.transact(
      #"{"op":"insert","table":"Global","row":{"addresses":["set",["punix:\#(other.file("a"))","punix:\#(escape)","punix:b"]]}}"#
    )
    #expect(!service.listens(other.file("a")))
    #expect(!service.listens(other.file("x")))
    #expect(service.listens(service.directory.file("b")))
  }

  @Test func `Remotes go with the database that names them, and come back with it`() throws {
    let service = try ManagedService()
    let path = service.directory.file("a")
    try service.add("db:Config,Global,addresses")
    try service.transact(#"{"op":"insert","table":"Global","row":{"addresses":"punix:\#(path)"}}"#)
    #expect(service.listens(path))
    try service.server.remove("Config")
    service.loop.turn(atMostMilliseconds: 0)
    #expect(!service.listens(path))
    #expect(service.server.remotes.map(\.description) == ["db:Config,Global,addresses"])
    try service.server.add(service.database)
    service.loop.turn(atMostMilliseconds: 0)
    #expect(service.listens(path))
  }

  @Test func `A named remote is added once, and fails where it cannot listen`() throws {
    let service = try ManagedService()
    let path = service.directory.file("a")
    try service.add("punix:\(path)")
    try service.add("punix:\(path)")
    #expect(service.server.remotes.count == 1)
    #expect(throws: SystemError.self) { try service.add("punix:/nowhere/a") }
    #expect(service.server.remotes.count == 1)
    #expect(service.server.remove(try RemoteSource("punix:\(path)")))
    #expect(!service.listens(path))
  }

  @Test func `Files of TLS are those that columns name by then`() throws {
    let service = try ManagedService()
    var settings = TLSSettings()
    #expect(try settings.consume("private-key", "db:Config,SSL,private_key"))
    #expect(try settings.consume("certificate", "/x/cert.pem"))
    #expect(try settings.consume("ca-cert", "db:Config,SSL,ca_cert"))
    #expect(try !settings.consume("remote", "x"))
    service.server.tls = settings
    #expect(service.server.credentials.configuration.privateKey == nil)
    #expect(service.server.credentials.configuration.certificate == "/x/cert.pem")
    try service.transact(
      #"{"op":"insert","table":"SSL","row":{"private_key":"/x/key.pem","ca_cert":"/x/ca.pem"}}"#)
    #expect(service.server.credentials.configuration.privateKey == "/x/key.pem")
    #expect(service.server.credentials.configuration.authority == .file("/x/ca.pem"))
    try service.transact(#"{"op":"update","table":"SSL","where":[],"row":{"bootstrap_ca_cert":true}}"#)
    #expect(service.server.credentials.configuration.authority == .bootstrap("/x/ca.pem"))
    #expect(try settings.consume("ca-cert", "none"))
    #expect(settings.configuration.authority == .unverified)
  }
}
