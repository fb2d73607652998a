import Glibc
import JSONRPC
import Linux
import OVSDB
import Ports
import Testing

@testable import Configuration

/// A database server with its file, a user's client, and switches with fake ports, all on one event loop.
final class Laboratory {
  let loop: EventLoop
  let directory: String
  let user: Client
  private let schema: (DatabaseSchema) -> DatabaseSchema
  private var server: DatabaseServer?
  private var followers: [ConfigurationFollower] = []
  /// What the user saw change, batch by batch.
  private(set) var batches: [ReplicaChanges] = []

  /// - Parameter schema: makes the server's schema of this tree's.
  init(schema: @escaping (DatabaseSchema) -> DatabaseSchema = { $0 }) throws {
    self.schema = schema
    var template = Array("/tmp/configuration-test-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw SystemError.last("make a directory in /tmp") }
    directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    loop = try EventLoop()
    user = Client(loop, remotes: [.unix(path: "\(directory)/db.sock")], monitoring: Client.everything)
    try startDatabase()
    user.onChange = { [unowned self] changes in batches.append(changes) }
    user.start()
    try wait("the user's client is synchronized") { user.isSynchronized }
  }

  deinit {
    for follower in followers { follower.stop() }
    user.stop()
    server?.close()
    for name in ["db.sock", "conf.db", ".conf.db.~lock~"] { unlink("\(directory)/\(name)") }
    rmdir(directory)
  }

  func startDatabase() throws {
    let server = DatabaseServer(loop)
    try server.open(file: "\(directory)/conf.db") { () throws(StorageError) in
      schema(try SchemaFile.read(Self.schemaPath))
    }
    try server.listen(on: .listenUnix(path: "\(directory)/db.sock"))
    self.server = server
  }

  func stopDatabase() {
    server?.close()
    server = nil
  }

  /// A switch that follows the database.
  func addSwitch(_ datapath: FakeDatapath, _ ports: FakePorts) -> ConfigurationFollower {
    let follower = ConfigurationFollower(
      loop, remotes: [.unix(path: "\(directory)/db.sock")], datapath, ports, runDirectory: directory,
      retryPause: 1...10)
    followers.append(follower)
    follower.start()
    return follower
  }

  func wait(_ what: String, _ condition: () -> Bool) throws {
    guard loop.run(atMost: 10_000, until: condition) else { throw LaboratoryError("never: \(what)") }
  }

  /// Commits one transaction as a user.
  func transact(_ operations: [JSON]) throws {
    var outcome: Result<TransactionResult, TransactionError>?
    user.transact(operations) { outcome = $0 }
    try wait("the transaction is answered") { outcome != nil }
    _ = try outcome?.get()
  }

  /// Increments next_cfg along with `operations` and waits until the switch has carried it out.
  func configure(_ operations: [JSON]) throws {
    try wait("there is an Open_vSwitch row") { root != nil }
    try transact(
      operations + [
        ["op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [["next_cfg", "+=", 1]]]
      ])
    try waitUntilConfigured()
  }

  func waitUntilConfigured() throws {
    try wait("cur_cfg follows next_cfg") { isConfigured }
  }

  var isConfigured: Bool {
    guard let root else { return false }
    return root.integer("cur_cfg") ?? 0 >= root.integer("next_cfg") ?? 0
  }

  var root: ReplicaRow? { user.replica?.onlyRow("Open_vSwitch") }

  func row(_ table: String, _ name: String) -> ReplicaRow? {
    user.replica?.rows(table).first { $0.string("name") == name }
  }

  private static let schemaPath: String = {
    let parts = #filePath.split(separator: "/").dropLast(3)
    return "/" + parts.joined(separator: "/") + "/etc/vswitch.ovsschema"
  }()
}

struct LaboratoryError: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

/// Operations as `ovs-vsctl` sends them.
enum Operations {
  /// A bridge with its local port.
  static func addBridge(_ name: String) -> [JSON] {
    insertPort(name, "internal", [:]) + [
      [
        "op": "insert", "table": "Bridge", "uuid-name": .string("bridge_\(name)"),
        "row": ["name": .string(name), "ports": ["named-uuid", .string("port_\(name)")]],
      ],
      mutation("Open_vSwitch", [], "bridges", ["named-uuid", .string("bridge_\(name)")]),
    ]
  }

  static func addPort(_ bridge: String, _ name: String, _ type: String = "", _ columns: [String: JSON] = [:])
    -> [JSON]
  {
    insertPort(name, type, columns) + [
      mutation("Bridge", isNamed(bridge), "ports", ["named-uuid", .string("port_\(name)")])
    ]
  }

  static func set(_ table: String, _ name: String, _ columns: [String: JSON]) -> JSON {
    ["op": "update", "table": .string(table), "where": isNamed(name), "row": .object(columns)]
  }

  static func deletePort(_ bridge: String, _ row: UUID) -> JSON {
    [
      "op": "mutate", "table": "Bridge", "where": isNamed(bridge),
      "mutations": [["ports", "delete", ["uuid", .string(row.description)]]],
    ]
  }

  static func map(_ pairs: [String: String]) -> JSON {
    ["map", .array(pairs.sorted { $0.key < $1.key }.map { [.string($0.key), .string($0.value)] })]
  }

  private static func insertPort(_ name: String, _ type: String, _ columns: [String: JSON]) -> [JSON] {
    let row = columns.merging(["name": .string(name), "type": .string(type)]) { $1 }
    return [
      ["op": "insert", "table": "Interface", "uuid-name": .string("interface_\(name)"), "row": .object(row)],
      [
        "op": "insert", "table": "Port", "uuid-name": .string("port_\(name)"),
        "row": ["name": .string(name), "interfaces": ["named-uuid", .string("interface_\(name)")]],
      ],
    ]
  }

  private static func mutation(_ table: String, _ condition: JSON, _ column: String, _ value: JSON) -> JSON {
    [
      "op": "mutate", "table": .string(table), "where": condition,
      "mutations": [[.string(column), "insert", ["set", [value]]]],
    ]
  }

  private static func isNamed(_ name: String) -> JSON { [["name", "==", .string(name)]] }
}
