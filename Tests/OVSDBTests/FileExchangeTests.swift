import Glibc
import JSONRPC
import Linux
import OVSDBTesting
import Testing

@testable import OVSDB

/// Files that go back and forth between this program and Open vSwitch's own.
@Suite(.enabled(if: ReferenceServer.isInstalled, "needs ovsdb-server (Debian: openvswitch-switch)"))
struct FileExchangeTests {
  let directory: TemporaryDirectory
  let path: String

  init() throws {
    directory = try TemporaryDirectory()
    path = directory.file("conf.db")
  }

  private func open() throws -> Database {
    try Storage.open(path) { () throws(StorageError) in
      try SchemaFile.read(sourceTree + "/etc/" + SchemaFile.name)
    }
  }

  private func tool(_ words: String) throws -> String {
    let result = run("ovsdb-tool \(words)")
    #expect(result.status == 0, "ovsdb-tool \(words): \(result.output)")
    return result.output
  }

  private func select(_ table: String) -> String {
    #"'["Open_vSwitch",{"op":"select","table":"\#(table)","where":[]}]'"#
  }

  @Test func `ovsdb-tool reads, changes and compacts a file of ours, and we go on with it`() throws {
    var database = try open()
    try database.transact(
      """
      {"op":"insert","table":"Bridge","uuid-name":"b","row":{"name":"br0","fail_mode":"secure","other_config":["map",[["k","ü\\n"]]]}},
      {"op":"insert","table":"Open_vSwitch","row":{"bridges":["named-uuid","b"]}},{"op":"comment","comment":"made here"}
      """)
    try database.transact(
      #"{"op":"mutate","table":"Bridge","where":[],"mutations":[["other_config","insert",["map",[["l","w"]]]],["other_config","delete",["set",["k"]]]]}"#
    )
    database.storage?.close()
    #expect(try tool("db-name \(path)") == "Open_vSwitch\n")
    #expect(try tool("db-version \(path)") == database.schema.version + "\n")
    #expect(try tool("show-log -mm \(path)").contains("made here"))
    #expect(try tool("query \(path) \(select("Bridge"))").contains(#"["map",[["l","w"]]]"#))
    let added =
      try tool(
        #"transact \#(path) '["Open_vSwitch",{"op":"update","table":"Bridge","where":[],"row":{"external_ids":["map",[["a","b"]]]}},{"op":"comment","comment":"made there"}]'"#
      )
    #expect(added.contains("count"))
    database = try open()
    let row = try #require(database.contents["Bridge"]?.values.first)
    #expect(row["external_ids"]?.stringMap == ["a": "b"])
    #expect(row["other_config"]?.stringMap == ["l": "w"])
    database.storage?.close()
    _ = try tool("compact \(path)")
    let again = try open()
    #expect(again.contents == database.contents)
    try again.storage?.rewrite(again)
    again.storage?.close()
    #expect(try tool("query \(path) \(select("Bridge"))").contains(#"["map",[["a","b"]]]"#))
    #expect(try DatabaseCheck.run(path).rows == 2)
  }

  @Test func `A file that ovsdb-server wrote is opened as it is, changed, and read back`() throws {
    let reference = try ReferenceServer()
    for command in [
      "add-br br0", "add-port br0 p1 tag=5 trunks=1,2,3", "set Port p1 trunks=2,4 other_config:x=y",
      "remove Port p1 other_config x", "set Bridge br0 other_config:a=b", "del-port p1", "add-port br0 p2",
    ] {
      let result = run("ovs-vsctl --no-wait --db=unix:\(reference.socket) \(command)")
      #expect(result.status == 0, "\(result.output)")
    }
    let dump = try reference.dump()
    reference.stop()
    try readFile(reference.directory.file("db")).write(toFile: path)
    let database = try open()
    #expect(database.contents["Port"]?.count == 2)
    #expect(database.schema.checksum != nil, "its own schema")
    try database.transact(
      #"{"op":"update","table":"Bridge","where":[],"row":{"external_ids":["map",[["a","b"]]]}}"#)
    try database.transact(#"{"op":"update","table":"Bridge","where":[],"row":{"external_ids":["map",[]]}}"#)
    database.storage?.close()
    try readFile(path).write(toFile: reference.directory.file("db"))
    try reference.start()
    #expect(try reference.dump() == dump)
  }

  /// Both ways: the lock is the same.
  @Test func `Row 30: who has a file keeps the other program out, and is named`() throws {
    let database = try open()
    let refused = run("ovsdb-tool compact \(path)")
    #expect(refused.status != 0)
    #expect(refused.output.contains("\(getpid())"), "\(refused.output)")
    database.storage?.close()
    _ = try tool("compact \(path)")

    let reference = try ReferenceServer()
    let error = #expect(throws: StorageError.self) {
      try Storage.open(reference.directory.file("db")) { () throws(StorageError) in throw StorageError("none")
      }
    }
    let pid = try #require(error?.description.split(separator: "process ").last?.prefix { $0.isNumber })
    #expect(String(decoding: try readFile("/proc/\(pid)/comm"), as: UTF8.self) == "ovsdb-server\n")
  }
}
