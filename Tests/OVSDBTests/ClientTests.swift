import JSONRPC
import Linux
import OVSDB
import OVSDBTesting
import Testing

/// The client against Open vSwitch's own server.
@Suite(.enabled(if: ReferenceServer.isInstalled, Comment(rawValue: ReferenceServer.reason)))
struct ClientTests {
  let loop: EventLoop
  let server: ReferenceServer
  let client: OVSDB.Client

  init() throws {
    loop = try EventLoop()
    server = try ReferenceServer()
    client = OVSDB.Client(loop, remotes: [server.remote], monitoring: OVSDB.Client.everything)
  }

  func wait(_ condition: () -> Bool) -> Bool { loop.run(atMost: 20_000, until: condition) }

  /// Sends one transaction and waits for its result.
  func transact(_ client: OVSDB.Client, _ builder: TransactionBuilder) throws -> TransactionResult {
    var result: Result<TransactionResult, TransactionError>?
    client.transact(builder.operations) { result = $0 }
    try #require(wait { result != nil })
    return try #require(result).get()
  }

  func table(_ name: String) throws -> TableSchema { try #require(client.replica?.schema[table: name]) }

  @Test func synchronizesAndReportsOnceEvenWhenEmpty() throws {
    var batches: [ReplicaChanges] = []
    client.onChange = { batches.append($0) }
    #expect(!client.isSynchronized)
    client.start()
    #expect(wait { client.isSynchronized })
    #expect(batches == [ReplicaChanges()])
    #expect(client.replica?.schema.name == "Open_vSwitch")
    #expect(client.replica?.rows("Bridge").isEmpty == true)
  }

  @Test func transactionIsInTheReplicaBeforeItsResult() throws {
    client.start()
    #expect(wait { client.isSynchronized })
    var builder = TransactionBuilder()
    let (bridge, port, interface) = (UUID.random(), UUID.random(), UUID.random())
    builder.insert(try table("Interface"), interface, ["name": Datum("br0"), "type": Datum("internal")])
    builder.insert(try table("Port"), port, ["name": Datum("br0"), "interfaces": Datum(uuids: [interface])])
    let inserted = builder.insert(
      try table("Bridge"), bridge,
      ["name": Datum("br0"), "ports": Datum(uuids: [port]), "other_config": Datum(["a": "b"])])
    builder.insert(try table("Open_vSwitch"), .random(), ["bridges": Datum(uuids: [bridge])])

    var sawBridge = false
    var finished = false
    var changes = ReplicaChanges()
    client.onChange = { changes = $0 }
    client.transact(builder.operations) { result in
      finished = true
      guard let uuid = try? result.get().insertedUUID(inserted) else { return }
      sawBridge = client.replica?.row("Bridge", uuid)?.string("name") == "br0"
    }
    #expect(wait { finished })
    #expect(sawBridge)
    #expect(Set(changes.tables.keys) == ["Interface", "Port", "Bridge", "Open_vSwitch"])
    let row = try #require(client.replica?.onlyRow("Bridge"))
    #expect(row.map("other_config") == ["a": "b"])
    #expect(row.uuids("ports").compactMap { client.replica?.row("Port", $0)?.string("name") } == ["br0"])
  }

  @Test func failedOperationNamesItself() throws {
    client.start()
    #expect(wait { client.isSynchronized })
    var builder = TransactionBuilder()
    builder.comment("nothing")
    builder.update(try table("Bridge"), .random(), ["name": Datum("x")])
    #expect(throws: TransactionError.self) { try transact(client, builder) }
    do { _ = try transact(client, builder) } catch TransactionError.failed(let error, let operation) {
      // "name" is immutable.
      #expect(operation == 1)
      #expect(error.error == "constraint violation")
    }
  }

  @Test func staleExpectationIsAConflict() throws {
    client.start()
    #expect(wait { client.isSynchronized })
    let root = try table("Open_vSwitch")
    var builder = TransactionBuilder()
    let index = builder.insert(root, .random(), [:])
    let uuid = try #require(try transact(client, builder).insertedUUID(index))
    var stale = TransactionBuilder()
    stale.expect(root, uuid, ["next_cfg": Datum(7)])
    stale.update(root, uuid, ["next_cfg": Datum(8)])
    do {
      _ = try transact(client, stale)
      Issue.record("the transaction was committed")
    } catch let error as TransactionError { #expect(error.isConflict) }
    #expect(client.replica?.onlyRow("Open_vSwitch")?.integer("next_cfg") == 0)
  }

  @Test func reconnectsAndReportsWhatChangedMeanwhile() throws {
    client.start()
    #expect(wait { client.isSynchronized })
    #expect(
      try server.directory.run(["ovs-vsctl", "--db=unix:\(server.socket)", "--no-wait", "add-br", "br0"])
        .status == 0)
    #expect(wait { client.replica?.rows("Bridge").count == 1 })

    var reasons: [String] = []
    client.onDisconnect = { reasons.append($0) }
    server.stop()
    #expect(wait { !client.isSynchronized })
    #expect(!reasons.isEmpty)
    // What was known stays readable.
    #expect(client.replica?.rows("Bridge").count == 1)
    var refused: TransactionError?
    client.transact([]) { if case .failure(let error) = $0 { refused = error } }
    #expect(refused == .notConnected)

    var batches: [ReplicaChanges] = []
    client.onChange = { batches.append($0) }
    try server.start()
    #expect(wait { client.isSynchronized })
    #expect(batches == [ReplicaChanges()])

    server.stop()
    #expect(wait { !client.isSynchronized })
    let other = try ReferenceServer()
    #expect(
      try other.directory.run(["mv", other.directory.file("db"), server.directory.file("db")]).status == 0)
    batches = []
    try server.start()
    #expect(wait { client.isSynchronized })
    #expect(batches.count == 1)
    #expect(batches.first?.tables["Bridge"]?.count == 1)
    #expect(client.replica?.rows("Bridge").isEmpty == true)
  }

