import Seeded
import Glibc
import JSONRPC
import Linux
import Testing

@testable import OVSDB

@Suite struct StorageTests {
  let directory: TemporaryDirectory
  let path: String

  init() throws {
    directory = try TemporaryDirectory()
    path = directory.file("test.db")
  }

  private func open() throws -> Database {
    try Storage.open(path) { () throws(StorageError) in
      do { return try testSchema() } catch { throw StorageError("\(error)") }
    }
  }

  private func bytes() throws -> [UInt8] { try readFile(path) }

  private func write(_ bytes: [UInt8]) throws {
    let file = try FileDescriptor.open(path, O_WRONLY | O_CREAT | O_TRUNC)
    #expect(Glibc.write(file.raw, bytes, bytes.count) == bytes.count)
  }

  /// Contents without ephemeral columns.
  private func durable(_ database: Database) -> [String: [UUID: [String: Datum]]] {
    database.contents.mapValues { $0.mapValues { $0.filter { $0.key != "live" } } }
  }

  @Test func whatWasCommittedIsThereAgain() throws {
    var database = try open()
    try database.transact(
      """
      {"op":"insert","table":"Root","row":{"name":"a","tags":["set",[1,2]],"options":["map",[["k","é\\n"]]],"ratio":0.1,"live":["map",[["x",1]]],"children":["named-uuid","c"]}},
      {"op":"insert","table":"Child","uuid-name":"c","row":{"name":"c"}},
      {"op":"insert","table":"Root","row":{"name":"gone"}}
      """)
    try database.transact(
      """
      {"op":"mutate","table":"Root","where":[["name","==","a"]],"mutations":[["tags","insert",3],["tags","delete",1],["options","insert",["map",[["l","w"]]]]]},
      {"op":"delete","table":"Root","where":[["name","==","gone"]]},{"op":"comment","comment":"why"}
      """)
    let before = durable(database)
    database.storage?.close()
    database = try open()
    #expect(durable(database) == before)
    #expect(try String(decoding: bytes(), as: UTF8.self).contains("live\":[\"map") == false)
    // References were counted again: the child goes with its parent.
    try database.transact(#"{"op":"delete","table":"Root","where":[]}"#)
    #expect(database.rowCount == 0)
  }

  /// Row 29: a write cut at any byte of the last record loses that record only.
  @Test func `Row 29: a torn last record is cut off wherever it was torn`() throws {
    var database: Database? = try open()
    try database?.transact(
      #"{"op":"insert","table":"Root","row":{"name":"kept"}},{"op":"comment","comment":"one"}"#)
    let whole = try bytes().count
    let kept = try durable(#require(database))
    try database?.transact(#"{"op":"insert","table":"Root","row":{"name":"torn"}}"#)
    let all = try bytes()
    for length in whole..<all.count {
      database?.storage?.close()
      database = nil
      try write(Array(all[..<length]))
      database = try open()
      #expect(try durable(#require(database)) == kept, "cut at \(length)")
      #expect(try bytes().count == whole)
      try database?.transact(#"{"op":"insert","table":"Root","row":{"name":"after"}}"#)
      #expect(try bytes().count > whole)
    }
  }

  @Test func `Row 29: every flipped byte is noticed`() throws {
    var database: Database? = try open()
    try database?.transact(#"{"op":"insert","table":"Root","row":{"name":"first"}}"#)
    let first = try bytes().count
    try database?.transact(#"{"op":"insert","table":"Root","row":{"name":"second"}}"#)
    let all = try bytes()
    database?.storage?.close()
    database = nil
    var random = SeededRandom(seed: 3)
    for _ in 0..<200 {
      let index = random.below(first)
      var damaged = all
      damaged[index] ^= UInt8(1 + random.below(255))
      try write(damaged)
      #expect(throws: StorageError.self, "byte \(index)") { try open() }
      #expect(try bytes() == damaged)
    }
    try write(all)
    #expect(try open().rowCount == 2)
  }

  @Test func `Row 29: damage in the middle is refused with the way out`() throws {
    let database = try open()
    try database.transact(#"{"op":"insert","table":"Root","row":{"name":"first"}}"#)
    let position = try bytes().count
    try database.transact(#"{"op":"insert","table":"Root","row":{"name":"second"}}"#)
    try database.transact(#"{"op":"insert","table":"Root","row":{"name":"third"}}"#)
    database.storage?.close()
    var damaged = try bytes()
    damaged[position + 80] ^= 1
    try write(damaged)
    let error = #expect(throws: StorageError.self) { try open() }
    #expect(error?.description.contains("record 3 at byte \(position)") == true)
    #expect(error?.description.contains("truncate -s \(position)") == true)
  }

  @Test(arguments: ["", "hello\n", "OVSDB JSON", "OVSDB CLUSTER 5 x\n"])
  func aFileThatIsNoDatabaseIsRefusedAndKept(text: String) throws {
    try write(Array(text.utf8))
    #expect(throws: StorageError.self) { try open() }
    #expect(try bytes() == Array(text.utf8))
  }

  @Test func compactionKeepsEverythingAndShrinks() throws {
    var database = try open()
    for number in 0..<300 {
      try database.transact(
        #"{"op":"insert","table":"Root","row":{"name":"\#(number)"}},{"op":"delete","table":"Root","where":[["number","==",0],["name","!=","\#(number)"]]}"#
      )
    }
    let rows = database.rowCount
    let long = try bytes().count
    try database.storage?.rewrite(database)
    #expect(try bytes().count < long / 4)
    try database.transact(#"{"op":"insert","table":"Root","row":{"name":"later","number":1}}"#)
    database.storage?.close()
    database = try open()
    #expect(database.rowCount == rows + 1)
  }

  @Test func aLogThatHasGrownIsCompactedByItself() throws {
    let loop = try EventLoop()
    let server = DatabaseServer(loop)
    let database = try server.open(file: path) { () throws(StorageError) in
      do { return try testSchema() } catch { throw StorageError("\(error)") }
    }
    database.storage?.policy = .init(records: 20, bytes: 20_000)
    let client = TestClient(try server.connect(), loop)
    for number in 0..<400 {
      try client.ask(
        "transact",
        #"["Test",{"op":"delete","table":"Single","where":[]},{"op":"insert","table":"Single","row":{"value":\#(number)}}]"#
      )
    }
    #expect(loop.run(atMost: 60_000) { (try? bytes().count) ?? .max < 30_000 })
    server.close()
    #expect(
      try open().tables.first { $0.schema.name == "Single" }?.rows.values.first?.columns.first?.integer == 399
    )
  }

  private func shell(_ command: String) -> Bool { popen(command, "r").map { pclose($0) == 0 } ?? false }

  /// Row 29: a full disk refuses the change, and the server goes on. The disk is a small one of this test's own: a
  /// limit on file sizes would meet every test that runs beside it.
  @Test(.enabled(if: geteuid() == 0, "needs root, to mount a small file system"))
  func `Row 29: a write that fails leaves no trace`() throws {
    let disk = directory.file("disk")
    #expect(mkdir(disk, 0o755) == 0)
    try #require(shell("mount -t tmpfs -o size=256k tmpfs \(disk)"))
    defer {
      _ = shell("umount -l \(disk)")
      rmdir(disk)
    }
    let path = disk + "/test.db"
    func bytes() throws -> [UInt8] { try readFile(path) }
    func open() throws -> Database {
      try Storage.open(path) { () throws(StorageError) in
        do { return try testSchema() } catch { throw StorageError("\(error)") }
      }
    }
    let database = try open()
    try database.transact(#"{"op":"insert","table":"Root","row":{"name":"a"}}"#)
    let before = database.contents
    let size = try bytes().count
    // The record begins in the room that is left, and does not end in it.
    let long = String(repeating: "x", count: 300_000)
    let results = try database.transact(#"{"op":"insert","table":"Root","row":{"name":"\#(long)"}}"#)
    #expect(results.last?["error"] == "I/O error")
    #expect(database.contents == before)
    #expect(try bytes().count == size)
    #expect(try database.transact(#"{"op":"insert","table":"Root","row":{"name":"b"}}"#).count == 1)
    database.storage?.close()
    #expect(try open().rowCount == 2)
  }

  /// Row 30. `fcntl` locks do not exclude their own process, so the first user is another one.
  @Test(.enabled(if: isInstalled("python3"), "needs python3"))
  func `Row 30: a file in use is refused, naming the process`() throws {
    try write([])
    // Holds the lock until its standard input ends, which is when this end of the pipe goes.
    let script = directory.file("hold.py")
    let lines = [
      "import fcntl,os,sys", "f=open(sys.argv[1],'w')", "fcntl.lockf(f,fcntl.LOCK_EX)",
      "open(sys.argv[2],'w').write(str(os.getpid()))", "sys.stdin.read()",
    ]
    try Array(lines.joined(separator: "\n").utf8).write(toFile: script)
    let owner = directory.file("owner")
    let holder = try #require(
      popen("exec python3 \(script) \(directory.file(".test.db.~lock~")) \(owner)", "w"))
    defer { pclose(holder) }
    var pid = ""
    #expect(
      awaited(10_000) {
        pid = (try? readFile(owner)).map { String(decoding: $0, as: UTF8.self) } ?? ""
        return !pid.isEmpty
      })
    let error = #expect(throws: StorageError.self) { try open() }
    #expect(error?.description.contains("process \(pid)") == true)
  }

  @Test func checksumsAreRFC3174s() {
    func digest(_ text: String, from start: Int = 0) -> String {
      String(decoding: SHA1.hexadecimal(Array(text.utf8)[start...]), as: UTF8.self)
    }
    #expect(digest("abc") == "a9993e364706816aba3e25717850c26c9cd0d89d")
    #expect(digest("") == "da39a3ee5e6b4b0d3255bfef95601890afd80709")
    #expect(
      digest(String(repeating: "a", count: 1_000_003), from: 3) == "34aa973cd4c4daa4f61eeb2bdbad27316534016f")
    #expect(
      digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")
        == "84983e441c3bd26ebaae4aa1f95129e5e54670f1")
  }
}
