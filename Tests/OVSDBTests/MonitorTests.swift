import JSONRPC
import Testing

@testable import OVSDB

/// What only Open vSwitch's monitors can do (ovsdb-server(7) §4.1.12 to §4.1.16).
@Suite struct MonitorTests {
  let service: Service
  let client: TestClient

  init() throws {
    service = try Service()
    client = try service.client()
  }

  /// A client that was away is told what it missed, each row once, as long as the server remembers.
  @Test func monitorCondSinceGoesOn() throws {
    let request = #"["Test","m",{"Root":[{"columns":["name","number"],"where":[["number","<",5]]}]},"#
    func since(_ last: JSON) throws -> JSON {
      let other = try service.client()
      return try other.ask("monitor_cond_since", "\(request)\(last)]")
    }
    func transact(_ operation: String) throws { try client.ask("transact", "[\"Test\",\(operation)]") }
    for name in ["a", "b", "c"] {
      try transact(#"{"op":"insert","table":"Root","row":{"name":"\#(name)"}}"#)
    }
    let first = try since(.string(UUID.zero.description))
    #expect(first[0] == false)
    #expect(first[2]?["Root"]?.object?.count == 3)
    let last = try #require(first[1])
    #expect(try since(last) == [true, last, [:]])

    // Changed twice; gone; out of sight; new; new and gone.
    try transact(#"{"op":"update","table":"Root","where":[["name","==","a"]],"row":{"number":1}}"#)
    try transact(#"{"op":"update","table":"Root","where":[["name","==","a"]],"row":{"number":2}}"#)
    try transact(#"{"op":"delete","table":"Root","where":[["name","==","b"]]}"#)
    try transact(#"{"op":"update","table":"Root","where":[["name","==","c"]],"row":{"number":9}}"#)
    try transact(#"{"op":"insert","table":"Root","row":{"name":"d"}}"#)
    try transact(#"{"op":"insert","table":"Root","row":{"name":"e"}}"#)
    try transact(#"{"op":"delete","table":"Root","where":[["name","==","e"]]}"#)
    let reply = try since(last)
    #expect(reply[0] == true)
    let told = reply[2]?["Root"]?.object?.values.map { $0.text }.sorted()
    #expect(
      told == [
        #"{"delete":null}"#, #"{"delete":null}"#, #"{"insert":{"name":"d"}}"#, #"{"modify":{"number":2}}"#,
      ])

    for number in 0..<History.maximumCommits {
      try transact(
        #"{"op":"update","table":"Root","where":[["name","==","d"]],"row":{"number":\#(number % 4)}}"#)
    }
    #expect(try since(last)[0] == false)
  }

  @Test func historyIsBoundedByRowsToo() throws {
    var history = History(UUID(high: 0, low: 0))
    let rows = (0..<UInt64(History.maximumRows / 2 + 1)).map {
      RowChange(uuid: UUID(high: 1, low: $0), old: nil, new: nil)
    }
    for id in 1...3 { history.append([(0, rows)], leadingTo: UUID(high: 0, low: UInt64(id))) }
    #expect(history.changes(since: UUID(high: 0, low: 1)) == nil)
    #expect(history.changes(since: UUID(high: 0, low: 2))?.first?.rows.count == rows.count)
    #expect(history.changes(since: UUID(high: 0, low: 3))?.isEmpty == true)
  }

  @Test func conditionsOfAMonitorAreAlternativesAndCanBeChanged() throws {
    for number in 0..<6 {
      try client.ask(
        "transact",
        #"["Test",{"op":"insert","table":"Root","row":{"name":"\#(number)","number":\#(number)}}]"#)
    }
    func names(_ updates: JSON?) -> [String] {
      (updates?["Root"]?.object?.values ?? [:].values).map { update in
        let (kind, row) = update.object?.first ?? ("", nil)
        return kind == "delete" ? "-" : row["name"]?.string ?? "?"
      }.sorted()
    }
    let reply = try client.ask(
      "monitor_cond",
      #"["Test","m",{"Root":[{"columns":["name"],"where":[["number","==",1],["number",">",3]]}],"Single":[{}]}]"#
    )
    #expect(names(reply) == ["1", "4", "5"])
    #expect(
      try client.ask("monitor_cond_change", #"["m","n",{"Root":[{"where":[["number","<",2]]}]}]"#) == [:])
    guard case .notification("update2", let params) = try #require(client.events.first) else {
      Issue.record("no update before the reply: \(client.events)")
      return
    }
    #expect(params[0] == "n")
    #expect(names(params[1]) == ["-", "-", "0"])
    client.events = []

    // The new conditions hold from now on, and the table not named kept its own.
    try client.ask(
      "transact",
      #"["Test",{"op":"update","table":"Root","where":[["number","==",5]],"row":{"number":-5}},{"op":"insert","table":"Single","row":{}}]"#
    )
    guard case .notification("update2", let next) = try #require(client.events.first) else { return }
    #expect(names(next[1]) == ["5"])
    #expect(next[1]["Single"] != nil)
    client.events = []
    #expect(try client.ask("monitor_cond_change", #"["n","n",{"Root":[{"where":[true]}]}]"#) == [:])
    #expect(client.events.count == 1)
    client.events = []
    #expect(try client.ask("monitor_cond_change", #"["n","n",{"Root":[{"where":[true]}]}]"#) == [:])
    #expect(client.events == [])
    for (id, change) in [
      ("m", "{}"), ("n", #"{"Child":[{"where":[]}]}"#), ("n", #"{"Nope":[]}"#),
      ("n", #"{"Root":[{"columns":[]}]}"#), ("n", #"{"Root":[{"where":[["nope","==",1]]}]}"#), ("n", "[]"),
    ] {
      #expect(try client.ask("monitor_cond_change", "[\"\(id)\",\"x\",\(change)]")["error"] != nil)
    }
    try client.ask("monitor", #"["Test","plain",{"Root":[{"columns":["name"]}]}]"#)
    #expect(
      try client.ask("monitor_cond_change", #"["plain","plain",{}]"#)["error"] == "syntax error")
  }
}
