import Glibc
import JSONRPC
import Linux
import OVSDB
import OVSDBTesting
import Testing

@testable import SwitchctlCommands

struct FileCommandTests {
  let loop: EventLoop
  let directory: ScratchDirectory
  let file: String
  let schema: String

  init() throws {
    loop = try EventLoop()
    directory = try ScratchDirectory()
    file = directory.file("conf.db")
    schema =
      "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/") + "/etc/\(SchemaFile.name)"
  }

  private func db(_ words: String...) -> Invoked { Invoked(["db"] + words, loop: loop) }

  @Test func `A file is made, looked at and compacted`() throws {
    #expect(db("create", file, schema).status == .code(0))
    let again = db("create", file, schema)
    #expect(again.status == .code(1))
    #expect(again.errors == "switchctl: \(file) exists already; remove it, or choose another name\n")
    let check = db("check", file)
    #expect(check.output.hasSuffix(": 1 records, 0 rows, nothing wrong\n"), "\(check)")
    #expect(db("show-log", file).output.hasPrefix("record 1 at byte 0: \"Open_vSwitch\" schema"))
    #expect(db("show-log", file, "-m").status == .code(0))
    #expect(db("compact", file).status == .code(0))
    #expect(db("backup", file, directory.file("copy.db")).status == .code(0))
    #expect(db("check", directory.file("copy.db")).status == .code(0))
  }

  @Test func `A database is copied while it is served`() throws {
    let server = DatabaseServer(loop)
    let schema = schema
    try server.open(file: file) { () throws(StorageError) in try SchemaFile.read(schema) }
    let socket = directory.file("db.sock")
    try server.listen(on: .listenUnix(path: socket))
    #expect(Invoked("--db=unix:\(socket)", "--no-wait", "add-br", "br0", loop: loop).status == .code(0))
    let copy = directory.file("copy.db")
    let words = ["--db=unix:\(socket)", "db", "backup", "Open_vSwitch", copy]
    let saved = Invoked(words, loop: loop)
    #expect(saved.status == .code(0), "\(saved)")
    #expect(db("check", copy).output.contains("4 rows, nothing wrong"))
    #expect(Invoked(words, loop: loop).status == .code(1), "it exists now")
    let compact = db("compact", file)
    #expect(compact.status == .code(1))
    #expect(compact.errors.contains("process \(getpid())") && compact.errors.contains("ovsdb-server/compact"))
    #expect(Invoked("--db=unix:\(socket)", "db", "backup", "Nope", copy + "2", loop: loop).status == .code(1))
    server.close()
    let restored = DatabaseServer(loop)
    try restored.open(file: copy) { () throws(StorageError) in try SchemaFile.read(schema) }
    try restored.listen(on: .listenUnix(path: socket))
    #expect(Invoked("--db=unix:\(socket)", "list-br", loop: loop).output == "br0\n")
    restored.close()
  }

  @Test func `What is wrong is one sentence`() throws {
    let missing = db("check", directory.file("none"))
    #expect(missing.status == .code(1))
    #expect(missing.errors == "switchctl: open \(directory.file("none")): No such file or directory\n")
    #expect(db("nonsense", file).status == .code(2))
    #expect(db().status == .code(2))
    #expect(db("check").status == .code(2))
    #expect(Invoked("db", "check", file, "--", "list-br", loop: loop).status == .code(2))
    #expect(
      Invoked("help", "db", "backup", loop: loop).output.hasPrefix(
        "usage: switchctl [OPTION]... db backup FILE"))
    #expect(Invoked("--help", "db", "check", loop: loop).output.contains("db check FILE"))
    #expect(Invoked("db", "check", "--help", loop: loop).output.contains("db check FILE"))
  }
}
