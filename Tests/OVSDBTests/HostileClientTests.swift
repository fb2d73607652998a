import Glibc
import JSONRPC
import Linux
import Testing

@testable import OVSDB

/// Clients that say what nobody should: each loses its own session, with a sentence that says why, and the others go on.
@Suite struct HostileClientTests {
  let service: Service
  let directory: TemporaryDirectory
  let client: TestClient

  init() throws {
    service = try Service()
    directory = try TemporaryDirectory()
    client = try service.client()
    try service.server.listen(on: .listenUnix(path: directory.file("s")))
  }

  /// A client of bytes. What it was told, until the server hung up or `milliseconds` have passed.
  private final class RawClient {
    let socket: FileDescriptor
    let loop: EventLoop
    var told: [UInt8] = []
    var isHungUp = false

    init(_ path: String, _ loop: EventLoop) throws {
      socket = try UnixSocket.connect(path)
      self.loop = loop
    }

    /// Sends as much as the server takes, with the loop turning in between; stops when it has hung up.
    func send(_ bytes: [UInt8]) {
      var sent = 0
      while sent < bytes.count, !isHungUp {
        let count = bytes[sent...].withUnsafeBytes {
          Glibc.send(socket.raw, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
        }
        if count > 0 { sent += count }
        if count < 0, errno == EPIPE || errno == ECONNRESET { isHungUp = true }
        listen()
      }
    }

    func listen() {
      loop.turn(atMostMilliseconds: 0)
      var buffer = [UInt8](repeating: 0, count: 1 << 16)
      while true {
        let count = read(socket.raw, &buffer, buffer.count)
        if count > 0 {
          told += buffer[..<count]
          continue
        }
        if count == 0 || errno == ECONNRESET { isHungUp = true }
        return
      }
    }

    func awaitEnd() -> Bool {
      loop.run(atMost: 10_000) {
        listen()
        return isHungUp
      }
    }

    var text: String { String(decoding: told, as: UTF8.self) }
  }

  private func raw() throws -> RawClient { try RawClient(directory.file("s"), service.loop) }

  /// What a client says, and a word of the reason it is given.
  static let nonsense: [(String, [UInt8], String)] = [
    ("nesting", [UInt8](repeating: UInt8(ascii: "["), count: 200_000), "nested deeper"),
    (
      "nesting of objects", Array(String(repeating: #"{"a":"#, count: 100_000).utf8), "nested deeper"
    ),
    (
      "an integer beyond 64 bits", Array(#"{"id":1,"method":"echo","params":[9223372036854775808]}"#.utf8),
      "64 bits"
    ),
    ("a real beyond any", Array(#"{"id":1,"method":"echo","params":[1e999]}"#.utf8), "range of a real"),
    ("digits without end", [UInt8](repeating: UInt8(ascii: "7"), count: 1 << 20), "more than 1024"),
    ("invalid UTF-8", Array(#"{"id":"#.utf8) + [0x22, 0xC0, 0x80, 0x22], "UTF-8"),
    ("half a surrogate pair", Array(#"["\ud800x"]"#.utf8), "surrogate"),
    ("U+0000", Array(#"["\u0000"]"#.utf8), "U+0000"),
    ("a key twice", Array(#"{"id":1,"id":2}"#.utf8), "occurs twice"),
    ("no JSON", Array("GET / HTTP/1.1\r\n\r\n".utf8), "expected a value"),
    ("no message", Array("[1,2]".utf8), "must be an object"),
  ]

  @Test(arguments: nonsense.indices)
  func `Row 28: a client that sends nonsense is told so and hung up on`(_ index: Int) throws {
    let (name, bytes, reason) = Self.nonsense[index]
    let hostile = try raw()
    hostile.send(bytes)
    #expect(hostile.awaitEnd(), "\(name)")
    #expect(
      hostile.text.contains("\"method\":\"error\"") && hostile.text.contains(reason),
      "\(name): \(hostile.text)")
    #expect(try client.ask("list_dbs", "[]") == ["Test", "_Server"])
  }

  /// The limit is what is kept of a document, not what the client has to say.
  @Test func `Row 28: a string of a gigabyte costs no more than a document may`() throws {
    let before = try residentBytes()
    let hostile = try raw()
    hostile.send(Array(#"{"id":1,"method":"echo","params":[""#.utf8))
    let piece = [UInt8](repeating: UInt8(ascii: "x"), count: 1 << 20)
    var sent = 0
    while sent < 1024, !hostile.isHungUp {
      hostile.send(piece)
      sent += 1
    }
    #expect(hostile.awaitEnd())
    #expect(sent < 100, "\(sent) MiB were taken")
    #expect(hostile.text.contains("longer than"))
    #expect(try residentBytes() - before < 400 << 20)
    #expect(try client.ask("echo", "[]") == [])
  }

  @Test func `Row 28: a message never finished keeps nobody waiting`() throws {
    let hostile = try (0..<20).map { _ in try raw() }
    for (number, one) in hostile.enumerated() {
      one.send(
        Array(#"{"id":1,"method":"transact","params":["Test",{"op":"insert","ta"#.utf8.prefix(number * 3 + 1))
      )
    }
    for number in 0..<20 {
      try client.ask("transact", #"["Test",{"op":"insert","table":"Root","row":{"name":"\#(number)"}}]"#)
    }
    #expect(service.database.rowCount == 20)
    #expect(hostile.allSatisfy { !$0.isHungUp })
    // Half a message is no message.
    for one in hostile { shutdown(one.socket.raw, Int32(SHUT_WR)) }
    #expect(hostile.allSatisfy { $0.awaitEnd() })
    #expect(service.database.rowCount == 20)
  }

  @Test func `Row 28: a client that never reads is asked no more, and the others are answered`() throws {
    let hostile = try raw()
    try client.ask(
      "transact",
      #"["Test",{"op":"insert","table":"Root","row":{"options":["map",[["k","\#(String(repeating: "x", count: 100_000))"]]]}}]"#
    )
    let request = Array(
      #"{"id":1,"method":"transact","params":["Test",{"op":"select","table":"Root","where":[]}]}"#.utf8)
    // Until the server takes no more of them.
    var sent = 0
    for _ in 0..<20_000 {
      let count = Glibc.send(hostile.socket.raw, request, request.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
      if count == request.count { sent += 1 }
      if count < 0, errno == EAGAIN, sent > 100 {
        let before = sent
        for _ in 0..<50 { service.loop.turn(atMostMilliseconds: 1) }
        let more = Glibc.send(hostile.socket.raw, request, request.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
        if more < 0, sent == before { break }
        sent += 1
      }
      service.loop.turn(atMostMilliseconds: 0)
    }
    #expect(sent < 20_000, "the server took all \(sent) requests without being read")
    let waiting = service.server.sessions.values.map(\.connection.backlog).max() ?? 0
    #expect(waiting > 0 && waiting < 8 << 20, "\(waiting) bytes wait")
    #expect(try client.ask("list_dbs", "[]") == ["Test", "_Server"])
  }

  private func residentBytes() throws -> Int {
    let text = String(decoding: try readFile("/proc/self/statm"), as: UTF8.self)
    return (Int(text.split(separator: " ")[1]) ?? 0) * 4096
  }
}
