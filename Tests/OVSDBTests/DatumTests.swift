import Seeded
import JSONRPC
import Testing

@testable import OVSDB

@Suite struct DatumTests {
  static func type(_ text: String) throws -> ColumnType { try ColumnType(JSON(parsing: text)) }
  static let integers = #"{"key":"integer","min":0,"max":"unlimited"}"#
  static let map = #"{"key":"string","value":"integer","min":0,"max":"unlimited"}"#

  @Test(arguments: [
    (#""integer""#, "5", "5"), (#""integer""#, #"["set",[5]]"#, "5"), (#""integer""#, "5.0", "5"),
    (#""real""#, "5", "5"), (#""boolean""#, "true", "true"), (#""string""#, #""x""#, #""x""#),
    (
      #""uuid""#, #"["uuid","01234567-89AB-cdef-0123-456789abcdef"]"#,
      #"["uuid","01234567-89ab-cdef-0123-456789abcdef"]"#
    ),
    (integers, "7", "7"), (integers, #"["set",[]]"#, #"["set",[]]"#),
    (integers, #"["set",[3,1,2]]"#, #"["set",[1,2,3]]"#),
    (map, #"["map",[["b",1],["a",2]]]"#, #"["map",[["a",2],["b",1]]]"#),
    (map, #"["map",[]]"#, #"["map",[]]"#),
  ])
  func readsAndWritesRFC7047Forms(type: String, text: String, canonical: String) throws {
    let type = try Self.type(type)
    let datum = try Datum(JSON(parsing: text), type)
    #expect(datum.json(type).text == canonical)
    var written: [UInt8] = []
    datum.write(type, to: &written)
    #expect(String(decoding: written, as: UTF8.self) == canonical)
  }

  @Test(arguments: [
    (#""integer""#, "5.5"), (#""integer""#, #""5""#), (#""integer""#, "null"),
    (#""integer""#, #"["set",[]]"#),
    (#""integer""#, #"["set",[1,2]]"#), (#""string""#, "5"), (#""boolean""#, "1"), (#""uuid""#, #""x""#),
    (#""uuid""#, #"["uuid","x"]"#), (#""uuid""#, #"["uuid"]"#), (#""uuid""#, #"["named-uuid","x"]"#),
    (#""uuid""#, #"["uuid","01234567-89AB-cdef-0123-456789abcdeg"]"#), (map, #"["set",[]]"#),
    (map, #"["map",[["a"]]]"#),
    (map, #"["map",[["a",1],["a",2]]]"#), (map, #"["map",{}]"#), (map, "{}"),
    (#"{"key":{"type":"integer","minInteger":2}}"#, "1"),
    (#"{"key":{"type":"integer","maxInteger":2}}"#, "3"),
    (#"{"key":{"type":"real","minReal":0.5}}"#, "0"), (#"{"key":{"type":"string","minLength":2}}"#, #""é""#),
    (#"{"key":{"type":"string","maxLength":2}}"#, #""abc""#),
    (#"{"key":{"type":"string","enum":["set",["a","b"]]}}"#, #""c""#),
  ])
  func refusesWhatTheTypeForbids(type: String, text: String) throws {
    let type = try Self.type(type)
    let json = try JSON(parsing: text)
    #expect(throws: OVSDBError.self) { try Datum(json, type) }
  }

  @Test func stringLengthsCountCharacters() throws {
    let type = try Self.type(#"{"key":{"type":"string","maxLength":2}}"#)
    #expect(try Datum("éé", type).string == "éé")
  }

  @Test func differencesLeadFromOldToNew() {
    var random = SeededRandom(seed: 7)
    for _ in 0..<2000 {
      let (old, new) = random.below(2) == 0 ? (random.set(), random.set()) : (random.map(), random.map())
      #expect(old.applying(old.difference(to: new)) == new)
      #expect(old.difference(to: old).isEmpty)
    }
  }

  @Test func setAlgebraAgreesWithSwiftsSets() {
    var random = SeededRandom(seed: 8)
    for _ in 0..<2000 {
      let (a, b) = (random.set(), random.set())
      let (setA, setB) = (Set(a.integers), Set(b.integers))
      #expect(Set(a.inserting(b).integers) == setA.union(setB))
      #expect(Set(a.removing(b).integers) == setA.subtracting(setB))
      #expect(a.includes(b) == setB.isSubset(of: setA))
      #expect(a.excludes(b) == setA.isDisjoint(with: setB))
      #expect(Set(a.difference(to: b).integers) == setA.symmetricDifference(setB))
      #expect(a.inserting(b).integers == a.inserting(b).integers.sorted())
    }
  }

  @Test func mapsKeepTheirValueWhenAKeyIsInsertedAgain() {
    let a = Datum(["k": "old"])
    #expect(a.inserting(Datum(["k": "new", "l": "x"])).stringMap == ["k": "old", "l": "x"])
    #expect(a.removing(Datum(["k": "other"])) == a)
    #expect(a.removing(Datum(["k": "old"])).isEmpty)
    #expect(a.removing(Datum(strings: ["k"])).isEmpty)
  }

  @Test func theShippedSchemaReadsBackEqual() throws {
    let schema = try SchemaFile.read(sourceTree + "/etc/vswitch.ovsschema")
    #expect(schema.name == "Open_vSwitch")
    #expect(schema.tables.count == 19)
    #expect(schema[table: "Interface"]?[column: "statistics"]?.isEphemeral == true)
    #expect(schema[table: "Bridge"]?.isRoot == false)
    #expect(try DatabaseSchema(schema.json) == schema)
  }

  static let debianSchema = "/usr/share/openvswitch/vswitch.ovsschema"

  @Test(.enabled(if: fileExists(debianSchema), "needs the package openvswitch-common"))
  func theShippedSchemaIsOpenVSwitchs() throws {
    let ours = try SchemaFile.read(sourceTree + "/etc/vswitch.ovsschema")
    let theirs = try SchemaFile.read(Self.debianSchema)
    #expect(ours.version == theirs.version)
    #expect(ours.tables == theirs.tables)
  }

  @Test(arguments: [
    "[]", "{}", #"{"name":"D"}"#, #"{"name":"D","tables":{"T":{}}}"#, #"{"name":"1D","tables":{}}"#,
    #"{"name":"D","tables":{"T":{"columns":{"_x":{"type":"integer"}}}}}"#,
    #"{"name":"D","tables":{"T":{"columns":{"x":{"type":"int"}}}}}"#,
    #"{"name":"D","tables":{"T":{"columns":{"x":{"type":{"key":"integer","min":2}}}}}}"#,
    #"{"name":"D","tables":{"T":{"columns":{"x":{"type":{"key":"integer","max":0}}}}}}"#,
    #"{"name":"D","tables":{"T":{"columns":{"x":{"type":{"key":{"type":"uuid","refTable":"U"}}}}}}}"#,
    #"{"name":"D","tables":{"T":{"columns":{"x":{"type":{"key":{"type":"integer","refTable":"T"}}}}}}}"#,
    #"{"name":"D","tables":{"T":{"columns":{"x":{"type":"integer"}},"indexes":[["y"]]}}}"#,
    #"{"name":"D","tables":{"T":{"columns":{"x":{"type":"integer"}},"maxRows":0}}}"#,
    #"{"name":"D","tables":{"T":{"columns":{"x":{"type":{"key":{"type":"integer","minInteger":3,"maxInteger":2}}}}}}}"#,
  ])
  func brokenSchemasAreRefused(text: String) throws {
    let json = try JSON(parsing: text)
    #expect(throws: OVSDBError.self) { try DatabaseSchema(json) }
  }
}

extension SeededRandom {
  fileprivate mutating func set() -> Datum {
    Datum((0..<below(6)).map { _ in Atom.integer(Int64(below(8))) })
  }

  fileprivate mutating func map() -> Datum {
    Datum(map: (0..<below(6)).map { _ in (Atom.string("k\(below(6))"), Atom.integer(Int64(below(3)))) })
  }
}
