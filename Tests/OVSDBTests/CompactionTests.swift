import Glibc
import JSONRPC
import Linux
import Seeded
import Testing

@testable import OVSDB

@Suite struct CompactionTests {
  let directory: TemporaryDirectory
  let path: String
  let loop: EventLoop
  let server: DatabaseServer
  let database: Database

  init() throws {
    directory = try TemporaryDirectory()
    path = directory.file("test.db")
    loop = try EventLoop()
    server = DatabaseServer(loop)
    database = try server.open(file: path) { () throws(StorageError) in
      do { return try testSchema() } catch { throw StorageError("\(error)") }
    }
  }

  /// What is found by whoever opens the file as it is now: what a kill at this moment would leave.
  private func contentsOnDisk() throws -> [String: [UUID: [String: Datum]]] {
    var loader = Loader(path)
    let tornEnd = try DatabaseFile.read(try readFile(path), path) { (entry) throws(StorageError) in
      try loader.take(entry.text, entry.number)
    }
    #expect(tornEnd == nil)
    return try loader.finish().durableContents
  }

  @Test(arguments: 0..<4)
  func `At every moment of a compaction the file has all that was acknowledged`(seed: UInt64) throws {
    var generator = RandomOperations(seed: seed, try testSchema())
    let client = TestClient(try server.connect(), loop)
    var random = SeededRandom(seed: seed + 100)
    var begun = 0
    var ended = 0
    while ended < 12 {
      if begun == ended {
        begun += 1
        server.compact { error in
          #expect(error == nil)
          ended += 1
        }
      }
      var operations = generator.transaction()
      if Bool.random(using: &random) { operations.append(["op": "commit", "durable": true]) }
      // Large enough for the copying to take rounds.
      if random.below(4) == 0 {
        operations.append(["op": "comment", "comment": .string(String(repeating: "x", count: 40_000))])
      }
      try client.ask("transact", JSON.array([.string("Test")] + operations).text)
      let found = try contentsOnDisk()
      #expect(found == database.durableContents)
      try #require(found == database.durableContents)
    }
    server.close()
    #expect(try contentsOnDisk() == database.durableContents)
    #expect(!fileExists(path + ".tmp"))
  }

  @Test func `A file a compaction left behind goes when the database is opened again`() throws {
    server.close()
    try Array("OVSDB JSON 12".utf8).write(toFile: path + ".tmp")
    let again = try Storage.open(path) { () throws(StorageError) in throw StorageError("no schema") }
    #expect(!fileExists(path + ".tmp"))
    again.storage?.close()
  }

  @Test func `A compaction that cannot be done leaves the file, and is reported`() throws {
    try database.transact(#"{"op":"insert","table":"Root","row":{"name":"a"}}"#)
    let before = try readFile(path)
    #expect(mkdir(path + ".tmp", 0o755) == 0)
    var result: StorageError??
    server.compact("Test") { result = .some($0) }
    #expect(loop.run(atMost: 10_000) { result != nil })
    #expect(result??.description.contains(".tmp") == true)
    #expect(try readFile(path) == before)
    #expect(rmdir(path + ".tmp") == 0)
    result = nil
    server.compact("Test") { result = .some($0) }
    #expect(loop.run(atMost: 10_000) { result != nil })
    #expect(result == .some(.none))
    server.compact("Nope") { #expect($0?.description.contains("\"Nope\"") == true) }
    server.close()
  }

  @Test func `The new file has the permissions of the old one`() throws {
    #expect(chmod(path, 0o604) == 0)
    try database.storage?.rewrite(database)
    var status = stat()
    #expect(stat(path, &status) == 0)
    #expect(status.st_mode & 0o777 == 0o604)
    server.close()
  }

  @Test func `Through a symbolic link the file itself is replaced`() throws {
    server.close()
    let link = directory.file("link.db")
    #expect(symlink(path, link) == 0)
    let again = try Storage.open(link) { () throws(StorageError) in throw StorageError("no schema") }
    try again.storage?.rewrite(again)
    var status = stat()
    #expect(lstat(link, &status) == 0)
    #expect(status.st_mode & S_IFMT == S_IFLNK)
    // The lock is the file's, whatever name it goes by.
    #expect(throws: StorageError.self) {
      try Storage.open(path) { () throws(StorageError) in throw StorageError("no schema") }
    }
    again.storage?.close()
  }
}

extension Database {
  /// Contents without ephemeral columns.
  var durableContents: [String: [UUID: [String: Datum]]] {
    contents.mapValues { $0.mapValues { $0.filter { $0.key != "live" } } }
  }
}