  @Test func lockPassesToTheNextWaiter() throws {
    let second = OVSDB.Client(loop, remotes: [server.remote], monitoring: OVSDB.Client.tables([:]))
    var events: [String] = []
    client.lock("switch") { events.append("first \($0)") }
    client.start()
    #expect(wait { client.hasLock && client.isSynchronized })
    second.lock("switch") { events.append("second \($0)") }
    second.start()
    #expect(wait { second.isSynchronized })
    #expect(!second.hasLock)

    var builder = TransactionBuilder()
    builder.assertLock("switch")
    #expect(throws: Never.self) { try transact(client, builder) }
    #expect(throws: TransactionError.self) { try transact(second, builder) }

    client.stop()
    #expect(wait { second.hasLock })
    #expect(events == ["first true", "first false", "second true"])
  }

  @Test func monitorsOnlyWhatWasChosen() throws {
    let narrow = OVSDB.Client(
      loop, remotes: [server.remote],
      monitoring: OVSDB.Client.tables(["Bridge": ["name", "no_such_column"], "No_Such_Table": nil]))
    narrow.start()
    #expect(wait { narrow.isSynchronized })
    #expect(narrow.replica?.monitored == ["Bridge": ["name"]])
    #expect(
      try server.directory.run(["ovs-vsctl", "--db=unix:\(server.socket)", "--no-wait", "add-br", "br0"])
        .status == 0)
    #expect(wait { narrow.replica?.rows("Bridge").count == 1 })
    #expect(narrow.replica?.onlyRow("Bridge")?.columns.keys.sorted() == ["name"])
  }

  @Test func triesTheNextRemote() throws {
    let other = OVSDB.Client(
      loop, remotes: [.unix(path: server.directory.file("nobody")), server.remote],
      monitoring: OVSDB.Client.everything)
    other.start()
    #expect(wait { other.isSynchronized })
  }
}
