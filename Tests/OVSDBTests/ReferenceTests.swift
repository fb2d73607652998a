import JSONRPC
import Testing

@testable import OVSDB

/// Garbage collection, weak references and integrity (RFC 7047 §3.2, `<base-type>`).
@Suite struct ReferenceTests {
  let database: Database

  init() throws {
    database = Database(schema: try testSchema())
    try database.transact(
      """
      {"op":"insert","table":"Root","row":{"name":"root","children":["named-uuid","a"],"friends":["named-uuid","b"]}},
      {"op":"insert","table":"Child","uuid-name":"a","row":{"name":"a","next":["named-uuid","b"]}},
      {"op":"insert","table":"Child","uuid-name":"b","row":{"name":"b","next":["named-uuid","c"]}},
      {"op":"insert","table":"Child","uuid-name":"c","row":{"name":"c"}}
      """)
  }

  private func names() throws -> [String] {
    try #require(try database.transact(#"{"op":"select","table":"Child","where":[]}"#)[0]["rows"]?.array)
      .compactMap { $0["name"]?.string }.sorted()
  }

  @Test func unreferencedRowsVanishAlongTheChain() throws {
    #expect(try names() == ["a", "b", "c"])
    try database.transact(#"{"op":"update","table":"Root","where":[],"row":{"children":["set",[]]}}"#)
    #expect(try names() == [])
    let friends = try database.transact(#"{"op":"select","table":"Root","where":[],"columns":["friends"]}"#)
    #expect(friends == [["rows": [["friends": ["set", []]]]]])
  }

  @Test func aRowWithAnotherReferenceStays() throws {
    try database.transact(
      """
      {"op":"insert","table":"Root","row":{"name":"other","named":["map",[["x",["named-uuid","d"]]]]}},
      {"op":"insert","table":"Child","uuid-name":"d","row":{"name":"d"}},
      {"op":"mutate","table":"Child","where":[["name","==","c"]],"mutations":[["next","insert",["set",[["named-uuid","d"]]]]]}
      """)
    try database.transact(
      #"{"op":"update","table":"Root","where":[["name","==","root"]],"row":{"children":["set",[]]}}"#)
    #expect(try names() == ["d"])
  }

  @Test func aRowInsertedWithoutAReferenceNeverExisted() throws {
    try database.transact(#"{"op":"insert","table":"Child","row":{"name":"lonely"}}"#)
    #expect(try names() == ["a", "b", "c"])
  }

  @Test func aLongChainIsCollectedInOneGo() throws {
    let count = 20_000
    var operations = (0..<count).map { index -> JSON in
      var row: [String: JSON] = ["name": .string("\(index)")]
      if index + 1 < count { row["next"] = ["named-uuid", .string("n\(index + 1)")] }
      return ["op": "insert", "table": "Child", "uuid-name": .string("n\(index)"), "row": .object(row)]
    }
    operations.append([
      "op": "insert", "table": "Root", "row": ["name": "head", "children": ["named-uuid", "n0"]],
    ])
    try database.transact(operations)
    #expect(try names().count == count + 3)
    try database.transact(#"{"op":"delete","table":"Root","where":[["name","==","head"]]}"#)
    #expect(try names() == ["a", "b", "c"])
  }

  @Test func deletingABridgeAndItsPartsExplicitlyIsFine() throws {
    let results = try database.transact(
      #"{"op":"delete","table":"Child","where":[]},{"op":"delete","table":"Root","where":[]}"#)
    #expect(results == [["count": 3], ["count": 1]])
    #expect(database.rowCount == 0)
  }

  @Test func aWeakReferenceThatMustNotGoKeepsItsRow() throws {
    try database.transact(
      """
      {"op":"insert","table":"Needy","row":{"friend":["named-uuid","n"]}},
      {"op":"insert","table":"Child","uuid-name":"n","row":{"name":"n"}},
      {"op":"mutate","table":"Root","where":[],"mutations":[["children","insert",["named-uuid","n"]]]}
      """)
    let before = database.contents
    let results = try database.transact(
      #"{"op":"update","table":"Root","where":[],"row":{"children":["set",[]]}}"#)
    #expect(results.last?["error"] == "constraint violation")
    #expect(database.contents == before)
  }

  @Test func aDanglingWeakReferenceIsDroppedWhenWritten() throws {
    try database.transact(
      #"{"op":"update","table":"Root","where":[],"row":{"friends":["uuid","00000000-0000-0000-0000-000000000009"]}}"#
    )
    let friends = try database.transact(#"{"op":"select","table":"Root","where":[],"columns":["friends"]}"#)
    #expect(friends == [["rows": [["friends": ["set", []]]]]])
  }

  @Test func anIndexedValueMayMoveBetweenRows() throws {
    try database.transact(#"{"op":"insert","table":"Root","row":{"name":"x"}}"#)
    let results = try database.transact(
      """
      {"op":"update","table":"Root","where":[["name","==","x"]],"row":{"name":"temporary"}},
      {"op":"update","table":"Root","where":[["name","==","root"]],"row":{"name":"x"}},
      {"op":"update","table":"Root","where":[["name","==","temporary"]],"row":{"name":"root"}}
      """)
    #expect(results == [["count": 1], ["count": 1], ["count": 1]])
    #expect(
      try database.transact(#"{"op":"insert","table":"Root","row":{"name":"x"}}"#).last?["error"]
        == "constraint violation")
    #expect(try database.transact(#"{"op":"insert","table":"Root","row":{"name":"free"}}"#).count == 1)
  }
}
