import Glibc
import JSONRPC
import Linux
import Seeded
import Testing

/// A TLS server that answers `sum` with the number of its parameters, and keeps its sessions.
private final class Echo {
  let loop: EventLoop
  private(set) var server: Server?
  var sessions: [Connection] = []

  init(_ credentials: TLSCredentials, opening: Int = 10_000) throws {
    loop = try EventLoop()
    var limits = Connection.Limits()
    limits.opening = opening
    server = try Server(
      loop, on: .listenTLS(address: "127.0.0.1", port: 0), limits: limits,
      options: TransportOptions(tls: credentials)
    ) { [unowned self] session in
      sessions.append(session)
      session.onRequest = { [unowned session] _, params, id in session.reply(to: id, .array(params)) }
    }
  }

  convenience init(_ configuration: TLSConfiguration, opening: Int = 10_000) throws {
    try self.init(TLSCredentials(configuration), opening: opening)
  }

  var remote: Remote { server?.remote.counterpart ?? .unix(path: "/nowhere") }

  /// A session that was opened, or why there is none.
  func connect(_ configuration: TLSConfiguration) throws -> Result<JSON, ReplyError> {
    let client = try Connection.connect(
      to: remote, loop, options: TransportOptions(tls: TLSCredentials(configuration)))
    var result: Result<JSON, ReplyError>?
    client.request("same", ["hello"]) { result = $0 }
    #expect(loop.run(atMost: 10_000) { result != nil })
    return try #require(result)
  }

  /// Serves until something holds that the loop does not know of.
  func looks(_ condition: () -> Bool) -> Bool {
    let end = monotonicNanoseconds() + 20_000_000_000
    while !condition() {
      if monotonicNanoseconds() >= end { return false }
      loop.turn(atMostMilliseconds: 5)
    }
    return true
  }

  /// A plain socket connected to the server.
  func rawClient() throws -> FileDescriptor {
    guard case .listenTLS(_, let port)? = server?.remote else { throw SystemError("no port", code: 0) }
    return try TCPSocket.connect("127.0.0.1", port: port)
  }
}

@Suite(.enabled(if: Certificates.canBeMade, "needs openssl; run tools/setup test")) struct TLSTests {
  @Test func `Each side sees who the other is, and messages of any size pass`() throws {
    let certificates = try Certificates()
    let echo = try Echo(certificates.configuration("server"))
    let options = TransportOptions(tls: TLSCredentials(certificates.configuration("client")))
    let client = try Connection.connect(to: echo.remote, echo.loop, options: options)
    var opened = 0
    client.onOpen = { opened += 1 }
    var random = SeededRandom(seed: 1)
    var sent: [JSON] = []
    var received: [JSON] = []
    for size in [0, 1, 1000, 16_384, 100_000, 3_000_000] {
      let text = String(repeating: "x", count: size) + String(UInt32.random(in: 0 ... .max, using: &random))
      sent.append([.string(text)])
      client.request("same", [.string(text)]) { if case .success(let reply) = $0 { received.append(reply) } }
    }
    #expect(echo.loop.run(atMost: 20_000) { received.count == sent.count })
    #expect(received == sent)
    #expect(opened == 1)
    #expect(client.isOpen)
    client.close()
    #expect(echo.loop.run(atMost: 5000) { echo.sessions.allSatisfy(\.isClosed) })
  }

  @Test func `A peer whose authority is another one is refused, on either side`() throws {
    let certificates = try Certificates()
    let echo = try Echo(certificates.configuration("server"))
    guard case .failure(.closed) = try echo.connect(certificates.configuration("stranger")) else {
      return #expect(Bool(false), "the server believes a stranger")
    }
    #expect(echo.sessions.isEmpty)
    guard
      case .failure(.closed(let reason)) = try echo.connect(
        certificates.configuration("client", authority: "other"))
    else { return #expect(Bool(false), "the client believes a stranger") }
    #expect(reason.contains("certificate verify failed"), "\(reason)")
    #expect(echo.sessions.isEmpty)
    #expect(try echo.connect(certificates.configuration("client")) == .success(["hello"]))
  }

  @Test func `Who is not to be verified need not be certified`() throws {
    let certificates = try Certificates()
    var trusting = certificates.configuration("server")
    trusting.authority = .unverified
    let echo = try Echo(trusting)
    #expect(try echo.connect(certificates.configuration("stranger")) == .success(["hello"]))
  }

  @Test func `The first peer's authority is taken over, and verified from then on`() throws {
    let certificates = try Certificates()
    var telling = certificates.configuration("server")
    telling.peerAuthority = certificates.file("ca.pem")
    let echo = try Echo(telling)
    var trusting = certificates.configuration("client")
    trusting.authority = .bootstrap(certificates.file("taken.pem"))
    guard case .failure(.closed(let reason)) = try echo.connect(trusting) else {
      return #expect(Bool(false), "the session in which the authority came goes on unverified")
    }
    #expect(reason.contains("taken.pem"), "\(reason)")
    #expect(try echo.connect(trusting) == .success(["hello"]))
    let other = try Echo(certificates.configuration("stranger"))
    guard case .failure = try other.connect(trusting) else {
      return #expect(Bool(false), "another authority is believed afterwards")
    }
  }

  @Test func `Nothing is taken over from a peer that does not send its authority`() throws {
    let certificates = try Certificates()
    let echo = try Echo(certificates.configuration("server"))
    var trusting = certificates.configuration("client")
    trusting.authority = .bootstrap(certificates.file("taken.pem"))
    guard case .failure(.closed(let reason)) = try echo.connect(trusting) else {
      return #expect(Bool(false), "the session goes on unverified")
    }
    #expect(reason.contains("did not send"), "\(reason)")
    #expect(access(certificates.file("taken.pem"), F_OK) != 0)
  }

  @Test func `Certificates that are replaced hold for the next session`() throws {
    let certificates = try Certificates()
    let echo = try Echo(certificates.configuration("server"))
    #expect(try echo.connect(certificates.configuration("client")) == .success(["hello"]))
    try certificates.issue("server", "other")
    guard case .failure = try echo.connect(certificates.configuration("client")) else {
      return #expect(Bool(false), "the server still shows its old certificate")
    }
    // A key that does not go with the certificate is a replacement half done: the last pair stays.
    #expect(rename(certificates.file("stranger.key"), certificates.file("server.key")) == 0)
    #expect(try echo.connect(certificates.configuration("client", authority: "other")) == .success(["hello"]))
  }

  @Test func `Files that are missing or wrong are named`() throws {
    let certificates = try Certificates()
    func complaint(_ change: (inout TLSConfiguration) -> Void) -> String {
      var configuration = certificates.configuration("server")
      change(&configuration)
      do throws(TLSError) {
        try TLSCredentials(configuration).load()
        return ""
      } catch { return error.description }
    }
    #expect(complaint { _ in } == "")
    #expect(complaint { $0.privateKey = "/nowhere/key.pem" }.contains("/nowhere/key.pem: No such file"))
    #expect(complaint { $0.certificate = "/dev/null" }.contains("/dev/null"))
    #expect(complaint { $0.privateKey = certificates.file("client.key") }.contains("client.key"))
    #expect(complaint { $0.authority = .file("/nowhere/ca.pem") }.contains("/nowhere/ca.pem"))
    #expect(complaint { $0.authority = nil }.contains("--ca-cert"))
    #expect(complaint { $0.certificate = nil }.contains("--certificate"))
    #expect(complaint { $0.ciphers = "nonsense" }.contains("nonsense"))
  }

  @Test func `Versions are limited to those that were named`() throws {
    let certificates = try Certificates()
    var old = certificates.configuration("server")
    try old.setVersions("TLSv1.2")
    let echo = try Echo(old)
    var new = certificates.configuration("client")
    try new.setVersions("tlsv1.3")
    guard case .failure = try echo.connect(new) else {
      return #expect(Bool(false), "a version that was excluded is spoken")
    }
    #expect(try echo.connect(certificates.configuration("client")) == .success(["hello"]))
    #expect(throws: TLSError.self) { try new.setVersions("SSLv2") }
    #expect(throws: TLSError.self) { try new.setVersions("") }
  }

  @Test func `Without credentials a connection is refused with the reason`() throws {
    let loop = try EventLoop()
    #expect(throws: SystemError.self) {
      try Connection.connect(to: .tls(address: "127.0.0.1", port: 1), loop)
    }
  }
}

