import Glibc
import JSONRPC
import Linux
import Testing

/// A connection whose other end is a bare socket, and the loop both live on.
private final class Wire {
  let loop: EventLoop
  let connection: Connection
  let raw: Int32
  var closed: String?

  init(_ limits: Connection.Limits = .init()) throws {
    loop = try EventLoop()
    let ends = try UnixSocket.pair()
    raw = ends.1
    connection = Connection(loop, owning: FileDescriptor(owning: ends.0), name: "test", limits: limits)
    connection.onClose = { [unowned self] in closed = $0 }
  }

  deinit { Glibc.close(raw) }

  func send(_ text: String) {
    let bytes = Array(text.utf8)
    #expect(write(raw, bytes, bytes.count) == bytes.count)
  }

  /// What has arrived once `condition` holds of it.
  func receive(until condition: (String) -> Bool) -> String {
    var text: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    let done = loop.run(atMost: 5000) {
      while true {
        let count = read(raw, &chunk, chunk.count)
        if count <= 0 { break }
        text += chunk[..<count]
      }
      return condition(String(decoding: text, as: UTF8.self))
    }
    #expect(done)
    return String(decoding: text, as: UTF8.self)
  }

  func waitForClose() -> String? {
    #expect(loop.run(atMost: 5000) { closed != nil })
    return closed
  }
}

