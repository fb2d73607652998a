import JSONRPC
import Linux
import OVSDB
import OVSDBTesting
import Testing

/// The client against servers that send nonsense: the session is lost, nothing else.
struct ClientHostileServerTests {
  let loop: EventLoop
  let directory: ScratchDirectory

  init() throws {
    loop = try EventLoop()
    directory = try ScratchDirectory()
  }

  static let schema: JSON = [
    "name": "Open_vSwitch", "version": "1.0.0",
    "tables": ["T": ["columns": ["name": ["type": "string"], "n": ["type": "integer"]], "isRoot": true]],
  ]

  /// A server that answers each method with what `answers` has for it, and to others stays silent. It knows no
  /// extensions of RFC 7047 unless told so.
  final class Script {
    var server: Server?
    var connections: [Connection] = []
    var answers: [String: JSON]

    init(_ loop: EventLoop, _ path: String, _ answers: [String: JSON]) throws {
      self.answers = answers
      server = try Server(loop, on: .listenUnix(path: path)) { [unowned self] connection in
        connections.append(connection)
        connection.onRequest = { [unowned self, unowned connection] method, _, id in
          if let answer = self.answers[method] {
            connection.reply(to: id, answer)
          } else if method.hasPrefix("monitor_cond") {
            connection.fail(id, "unknown method")
          }
        }
      }
    }
  }

  func client(_ path: String, probe: Int? = nil) -> OVSDB.Client {
    var options = OVSDB.Client.Options()
    options.minimumBackoff = 1
    options.maximumBackoff = 2
    options.probeInterval = probe
    return OVSDB.Client(
      loop, remotes: [.unix(path: path)], options: options, monitoring: OVSDB.Client.everything)
  }

  /// Answers to `get_schema` and `monitor` that no client can work with.
  static let malformed: [[String: JSON]] = [
    ["get_schema": 1],
    ["get_schema": ["name": "Open_vSwitch", "tables": 3]],
    ["get_schema": ["name": "Open_vSwitch", "tables": ["T": ["columns": ["c": ["type": "no such type"]]]]]],
    ["get_schema": schema, "monitor": "text"],
    ["get_schema": schema, "monitor": ["U": [:]]],
    ["get_schema": schema, "monitor": ["T": ["not-a-uuid": ["new": [:]]]]],
    ["get_schema": schema, "monitor": ["T": ["00000000-0000-0000-0000-000000000001": 5]]],
    ["get_schema": schema, "monitor": ["T": ["00000000-0000-0000-0000-000000000001": [:]]]],
    ["get_schema": schema, "monitor": ["T": ["00000000-0000-0000-0000-000000000001": ["new": ["name": 9]]]]],
    [
      "get_schema": schema,
      "monitor": ["T": ["00000000-0000-0000-0000-000000000001": ["new": ["n": ["set", 1]]]]],
    ],
    [
      "get_schema": schema, "monitor": ["T": ["00000000-0000-0000-0000-000000000001": ["new": ["n": 1e300]]]],
    ],
  ]

  @Test(arguments: malformed.indices) func malformedAnswerEndsTheSession(_ index: Int) throws {
    let path = directory.file("s")
    let script = try Script(loop, path, Self.malformed[index])
    let client = client(path)
    var reasons: [String] = []
    client.onDisconnect = { reasons.append($0) }
    client.start()
    #expect(loop.run(atMost: 10_000) { reasons.count >= 2 })
    #expect(!client.isSynchronized)
    #expect(client.replica == nil)
    #expect(reasons.allSatisfy { $0.contains("malformed") })

    // The server comes to its senses: so does the client.
    script.answers = ["get_schema": Self.schema, "monitor": [:]]
    #expect(loop.run(atMost: 10_000) { client.isSynchronized })
  }

