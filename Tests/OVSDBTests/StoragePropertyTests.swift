import Glibc
import JSONRPC
import Linux
import Seeded
import Testing

@testable import OVSDB

@Suite struct StoragePropertyTests {
  /// Random transactions, with the file closed, torn, compacted and opened again in between, against the model.
  @Test(arguments: 0..<6)
  func `Whatever happens to the process, the database is what was acknowledged`(seed: UInt64) throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("test.db")
    func open() throws -> Database {
      try Storage.open(path) { () throws(StorageError) in
        do { return try testSchema() } catch { throw StorageError("\(error)") }
      }
    }
    var random = SeededRandom(seed: seed)
    var generator = RandomOperations(seed: seed + 50, try testSchema())
    var database = try open()
    var model = Model(database.schema)
    for step in 0..<300 {
      let operations = generator.transaction()
      let results = try database.transact(operations)
      let didSucceed = results.count == operations.count && results.allSatisfy { $0["error"] == nil }
      #expect(didSucceed == model.transact(operations))
      switch random.below(12) {
      case 0: try database.storage?.rewrite(database)
      case 1, 2:
        database.storage?.close()
        if random.below(2) == 0 { try tear(path, random.below(100)) }
        database = try open()
        model.forgetEphemeral()
        database.expectConsistentBookkeeping()
      default: break
      }
      try #require(database.contents == model.tables, "seed \(seed), step \(step)")
    }
    database.storage?.close()
  }

  /// Appends the beginning of a record that is never finished.
  private func tear(_ path: String, _ length: Int) throws {
    let record = LogRecord.framed(
      Array(#"{"Root":{},"_comment":"\#(String(repeating: "x", count: 80))"}"#.utf8))
    let file = try OpenFile(path, O_RDWR)
    try file.write(record.prefix(length), at: try file.readAll().count)
  }

  /// Records of old programs say what a column becomes, those of new ones what changes in it.
  @Test(arguments: [true, false])
  func `Records with and without differences are understood`(isDifference: Bool) throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("test.db")
    let uuid = "11111111-2222-4333-8444-555555555555"
    let kind = isDifference ? #""_is_diff":true,"# : ""
    let first =
      #"{\#(kind)"_date":1,"Root":{"\#(uuid)":{"name":"a","number":1,"tags":["set",[1,2]],"options":["map",[["k","v"],["l","w"]]]}}}"#
    let second =
      #"{\#(kind)"_date":2,"Root":{"\#(uuid)":{"number":2,"tags":["set",[2,3]],"options":["map",[["k","x"],["l","w"]]]}}}"#
    let texts = [testSchemaText.replacing("\n", with: ""), first, second]
    try texts.flatMap { LogRecord.framed(Array($0.utf8)) }.write(toFile: path)
    let database = try Storage.open(path) { () throws(StorageError) in throw StorageError("no schema") }
    let row = try #require(database.contents["Root"]?.values.first)
    #expect(row["number"]?.integer == 2)
    #expect(row["tags"]?.integers == (isDifference ? [1, 3] : [2, 3]))
    #expect(row["options"]?.stringMap == (isDifference ? ["k": "x"] : ["k": "x", "l": "w"]))
    database.storage?.close()
  }
}

@Suite struct DatumPatchTests {
  /// Small differences of large sets and maps take another way than large ones, to the same end.
  @Test(arguments: 0..<10)
  func `A difference applied in place gives what it gives elsewhere`(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    func datum(_ count: Int, isMap: Bool) -> Datum {
      let keys = (0..<count).map { _ in Atom.integer(Int64(random.below(400))) }
      return isMap ? Datum(map: keys.map { ($0, .integer(Int64(random.below(3)))) }) : Datum(keys)
    }
    for _ in 0..<200 {
      let isMap = random.below(2) == 0
      let old = datum(random.below(300), isMap: isMap)
      let difference = datum(random.below(20), isMap: isMap)
      var patched = old
      patched.apply(difference)
      #expect(patched == old.applying(difference))
    }
  }
}

extension Model {
  /// As a server that was started again.
  mutating func forgetEphemeral() {
    for table in schema.tables {
      for column in table.columns where column.isEphemeral {
        for uuid in tables[table.name]!.keys {
          tables[table.name]![uuid]![column.name] = column.type.defaultDatum
        }
      }
    }
  }
}