@Suite struct ConnectionTests {
  @Test func answersEchoItself() throws {
    let wire = try Wire()
    wire.connection.onRequest = { _, _, _ in Issue.record("echo is not a request to the program") }
    wire.send(#"{"method":"echo","params":[1,"x"],"id":{"any":"id"}}"#)
    let reply = wire.receive { $0.hasSuffix("}") }
    #expect(try JSON(parsing: reply) == ["id": ["any": "id"], "result": [1, "x"], "error": nil])
  }

  @Test func handlesPipelinedRequestsInOrder() throws {
    let wire = try Wire()
    wire.connection.onRequest = { [unowned wire] method, params, id in
      if method == "bad" { return wire.connection.fail(id, "no") }
      wire.connection.reply(to: id, .array(params))
    }
    wire.send(
      #"{"method":"a","params":[1],"id":1}{"method":"bad","params":[],"id":2} {"method":"a","params":[],"id":3}"#
    )
    let replies = wire.receive { $0.contains("\"id\":3") && $0.hasSuffix("}") }
    #expect(
      replies == #"{"error":null,"id":1,"result":[1]}{"error":"no","id":2,"result":null}"#
        + #"{"error":null,"id":3,"result":[]}"#)
  }

  @Test func requestsGetTheirReplies() throws {
    let loop = try EventLoop()
    let ends = try UnixSocket.pair()
    let client = Connection(loop, owning: FileDescriptor(owning: ends.0), name: "client")
    let server = Connection(loop, owning: FileDescriptor(owning: ends.1), name: "server")
    server.onRequest = { [unowned server] method, params, id in
      method == "add" ? server.reply(to: id, 3) : server.fail(id, "unknown method")
    }
    var results: [Result<JSON, ReplyError>] = []
    client.request("add", [1, 2]) { results.append($0) }
    client.request("other", []) { results.append($0) }
    #expect(loop.run(atMost: 5000) { results.count == 2 })
    #expect(results == [.success(3), .failure(.refused("unknown method"))])
    client.request("never", []) { results.append($0) }
    server.onRequest = { [unowned server] _, _, _ in server.close() }
    #expect(loop.run(atMost: 5000) { results.count == 3 })
    #expect(results.last == .failure(.closed("the peer closed the connection")))
    client.request("late", []) { results.append($0) }
    #expect(results.count == 4)
  }

  @Test(arguments: [
    "{]", "[1,2]", "7 ", #"{"method":1,"params":[],"id":1}"#, #"{"method":"a","params":{},"id":1}"#,
    #"{"params":[]}"#,
    #"{"id":1,"result":1,"error":1}"#,
  ])
  func malformedInputEndsTheSessionWithAReason(text: String) throws {
    let wire = try Wire()
    wire.send(text)
    #expect(wire.waitForClose()?.isEmpty == false)
    #expect(wire.receive { $0.contains("\"method\":\"error\"") }.isEmpty == false)
    #expect(wire.connection.isClosed)
  }

  @Test func aMessageThatNeverEndsIsCutOff() throws {
    var limits = Connection.Limits()
    limits.input.bytes = 1 << 16
    let wire = try Wire(limits)
    wire.send(#"{"method":"a","params":[""#)
    let chunk = [UInt8](repeating: UInt8(ascii: "a"), count: 4096)
    let ended = wire.loop.run(atMost: 5000) {
      _ = Glibc.send(wire.raw, chunk, chunk.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
      return wire.closed != nil
    }
    #expect(ended)
    #expect(wire.closed?.contains("longer than 65536 bytes") == true)
  }

  @Test func aClientThatNeverReadsItsNotificationsIsClosed() throws {
    var limits = Connection.Limits()
    limits.backlog = 1 << 20
    let wire = try Wire(limits)
    let text = JSON.string(String(repeating: "x", count: 1 << 14))
    var sent = 0
    while wire.closed == nil, sent < 10_000 {
      wire.connection.notify("update", [text])
      wire.loop.turn(atMostMilliseconds: 0)
      sent += 1
    }
    #expect(wire.closed?.contains("does not read") == true)
    #expect(sent < 200)
  }

  @Test func requestsWaitWhileTheirRepliesAreNotRead() throws {
    var limits = Connection.Limits()
    limits.pause = 1 << 14
    let wire = try Wire(limits)
    var served = 0
    wire.connection.onRequest = { [unowned wire] _, _, id in
      served += 1
      wire.connection.reply(to: id, .string(String(repeating: "r", count: 1 << 14)))
    }
    wire.send((1...500).map { "{\"method\":\"m\",\"params\":[],\"id\":\($0)}" }.joined())
    for _ in 0..<50 { wire.loop.turn(atMostMilliseconds: 0) }
    #expect(served < 100)
    var received = 0
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    let done = wire.loop.run(atMost: 10_000) {
      while case let count = read(wire.raw, &chunk, chunk.count), count > 0 { received += count }
      return received > 500 << 14
    }
    #expect(done)
    #expect(served == 500)
    #expect(wire.closed == nil)
  }

  @Test func anIdlePeerIsProbedAndASilentOneClosed() throws {
    let wire = try Wire()
    wire.connection.probe(everyMilliseconds: 20)
    let probe = wire.receive { $0.hasSuffix("}") }
    #expect(try JSON(parsing: probe) == ["id": "echo", "method": "echo", "params": []])
    #expect(wire.waitForClose()?.contains("probe") == true)
  }
}

@Suite struct ServerTests {
  @Test func listensOnTCPAndUnixSockets() throws {
    let loop = try EventLoop()
    let path = "/tmp/jsonrpc-test.\(getpid()).\(UInt32.random(in: 0 ... .max)).sock"
    for remote in [Remote.listenTCP(address: "127.0.0.1", port: 0), .listenUnix(path: path)] {
      var accepted: [Connection] = []
      let server = try Server(loop, on: remote) { accepted.append($0) }
      let client = try Connection.connect(to: server.remote, loop)
      var result: Result<JSON, ReplyError>?
      client.request("echo", ["hello"]) { result = $0 }
      #expect(loop.run(atMost: 5000) { result != nil })
      #expect(result == .success(["hello"]))
      server.close()
    }
    #expect(access(path, F_OK) != 0)
  }

  @Test func aConnectionThatIsRefusedSaysSo() throws {
    let loop = try EventLoop()
    let server = try Server(loop, on: .listenTCP(address: "127.0.0.1", port: 0)) { _ in }
    let remote = server.remote
    server.close()
    _ = consume server
    let client = try Connection.connect(to: remote, loop)
    var reason: String?
    client.onClose = { reason = $0 }
    #expect(loop.run(atMost: 5000) { reason != nil })
    #expect(reason?.contains("refused") == true)
  }
}
