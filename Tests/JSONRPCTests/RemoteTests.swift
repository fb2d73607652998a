import JSONRPC
import Testing

@Suite struct RemoteTests {
  @Test(arguments: [
    ("punix:/run/db.sock", Remote.listenUnix(path: "/run/db.sock")),
    ("unix:/run/a:b", .unix(path: "/run/a:b")),
    ("ptcp:6640", .listenTCP(address: "0.0.0.0", port: 6640)),
    ("ptcp:", .listenTCP(address: "0.0.0.0", port: 6640)),
    ("ptcp:0:127.0.0.1", .listenTCP(address: "127.0.0.1", port: 0)),
    ("ptcp:1:[::1]", .listenTCP(address: "::1", port: 1)),
    ("tcp:10.0.0.1:1234", .tcp(address: "10.0.0.1", port: 1234)),
    ("tcp:10.0.0.1", .tcp(address: "10.0.0.1", port: 6640)),
    ("tcp:[fe80::1]:9", .tcp(address: "fe80::1", port: 9)),
    ("tcp:[fe80::1]", .tcp(address: "fe80::1", port: 6640)),
    ("pssl:6641:[::1]", .listenTLS(address: "::1", port: 6641)),
    ("pssl:", .listenTLS(address: "0.0.0.0", port: 6640)),
    ("ssl:10.0.0.1", .tls(address: "10.0.0.1", port: 6640)),
    ("ssl:[fe80::1]:9", .tls(address: "fe80::1", port: 9)),
  ])
  func parses(text: String, remote: Remote) throws {
    #expect(try Remote(text) == remote)
    #expect(try Remote(remote.description) == remote)
  }

  @Test(arguments: [
    "", "db.sock", "unix:", "tcp:", "tcp:1.2.3.4:99999", "tcp:1.2.3.4:x", "ptcp:-1", "udp:1:2", "tcp:a:b:c",
    "ssl:1.2.3.4:x", "pssl:x", "ssl:", "tcp:[::1]5",
  ])
  func refuses(text: String) {
    #expect(throws: RemoteError.self) { try Remote(text) }
  }

  @Test func `A client of this machine reaches a listener at a local address`() throws {
    #expect(try Remote("pssl:7").counterpart == Remote("ssl:127.0.0.1:7"))
    #expect(try Remote("ptcp:7:[::]").counterpart == Remote("tcp:[::1]:7"))
    #expect(try Remote("punix:/a").counterpart == Remote("unix:/a"))
    #expect(try Remote("ptcp:7:10.0.0.1").counterpart == Remote("tcp:10.0.0.1:7"))
  }
}
