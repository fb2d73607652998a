import Glibc
import JSONRPC
import Linux
import OVSDBTesting
import Testing

@testable import OVSDB

@Suite struct SchemaConversionTests {
  let directory: TemporaryDirectory
  let path: String

  init() throws {
    directory = try TemporaryDirectory()
    path = directory.file("conf.db")
  }

  /// A small network: a switch with ports, each with a tag and a speed.
  private func schema(_ version: String, checksum: String? = nil, _ port: String, more: String = "") throws
    -> DatabaseSchema
  {
    let cksum = checksum.map { #""cksum":"\#($0)","# } ?? ""
    return try DatabaseSchema(
      JSON(
        parsing: """
          {"name":"Net","version":"\(version)",\(cksum)"tables":{
          "Switch":{"isRoot":true,"columns":{"name":{"type":"string"},
            "ports":{"type":{"key":{"type":"uuid","refTable":"Port"},"min":0,"max":"unlimited"}}}},
          "Port":{"columns":{\(port)}}\(more)}}
          """))
  }

  private let port =
    #""name":{"type":"string"},"tag":{"type":{"key":"integer","min":0}},"speed":{"type":"integer"}"#

  private func open(_ schema: DatabaseSchema) throws -> Database {
    try Storage.open(path) { () throws(StorageError) in schema }
  }

  /// Makes the file, with two ports.
  private func fill(_ schema: DatabaseSchema) throws {
    let database = try open(schema)
    try database.transact(
      """
      {"op":"insert","table":"Port","uuid-name":"a","row":{"name":"a","tag":7,"speed":10}},
      {"op":"insert","table":"Port","uuid-name":"b","row":{"name":"b","speed":40}},
      {"op":"insert","table":"Switch","row":{"name":"s","ports":["set",[["named-uuid","a"],["named-uuid","b"]]]}}
      """)
    database.storage?.close()
  }

  @Test func `A file of an older schema is converted when it is opened, after a copy was made`() throws {
    let old = try schema("1.0.0", checksum: "123 456", port)
    try fill(old)
    let before = try readFile(path)
    let newer = try schema(
      "1.1.0",
      #""name":{"type":"string"},"speed":{"type":"real"},"enabled":{"type":{"key":"boolean","min":0}}"#,
      more: #","Extra":{"isRoot":true,"columns":{"x":{"type":"integer"}}}"#)
    let database = try open(newer)
    #expect(database.schema == newer)
    let ports = try #require(database.contents["Port"]).values
    #expect(Set(ports.compactMap { $0["speed"]?.real }) == [10, 40])
    #expect(ports.allSatisfy { $0["enabled"] == .empty && $0["tag"] == nil })
    #expect(database.contents["Extra"] == [:])
    database.expectConsistentBookkeeping()
    database.storage?.close()
    #expect(try readFile(path + ".backup1.0.0-123") == before)
    // It is on disk: opened once more there is nothing to do.
    let converted = try readFile(path)
    try open(newer).storage?.close()
    #expect(try readFile(path) == converted)
  }

  @Test func `What does not fit is refused with its place, and the file is left as it was`() throws {
    try fill(try schema("1.0.0", port))
    let before = try readFile(path)
    let narrow = try schema(
      "2.0.0",
      #""name":{"type":"string"},"speed":{"type":{"key":{"type":"integer","maxInteger":20}}}"#)
    let error = #expect(throws: StorageError.self) { try open(narrow) }
    #expect(error?.description.contains("column speed: 40 is not at most 20") == true)
    #expect(error?.description.contains("from schema 1.0.0 to 2.0.0") == true)
    let needy = try schema("2.0.0", #""name":{"type":"string"},"tag":{"type":"integer"}"#)
    #expect(throws: StorageError.self) { try open(needy) }
    let unique = try DatabaseSchema(
      JSON(
        parsing:
          #"{"name":"Net","version":"3.0.0","tables":{"Switch":{"isRoot":true,"maxRows":1,"columns":{"name":{"type":"string"},"ports":{"type":{"key":{"type":"uuid","refTable":"Port"},"min":0,"max":1}}}},"Port":{"columns":{"name":{"type":"string"}}}}}"#
      ))
    #expect(throws: StorageError.self) { try open(unique) }
    #expect(try readFile(path) == before)
    #expect(!fileExists(path + ".backup1.0.0"))
  }

  @Test func `Rows that nothing refers to any more go with what referred to them`() throws {
    try fill(try schema("1.0.0", port))
    let bare = try DatabaseSchema(
      JSON(
        parsing:
          #"{"name":"Net","version":"1.2.0","tables":{"Switch":{"isRoot":true,"columns":{"name":{"type":"string"}}},"Port":{"columns":{"name":{"type":"string"}}}}}"#
      ))
    let database = try open(bare)
    #expect(database.contents["Port"] == [:])
    #expect(database.contents["Switch"]?.count == 1)
    database.storage?.close()
  }

  @Test
  func `A file is never converted to an older schema, nor to another of its version that lacks something`()
    throws
  {
    let file = try schema("1.10.0", checksum: "1 1", port)
    #expect(SchemaUpgrade.decide(file, file) == .keep)
    let older = try schema("1.9.9", port)
    guard case .warn(let reason) = SchemaUpgrade.decide(file, older) else {
      Issue.record("it is converted downward")
      return
    }
    #expect(reason.contains("1.10.0") && reason.contains("1.9.9"))
    let lacking = try schema("1.10.0", checksum: "2 2", #""name":{"type":"string"}"#)
    #expect(
      SchemaUpgrade.decide(file, lacking)
        == .warn("the installed schema of the same version 1.10.0 lacks the column speed of table Port"))
    let richer = try schema("1.10.0", checksum: "2 2", port + #","more":{"type":"integer"}"#)
    #expect(SchemaUpgrade.decide(file, richer) == .convert)
    // The same tables under another checksum, or none.
    #expect(SchemaUpgrade.decide(file, try schema("1.10.0", port)) == .keep)
    #expect(SchemaUpgrade.decide(file, try testSchema()) == .keep)

    try fill(file)
    let before = try readFile(path)
    let database = try open(older)
    #expect(database.schema == file)
    #expect(try readFile(path) == before)
    database.storage?.close()
  }

  @Test(.enabled(if: isInstalled("ovsdb-tool"), "needs ovsdb-tool"))
  func `The result is what ovsdb-tool convert makes`() throws {
    let old = try schema("1.0.0", port)
    try fill(old)
    let newer = try schema(
      "1.1.0",
      #""name":{"type":"string"},"tag":{"type":{"key":"integer","min":0,"max":4}},"speed":{"type":"real"}"#)
    let (file, copy) = (directory.file("new.ovsschema"), directory.file("copy.db"))
    try newer.json.bytes.write(toFile: file)
    let result = run("ovsdb-tool convert \(path) \(file) \(copy)")
    #expect(result.status == 0, "\(result.output)")
    let ours = try open(newer)
    let theirs = try Storage.open(copy) { () throws(StorageError) in newer }
    #expect(ours.contents == theirs.contents)
    ours.storage?.close()
    theirs.storage?.close()
  }
}