@Suite(.enabled(if: Certificates.canBeMade, "needs openssl; run tools/setup test")) struct HostileTLSTests {
  @Test func `Clients that never shake hands are bounded in number and time, and others get in`() throws {
    let certificates = try Certificates()
    let echo = try Echo(certificates.configuration("server"), opening: 100)
    var silent: [Int32] = []
    for _ in 0..<100 { silent.append(try echo.rawClient().release()) }
    defer { for raw in silent { close(raw) } }
    #expect(try echo.connect(certificates.configuration("client")) == .success(["hello"]))
    var byte: UInt8 = 0
    let ended = echo.looks {
      silent.allSatisfy { Glibc.recv($0, &byte, 1, Int32(MSG_DONTWAIT | MSG_PEEK)) == 0 }
    }
    #expect(ended)
    #expect(echo.sessions.count == 1)
  }

  @Test func `Bytes that are no handshake end the session and harm no other`() throws {
    let certificates = try Certificates()
    let echo = try Echo(certificates.configuration("server"))
    for seed in 0..<50 {
      var random = SeededRandom(seed: UInt64(seed))
      let raw = try echo.rawClient().release()
      defer { close(raw) }
      var bytes = (0..<Int.random(in: 1...2000, using: &random)).map { _ in
        UInt8.random(in: 0...255, using: &random)
      }
      // Half of them look like the beginning of a handshake.
      if seed % 2 == 0 { bytes = [0x16, 0x03, 0x01, 0x00, 0x40, 0x01, 0x00, 0x00, 0x3c, 0x03, 0x03] + bytes }
      _ = Glibc.send(raw, bytes, bytes.count, Int32(MSG_NOSIGNAL))
      shutdown(raw, Int32(SHUT_WR))
      var byte = [UInt8](repeating: 0, count: 4096)
      let ended = echo.looks {
        let count = Glibc.recv(raw, &byte, byte.count, Int32(MSG_DONTWAIT))
        return count == 0 || (count < 0 && errno != EAGAIN)
      }
      #expect(ended, "seed \(seed)")
    }
    #expect(echo.sessions.isEmpty)
    #expect(try echo.connect(certificates.configuration("client")) == .success(["hello"]))
  }
}
