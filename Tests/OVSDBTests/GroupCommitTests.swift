import Glibc
import JSONRPC
import Linux
import Testing

@testable import OVSDB

/// A disk whose syncs end when the test says so, and as it says.
private final class Disk: Sendable {
  private struct State {
    var syncs = 0
    var ended = 0
    var failures = 0
  }
  private let state = Locked(State())
  private let isOpen = Locked(true)

  var syncs: Int { state.withLock { $0.syncs } }

  func hold() { isOpen.withLock { $0 = false } }
  func release() { isOpen.withLock { $0 = true } }
  /// So many of the next syncs fail.
  func fail(_ count: Int) { state.withLock { $0.failures = count } }

  func sync(_ file: OpenFile) throws(StorageError) {
    state.withLock { $0.syncs += 1 }
    while !isOpen.withLock({ $0 }) { usleep(500) }
    let fails = state.withLock { state in
      state.failures -= 1
      return state.failures >= 0
    }
    if fails { throw StorageError("write \(file.path) to the disk: Input/output error") }
    try file.synchronize()
  }
}

@Suite struct GroupCommitTests {
  let directory: TemporaryDirectory
  let path: String
  let loop: EventLoop
  let server: DatabaseServer
  let database: Database
  private let disk = Disk()

  init() throws {
    directory = try TemporaryDirectory()
    path = directory.file("test.db")
    loop = try EventLoop()
    server = DatabaseServer(loop)
    database = try server.open(file: path) { () throws(StorageError) in
      do { return try testSchema() } catch { throw StorageError("\(error)") }
    }
    let disk = disk
    database.storage?.sync = { (file) throws(StorageError) in try disk.sync(file) }
  }

  private func client() throws -> TestClient { TestClient(try server.connect(), loop) }

  private func insert(_ name: String, durable: Bool = true) -> String {
    let commit = durable ? #",{"op":"commit","durable":true}"# : ""
    return #"["Test",{"op":"insert","table":"Root","row":{"name":"\#(name)"}}\#(commit)]"#
  }

  /// The names that whoever opens the file as it is now finds.
  private func namesOnDisk() throws -> Set<String> {
    var loader = Loader(path)
    try DatabaseFile.read(try readFile(path), path) { (entry) throws(StorageError) in
      try loader.take(entry.text, entry.number)
    }
    let root = try #require(try loader.finish().tables.first { $0.schema.name == "Root" })
    let name = try #require(root.schema.columnIndex["name"])
    return Set(root.rows.values.compactMap { $0.columns[name].string })
  }

  @Test func `Many durable transactions share a sync, and the server goes on meanwhile`() throws {
    disk.hold()
    let clients = try (0..<16).map { _ in try client() }
    for (number, client) in clients.enumerated() {
      for round in 0..<4 { try client.send("transact", insert("\(number)-\(round)")) }
    }
    #expect(loop.run(atMost: 10_000) { disk.syncs == 1 })
    // Whoever does not ask for durability is answered, and sees what the others did.
    let other = try client()
    #expect(try other.ask("transact", insert("quick", durable: false))[0]?["uuid"] != nil)
    #expect(loop.run(atMost: 10_000) { database.rowCount == 65 })
    #expect(clients.allSatisfy { $0.events.isEmpty })
    disk.release()
    #expect(loop.run(atMost: 10_000) { clients.allSatisfy { $0.events.count == 4 } })
    #expect(disk.syncs <= 3)
    #expect(try namesOnDisk().count == 65)
    server.close()
  }

  @Test func `What a session is told stays in order, and other sessions are told at once`() throws {
    let (writer, follower) = (try client(), try client())
    try follower.ask("monitor", #"["Test",null,{"Root":{"columns":["name"]}}]"#)
    disk.hold()
    try writer.send("transact", insert("first"))
    try writer.send("transact", #"["Test",{"op":"select","table":"Root","where":[],"columns":["name"]}]"#)
    try writer.send("lock", #"["l"]"#)
    #expect(try follower.nextNotification().0 == "update")
    for _ in 0..<5 { loop.turn(atMostMilliseconds: 1) }
    #expect(writer.events.isEmpty)
    disk.release()
    #expect(try writer.nextReply()[0]?["uuid"] != nil)
    #expect(try writer.nextReply()[0]?["rows"] == [["name": "first"]])
    #expect(try writer.nextReply() == ["locked": true])
    server.close()
  }

  @Test func `A server that is told so makes every transaction durable`() throws {
    let client = try client()
    try client.ask("transact", insert("no", durable: false))
    #expect(disk.syncs == 0)
    database.isDurable = true
    try client.ask("transact", insert("yes", durable: false))
    #expect(disk.syncs == 1)
    // There is nothing to sync.
    try client.ask("transact", #"["Test",{"op":"select","table":"Root","where":[]}]"#)
    #expect(disk.syncs == 1)
    server.close()
  }

  /// Nobody knows then what is on the medium; a file written anew and synced is known.
  @Test func `After a failed sync the database is written to a new file before success is reported`() throws {
    let client = try client()
    try client.ask("transact", insert("before"))
    let old = try inode()
    disk.fail(1)
    #expect(try client.ask("transact", insert("after"))[0]?["uuid"] != nil)
    #expect(try inode() != old)
    #expect(try namesOnDisk() == ["before", "after"])
    #expect(try client.ask("transact", insert("later"))[0]?["uuid"] != nil)
    #expect(try namesOnDisk().count == 3)
    server.close()
  }

  @Test func `A disk that takes nothing is never reported as success, and is used again when it works`()
    throws
  {
    let client = try client()
    let control = try ControlServer(loop, path: directory.file("test.1.ctl"), program: "test") {}
    for command in DatabaseCommands.table(server) { control.add(command) }
    let console = TestClient(
      try Connection.connect(to: .unix(path: directory.file("test.1.ctl")), loop), loop)
    func status() throws -> String? {
      try console.ask("ovsdb-server/get-db-storage-status", #"["Test"]"#).string
    }
    try client.ask("transact", insert("before"))
    #expect(try status() == "status: ok\n")
    // In the way of every new file.
    #expect(mkdir(path + ".tmp", 0o755) == 0)
    disk.fail(.max)
    let reply = try client.ask("transact", insert("lost"))
    #expect(reply[2]?["error"] == "I/O error")
    #expect(reply[2]?["details"]?.string?.contains("may not last") == true)
    let refused = try client.ask("transact", insert("refused", durable: false))
    #expect(refused[1]?["error"] == "I/O error")
    #expect(refused[1]?["details"]?.string?.contains("was not made") == true)
    #expect(database.contents["Root"]?.count == 2)
    #expect(try status()?.contains("Input/output error; the disk is tried again every second") == true)
    disk.fail(0)
    #expect(rmdir(path + ".tmp") == 0)
    var accepted = false
    while !accepted { accepted = try client.ask("transact", insert("again")).array?.count == 2 }
    #expect(try namesOnDisk() == ["before", "lost", "again"])
    #expect(try status() == "status: ok\n")
    server.close()
  }

  @Test func `A server that ends syncs first, and tells who waits for that`() throws {
    let client = try client()
    disk.hold()
    try client.send("transact", insert("last"))
    #expect(loop.run(atMost: 10_000) { disk.syncs == 1 })
    disk.release()
    server.close()
    #expect(try client.nextReply()[0]?["uuid"] != nil)
    #expect(try namesOnDisk() == ["last"])
  }

  private func inode() throws -> ino_t {
    var status = stat()
    try #require(stat(path, &status) == 0)
    return status.st_ino
  }
}