  @Test func malformedUpdateLeavesTheReplicaAsItWas() throws {
    let path = directory.file("s")
    let row = "00000000-0000-0000-0000-000000000001"
    let script = try Script(
      loop, path,
      ["get_schema": Self.schema, "monitor": ["T": .object([row: ["new": ["name": "a", "n": 1]]])]])
    let client = client(path)
    client.start()
    #expect(loop.run(atMost: 10_000) { client.isSynchronized })
    var reason = ""
    client.onDisconnect = { reason = $0 }
    // The second row is broken: the first one must not be applied either.
    script.connections.last?.notify(
      "update",
      [
        "Open_vSwitch",
        [
          "T": .object([
            row: ["new": ["name": "changed"]], "00000000-0000-0000-0000-000000000002": ["new": 3],
          ])
        ],
      ])
    #expect(loop.run(atMost: 10_000) { !reason.isEmpty })
    #expect(reason.contains("malformed update"))
    #expect(client.replica?.onlyRow("T")?.string("name") == "a")
    #expect(loop.run(atMost: 10_000) { client.isSynchronized })
  }

  @Test func updateOfAnUnknownMonitorEndsTheSession() throws {
    let path = directory.file("s")
    let script = try Script(loop, path, ["get_schema": Self.schema, "monitor": [:]])
    let client = client(path)
    client.start()
    #expect(loop.run(atMost: 10_000) { client.isSynchronized })
    var reason = ""
    client.onDisconnect = { reason = $0 }
    script.connections.last?.notify("update", ["someone else's", [:]])
    #expect(loop.run(atMost: 10_000) { !reason.isEmpty })
  }

  @Test func resultsMustMatchTheOperations() throws {
    let path = directory.file("s")
    let script = try Script(loop, path, ["get_schema": Self.schema, "monitor": [:], "transact": []])
    let client = client(path)
    client.start()
    #expect(loop.run(atMost: 10_000) { client.isSynchronized })
    for (answer, isMalformed) in [
      (JSON.array([]), true), ("text", true), ([[:], [:], [:]], true), ([[:], [:]], false),
    ] {
      script.answers["transact"] = answer
      var result: Result<TransactionResult, TransactionError>?
      client.transact([["op": "comment", "comment": "x"], ["op": "comment", "comment": "y"]]) { result = $0 }
      #expect(loop.run(atMost: 10_000) { result != nil })
      switch result {
      case .failure(.malformed): #expect(isMalformed)
      case .success: #expect(!isMalformed)
      default: Issue.record("\(String(describing: result))")
      }
    }
  }

  @Test func silentServerIsGivenUp() throws {
    let path = directory.file("s")
    let script = try Script(loop, path, [:])
    script.server = nil
    // Accepts and never reads or answers: not even an echo.
    let listener = try UnixSocket.listen(path)
    var held: [Int32] = []
    loop.watch(listener.raw, .read) { _ in
      while let descriptor = try? UnixSocket.accept(listener.raw) { held.append(descriptor.release()) }
    }
    let client = client(path, probe: 20)
    var reasons: [String] = []
    client.onDisconnect = { reasons.append($0) }
    client.start()
    #expect(loop.run(atMost: 10_000) { reasons.count >= 2 })
    #expect(reasons.allSatisfy { $0.contains("probe") })
    client.stop()
  }

  @Test func connectionLostIsToldToTransactions() throws {
    let path = directory.file("s")
    let script = try Script(loop, path, ["get_schema": Self.schema, "monitor": [:]])
    let client = client(path)
    client.start()
    #expect(loop.run(atMost: 10_000) { client.isSynchronized })
    var result: Result<TransactionResult, TransactionError>?
    client.transact([["op": "comment", "comment": "x"]]) { result = $0 }
    loop.turn(atMostMilliseconds: 100)
    #expect(result == nil)
    script.connections.last?.close()
    #expect(loop.run(atMost: 10_000) { result != nil })
    guard case .failure(.connectionLost) = result else {
      Issue.record("\(String(describing: result))")
      return
    }
  }
}
