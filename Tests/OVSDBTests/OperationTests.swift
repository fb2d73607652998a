import JSONRPC
import Testing

@testable import OVSDB

@Suite struct OperationTests {
  let database: Database

  init() throws { database = Database(schema: try testSchema()) }

  /// The `error` member of the last result that is not null.
  private func failure(_ operations: String, owning locks: Set<String> = []) throws -> String? {
    let before = database.contents
    let results = try database.transact(operations, owning: locks)
    #expect(database.contents == before, "a failed transaction leaves no trace")
    return results.last { !$0.isNull }?["error"]?.string
  }

  private func rows(_ table: String, _ condition: String = "[]", _ columns: String = #"["name"]"#) throws
    -> [JSON]
  {
    let results = try database.transact(
      #"{"op":"select","table":"\#(table)","where":\#(condition),"columns":\#(columns)}"#)
    return try #require(results.first?["rows"]?.array)
  }

  @Test func insertFillsDefaultsAndSelectFindsRows() throws {
    let results = try database.transact(#"{"op":"insert","table":"Root","row":{"name":"a","number":7}}"#)
    let uuid = try #require(results[0]["uuid"]?[1]?.string)
    let found = try rows(
      "Root", #"[["_uuid","==",["uuid","\#(uuid)"]]]"#, #"["name","number","tags","maybe","flag","ratio"]"#)
    #expect(
      found == [
        ["name": "a", "number": 7, "tags": ["set", []], "maybe": ["set", []], "flag": false, "ratio": 0]
      ])
  }

  @Test(arguments: [
    (#"[["number","<",5]]"#, ["a"]), (#"[["number","<=",5]]"#, ["a", "b"]), (#"[["number",">",5]]"#, ["c"]),
    (#"[["number",">=",5],["name","!=","c"]]"#, ["b"]), (#"[["number","==",5]]"#, ["b"]),
    (#"[["number","!=",5]]"#, ["a", "c"]),
    (#"[["maybe","<",9]]"#, ["a"]), (#"[["maybe","==",["set",[]]]]"#, ["b", "c"]),
    (#"[["maybe",">=",1]]"#, ["a"]),
    (#"[["tags","includes",["set",[2,1]]]]"#, ["a", "b"]), (#"[["tags","includes",3]]"#, ["b"]),
    (#"[["tags","excludes",["set",[3,4]]]]"#, ["a", "c"]), (#"[["tags","==",["set",[2,1]]]]"#, ["a"]),
    (#"[["tags","!=",["set",[]]]]"#, ["a", "b"]), (#"[["options","includes",["map",[["k","v"]]]]]"#, ["a"]),
    (#"[["options","excludes",["map",[["k","v"]]]]]"#, ["b", "c"]),
    (#"[["options","==",["map",[["k","w"]]]]]"#, ["b"]),
    (#"[["name","includes","a"]]"#, ["a"]), (#"[true]"#, ["a", "b", "c"]), (#"[false]"#, []),
    (#"[["flag","==",true]]"#, ["c"]), (#"[["ratio",">",0]]"#, ["c"]),
  ])
  func conditionsSelect(condition: String, names: [String]) throws {
    try database.transact(
      """
      {"op":"insert","table":"Root","row":{"name":"a","number":1,"maybe":8,"tags":["set",[1,2]],"options":["map",[["k","v"]]]}},
      {"op":"insert","table":"Root","row":{"name":"b","number":5,"tags":["set",[1,2,3]],"options":["map",[["k","w"]]]}},
      {"op":"insert","table":"Root","row":{"name":"c","number":9,"flag":true,"ratio":0.5}}
      """)
    #expect(try rows("Root", condition).compactMap { $0["name"]?.string }.sorted() == names)
  }

  @Test(arguments: [
    (#"["number","+=",3]"#, "number", "13"), (#"["number","-=",3]"#, "number", "7"),
    (#"["number","*=",3]"#, "number", "30"),
    (#"["number","/=",3]"#, "number", "3"), (#"["number","%=",3]"#, "number", "1"),
    (#"["ratio","+=",1]"#, "ratio", "3.5"),
    (#"["ratio","/=",2]"#, "ratio", "1.25"), (#"["maybe","+=",1]"#, "maybe", #"["set",[]]"#),
    (#"["tags","+=",1]"#, "tags", #"["set",[2,3,4]]"#),
    (#"["tags","insert",["set",[3,9]]]"#, "tags", #"["set",[1,2,3,9]]"#),
    (#"["tags","delete",["set",[1,2,7]]]"#, "tags", "3"),
    (#"["tags","delete",1]"#, "tags", #"["set",[2,3]]"#),
    (#"["options","insert",["map",[["k","new"],["l","x"]]]]"#, "options", #"["map",[["k","v"],["l","x"]]]"#),
    (#"["options","delete",["map",[["k","other"]]]]"#, "options", #"["map",[["k","v"]]]"#),
    (#"["options","delete",["map",[["k","v"]]]]"#, "options", #"["map",[]]"#),
    (#"["options","delete",["set",["k"]]]"#, "options", #"["map",[]]"#),
    (#"["options","delete","k"]"#, "options", #"["map",[]]"#),
    (#"["maybe","insert",4]"#, "maybe", "4"),
  ])
  func mutationsChangeOneColumn(mutation: String, column: String, result: String) throws {
    try database.transact(
      """
      {"op":"insert","table":"Root","row":{"name":"a","number":10,"ratio":2.5,"tags":["set",[1,2,3]],"options":["map",[["k","v"]]]}},
      {"op":"mutate","table":"Root","where":[],"mutations":[\(mutation)]}
      """)
    #expect(try rows("Root", "[]", "[\"\(column)\"]").first?[column]?.text == result)
  }

  /// Every way to fail, and the RFC's name for it. Each begins with an insert that must leave no trace.
  static let failures: [(String, String)] = [
    (#"{"op":"explode"}"#, "unknown operation"), (#""insert""#, "syntax error"), ("{}", "syntax error"),
    (#"{"op":"insert","table":"Root"}"#, "syntax error"),
    (#"{"op":"insert","table":"Nope","row":{}}"#, "unknown table"),
    (#"{"op":"insert","table":"Root","row":{"nope":1}}"#, "unknown column"),
    (#"{"op":"insert","table":"Root","row":[]}"#, "syntax error"),
    (#"{"op":"insert","table":"Root","row":{},"surplus":1}"#, "syntax error"),
    (
      #"{"op":"insert","table":"Root","row":{"_uuid":["uuid","00000000-0000-0000-0000-000000000001"]}}"#,
      "constraint violation"
    ),
    (#"{"op":"insert","table":"Root","row":{"number":"x"}}"#, "syntax error"),
    (#"{"op":"insert","table":"Root","row":{"number":100001}}"#, "constraint violation"),
    (#"{"op":"insert","table":"Root","row":{"color":"blue"}}"#, "constraint violation"),
    (#"{"op":"insert","table":"Root","row":{"short":"12345"}}"#, "constraint violation"),
    (#"{"op":"insert","table":"Root","row":{"few":["set",["a","b","c","d"]]}}"#, "syntax error"),
    (#"{"op":"insert","table":"Root","row":{"few":["set",["a","a"]]}}"#, "ovsdb error"),
    (
      #"{"op":"mutate","table":"Root","where":[],"mutations":[["few","insert",["set",["a","b","c"]]],["few","insert","d"]]}"#,
      "constraint violation"
    ),
    (
      #"{"op":"insert","table":"Child","row":{"next":["uuid","00000000-0000-0000-0000-000000000001"]}}"#,
      "referential integrity violation"
    ),
    (
      #"{"op":"insert","table":"Root","row":{"name":"x"}},{"op":"insert","table":"Root","row":{"name":"x"}}"#,
      "constraint violation"
    ),
    (#"{"op":"insert","table":"Root","row":{"name":"there"}}"#, "constraint violation"),
    (
      #"{"op":"insert","table":"Single","row":{}},{"op":"insert","table":"Single","row":{}}"#,
      "constraint violation"
    ),
    (
      #"{"op":"insert","table":"Child","uuid-name":"n","row":{}},{"op":"insert","table":"Child","uuid-name":"n","row":{}}"#,
      "duplicate uuid-name"
    ),
    (#"{"op":"insert","table":"Root","row":{"children":["named-uuid","nobody"]}}"#, "syntax error"),
    (
      #"{"op":"insert","table":"Root","row":{"children":["uuid","00000000-0000-0000-0000-000000000001"]}}"#,
      "referential integrity violation"
    ),
    (#"{"op":"delete","table":"Child","where":[["name","==","kept"]]}"#, "referential integrity violation"),
    (#"{"op":"update","table":"Root","where":[],"row":{"fixed":"new"}}"#, "constraint violation"),
    (#"{"op":"update","table":"Root","where":[["number","includes","x"]],"row":{}}"#, "syntax error"),
    (#"{"op":"update","table":"Root","where":[["number","~",1]],"row":{}}"#, "unknown function"),
    (#"{"op":"update","table":"Root","where":[["name","<","x"]],"row":{}}"#, "syntax error"),
    (#"{"op":"update","table":"Root","where":[["nope","==",1]],"row":{}}"#, "unknown column"),
    (#"{"op":"mutate","table":"Root","where":[],"mutations":[["number","/=",0]]}"#, "domain error"),
    (#"{"op":"mutate","table":"Root","where":[],"mutations":[["number","%=",0]]}"#, "domain error"),
    (
      #"{"op":"mutate","table":"Root","where":[],"mutations":[["number","*=",9223372036854775807],["number","*=",2]]}"#,
      "range error"
    ),
    (
      #"{"op":"mutate","table":"Root","where":[],"mutations":[["number","-=",1000]]}"#, "constraint violation"
    ),
    (
      #"{"op":"mutate","table":"Root","where":[],"mutations":[["ratio","*=",1e308],["ratio","*=",1e308]]}"#,
      "range error"
    ),
    (#"{"op":"mutate","table":"Root","where":[],"mutations":[["ratio","/=",0]]}"#, "domain error"),
    (#"{"op":"mutate","table":"Root","where":[],"mutations":[["number","^=",2]]}"#, "unknown mutator"),
    (#"{"op":"mutate","table":"Root","where":[],"mutations":[["name","+=","x"]]}"#, "syntax error"),
    (
      #"{"op":"mutate","table":"Root","where":[],"mutations":[["fixed","insert","x"]]}"#,
      "constraint violation"
    ),
    (
      #"{"op":"mutate","table":"Root","where":[],"mutations":[["name","delete","there"]]}"#,
      "syntax error"
    ),
    (
      #"{"op":"wait","timeout":0,"table":"Root","where":[],"columns":["name"],"until":"==","rows":[]}"#,
      "timed out"
    ),
    (
      #"{"op":"wait","timeout":0,"table":"Root","where":[],"columns":["name"],"until":"=","rows":[]}"#,
      "syntax error"
    ),
    (#"{"op":"abort"}"#, "aborted"), (#"{"op":"assert","lock":"mine"}"#, "not owner"),
    (#"{"op":"commit"}"#, "syntax error"),
    (#"{"op":"comment","comment":1}"#, "syntax error"),
  ]

  @Test(arguments: failures)
  func `Row 29: failures have their name and leave no trace`(operations: String, name: String) throws {
    try database.transact(
      """
      {"op":"insert","table":"Child","uuid-name":"c","row":{"name":"kept"}},
      {"op":"insert","table":"Root","row":{"name":"there","number":10,"ratio":1.5,"children":["named-uuid","c"]}}
      """)
    #expect(try failure(#"{"op":"insert","table":"Root","row":{"name":"first"}},"# + operations) == name)
  }

  @Test func resultsAfterAFailureAreNull() throws {
    let results = try database.transact(
      #"{"op":"insert","table":"Single","row":{}},{"op":"abort"},{"op":"comment","comment":"x"}"#)
    #expect(results.count == 3)
    #expect(results[1]["error"] == "aborted")
    #expect(results[2].isNull)
  }

  @Test func aFailureToCommitIsOneResultMore() throws {
    let results = try database.transact(
      #"{"op":"insert","table":"Single","row":{}},{"op":"insert","table":"Single","row":{}}"#)
    #expect(results.count == 3)
    #expect(results[2]["error"] == "constraint violation")
    #expect(results[2]["details"]?.string?.contains("Single") == true)
  }

  @Test func namesMayBeUsedBeforeTheirInsertAndUUIDsChosen() throws {
    let uuid = "11111111-2222-3333-4444-555555555555"
    let results = try database.transact(
      """
      {"op":"insert","table":"Root","row":{"name":"r","children":["set",[["named-uuid","later"]]]}},
      {"op":"insert","table":"Child","uuid-name":"later","uuid":"\(uuid)","row":{"name":"c"}}
      """)
    #expect(results[1] == ["uuid": ["uuid", .string(uuid)]])
    #expect(try rows("Root", "[]", #"["children"]"#) == [["children": ["uuid", .string(uuid)]]])
    #expect(try failure(#"{"op":"insert","table":"Child","uuid":"\#(uuid)","row":{}}"#) == "duplicate uuid")
    #expect(
      try failure(
        #"{"op":"delete","table":"Root","where":[]},{"op":"delete","table":"Child","where":[]},{"op":"insert","table":"Child","uuid":"\#(uuid)","row":{}}"#
      ) == "duplicate uuid")
  }

  @Test func operationsSeeWhatThoseBeforeThemDid() throws {
    let results = try database.transact(
      """
      {"op":"insert","table":"Root","row":{"name":"a"}},
      {"op":"update","table":"Root","where":[["name","==","a"]],"row":{"number":5}},
      {"op":"mutate","table":"Root","where":[["number","==",5]],"mutations":[["number","+=",1]]},
      {"op":"select","table":"Root","where":[],"columns":["number"]},
      {"op":"delete","table":"Root","where":[["number","==",6]]},
      {"op":"select","table":"Root","where":[]},
      {"op":"wait","timeout":0,"table":"Root","where":[],"columns":["name"],"until":"==","rows":[]},
      {"op":"wait","timeout":0,"table":"Root","where":[],"columns":["name"],"until":"!=","rows":[{"name":"a"}]},
      {"op":"commit","durable":true}, {"op":"comment","comment":"x"}, {"op":"assert","lock":"mine"}
      """, owning: ["mine"])
    #expect(
      results.dropFirst() == [
        ["count": 1], ["count": 1], ["rows": [["number": 6]]], ["count": 1], ["rows": []], [:], [:], [:], [:],
        [:],
      ])
  }

  @Test func unchangedRowsKeepTheirVersion() throws {
    try database.transact(#"{"op":"insert","table":"Root","row":{"name":"a","number":1}}"#)
    let before = try rows("Root", "[]", #"["_version"]"#)
    try database.transact(#"{"op":"update","table":"Root","where":[],"row":{"number":1}}"#)
    #expect(try rows("Root", "[]", #"["_version"]"#) == before)
    try database.transact(#"{"op":"update","table":"Root","where":[],"row":{"number":2}}"#)
    #expect(try rows("Root", "[]", #"["_version"]"#) != before)
  }

  @Test func aWaitGoesOnUntilItsTimeIsUp() throws {
    let operations = try #require(
      try JSON(
        parsing:
          #"[{"op":"wait","timeout":60000,"table":"Root","where":[],"columns":["name"],"until":"==","rows":[{"name":"a"}]},{"op":"insert","table":"Single","row":{}}]"#
      ).array)
    let execution = Execution(database, operations)
    guard case .waiting(let deadline) = execution.attempt() else { Issue.record("it should wait"); return }
    #expect(deadline != nil)
    try database.transact(#"{"op":"insert","table":"Root","row":{"name":"a"}}"#)
    guard case .finished(let results, let changes) = execution.attempt() else {
      Issue.record("it should go on"); return
    }
    #expect(results.first == [:])
    #expect(changes?.count == 1)
  }

  @Test func workIsBounded() throws {
    for number in 0..<20 {
      try database.transact(#"{"op":"insert","table":"Root","row":{"name":"\#(number)"}}"#)
    }
    database.workLimit = 20 * 18 * Transaction.costOfValue * 10
    let select: JSON = ["op": "select", "table": "Root", "where": []]
    #expect(try database.transact(Array(repeating: select, count: 9)).allSatisfy { $0["error"] == nil })
    let results = try database.transact(Array(repeating: select, count: 20))
    #expect(results.contains { $0["error"] == "resources exhausted" })
  }

  @Test func aReadOnlyDatabaseCanBeLookedAt() throws {
    let catalog = Database(ServerCatalog.schema, nil, isReadOnly: true)
    #expect(try catalog.transact(#"{"op":"select","table":"Database","where":[]}"#) == [["rows": []]])
    #expect(
      try catalog.transact(#"{"op":"insert","table":"Database","row":{}}"#)[0]["error"] == "not allowed")
  }
}
