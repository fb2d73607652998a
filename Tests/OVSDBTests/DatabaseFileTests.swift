import Glibc
import JSONRPC
import Linux
import Testing

@testable import OVSDB

@Suite struct DatabaseFileTests {
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

  /// A file with these records after the schema, checksums right.
  private func write(_ records: [String]) throws {
    let texts = [try testSchema().json.text] + records
    try texts.flatMap { LogRecord.framed(Array($0.utf8)) }.write(toFile: path)
  }

  private let uuid = "11111111-2222-4333-8444-555555555555"

  @Test func `A sound file has nothing wrong`() throws {
    let database = try open()
    try database.transact(
      #"{"op":"insert","table":"Root","row":{"name":"a","children":["named-uuid","c"]}},{"op":"insert","table":"Child","uuid-name":"c","row":{"name":"c"}}"#
    )
    let summary = try DatabaseCheck.run(path)
    #expect(summary.rows == 2)
    #expect(summary.records == 2)
    #expect(summary.tornEnd == nil)
    database.storage?.close()
    let torn = try readFile(path) + Array("OVSDB JSON 20 ".utf8)
    try torn.write(toFile: path)
    #expect(try DatabaseCheck.run(path).tornEnd?.contains("record 3 at byte") == true)
    #expect(try readFile(path) == torn, "it only looks")
  }

  @Test(arguments: [
    (#"{"Root":{"U":{"number":100001}}}"#, "column number: 100001 is not in the range"),
    (#"{"Root":{"U":{"color":"blue"}}}"#, "column color"),
    (#"{"Root":{"U":{"children":["uuid","22222222-2222-4333-8444-555555555555"]}}}"#, "does not have"),
    (#"{"Root":{"U":{},"22222222-2222-4333-8444-555555555555":{}}}"#, "the same name"),
    (#"{"Single":{"U":{},"22222222-2222-4333-8444-555555555555":{"value":1}}}"#, "maximum of 1"),
    (#"{"Nope":{"U":{}}}"#, "no table \"Nope\""), (#"{"Root":{"U":{"nope":1}}}"#, "no column \"nope\""),
    (#"{"Root":{"U":{"number":"x"}}}"#, "expected integer"), (#"{"Root":{"U":null}}"#, "did not exist"),
    (#"{"Root":{"x":{}}}"#, "not a UUID"), (#"{"Root":"#, "invalid JSON"), ("[]", "must be an object"),
  ])
  func `What is wrong is said with its place`(record: String, expected: String) throws {
    try write([#"{"_comment":"sound"}"#, record.replacing("\"U\"", with: "\"\(uuid)\"")])
    let error = #expect(throws: StorageError.self) { try DatabaseCheck.run(path) }
    let text = try #require(error?.description)
    #expect(text.contains(expected), "\(text)")
    #expect(text.hasPrefix(path))
    if !expected.contains("maximum of 1") { #expect(text.contains("record 3"), "\(text)") }
  }

  @Test func `The history is told record by record`() throws {
    let database = try open()
    try database.transact(
      #"{"op":"insert","table":"Root","row":{"name":"a","tags":["set",[1,2]]}},{"op":"comment","comment":"why"}"#
    )
    try database.transact(
      #"{"op":"mutate","table":"Root","where":[],"mutations":[["tags","delete",1],["number","+=",3]]}"#)
    try database.transact(#"{"op":"delete","table":"Root","where":[]}"#)
    func told(_ detailed: Bool) throws -> [String] {
      var lines: [String] = []
      try DatabaseLog.describe(path, detailed: detailed) {
        lines += $0.split(separator: "\n").map(String.init)
      }
      return lines
    }
    let brief = try told(false)
    #expect(brief.count == 4)
    #expect(brief[0] == #"record 1 at byte 0: "Test" schema, version="1.0.0""#)
    #expect(brief[1].hasSuffix("Z \"why\""), "\(brief[1])")
    let full = try told(true).filter { $0.hasPrefix(" ") }.map {
      $0.replacing(/\([0-9a-f]{8}\)/, with: "(*)")
    }
    #expect(
      full == [
        #"  table Root insert row "a" (*):"#, #"    name="a""#, #"    tags=["set",[1,2]]"#,
        #"  table Root modify row "a" (*):"#, "    number=3", "    tags diff 1",
        #"  table Root delete row "a" (*):"#,
      ])
    database.storage?.close()
  }

  @Test func `A copy of a file that is being written is the database of one moment`() throws {
    let database = try open()
    let copy = directory.file("copy.db")
    for number in 0..<20 {
      try database.transact(#"{"op":"insert","table":"Root","row":{"name":"\#(number)"}}"#)
      unlink(copy)
      try DatabaseFile.backUp(path, to: copy)
      #expect(try DatabaseCheck.run(copy).rows == number + 1)
    }
    #expect(throws: StorageError.self) { try DatabaseFile.backUp(path, to: copy) }
    database.storage?.close()
  }

  @Test func `A file in use is not compacted, but its copy is`() throws {
    let database = try open()
    for number in 0..<50 {
      try database.transact(
        #"{"op":"delete","table":"Single","where":[]},{"op":"insert","table":"Single","row":{"value":\#(number)}}"#
      )
    }
    let before = try readFile(path)
    let error = #expect(throws: StorageError.self) { try DatabaseFile.compact(path, to: nil) }
    #expect(error?.description.contains("process \(getpid())") == true)
    let target = directory.file("small.db")
    let (old, new) = try DatabaseFile.compact(path, to: target)
    #expect(old == before.count && new < old)
    #expect(try readFile(path) == before)
    #expect(try DatabaseCheck.run(target).rows == 1)
    database.storage?.close()
    #expect(try DatabaseFile.compact(path, to: nil).after == new)
    #expect(try open().contents == database.contents)
  }

  @Test func `A new file is made, but never over another`() throws {
    try DatabaseFile.create(path, try testSchema())
    #expect(try DatabaseCheck.run(path).schema.name == "Test")
    #expect(throws: StorageError.self) { try DatabaseFile.create(path, try testSchema()) }
  }
}
