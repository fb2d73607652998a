import Glibc
import Linux
import Testing

/// Keys and certificates as ovs-pki(8) would make them: two authorities, and what they signed.
private struct PublicKeys {
  let directory: String

  init(_ lab: DatabaseLab) throws {
    directory = lab.directory
    for authority in ["ca", "other"] {
      try openssl("req -x509 \(Self.newKey(authority)) -out \(authority).pem -subj /CN=\(authority) -days 2")
    }
    for (name, authority) in [("server", "ca"), ("client", "ca"), ("stranger", "other")] {
      try openssl("req \(Self.newKey(name)) -out \(name).csr -subj /CN=\(name)")
      try openssl(
        "x509 -req -in \(name).csr -CA \(authority).pem -CAkey \(authority).key -CAcreateserial -out \(name).pem -days 2"
      )
    }
  }

  func file(_ name: String) -> String { "\(directory)/\(name)" }

  func options(_ name: String, authority: String) -> [String] {
    ["--private-key=\(file("\(name).key"))", "--certificate=\(file("\(name).pem"))", authority]
  }

  func options(_ name: String) -> [String] { options(name, authority: "--ca-cert=\(file("ca.pem"))") }

  private static func newKey(_ name: String) -> String {
    "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout \(name).key"
  }

  private func openssl(_ arguments: String) throws {
    try must(["sh", "-c", "cd \(directory) && openssl \(arguments)"])
  }
}

extension System {
  /// A database over TLS, with OVS's own clients at the other end.
  @Suite(.needs("ovs-vsctl", "ovsdb-client", "openssl")) struct DatabaseTLS {
    @Test func `ovsdb-client is let in when each side's certificate is the other's authority's`() throws {
      let lab = try DatabaseLab()
      let keys = try PublicKeys(lab)
      let port = try freePort()
      try lab.start(
        "--private-key=\(keys.file("server.key"))", "-c", keys.file("server.pem"), "-C\(keys.file("ca.pem"))",
        "--remote=punix:\(lab.socket)", "--remote=pssl:\(port):127.0.0.1")
      let address = "ssl:127.0.0.1:\(port)"
      let welcome = try lab.client(keys.options("client") + ["list-dbs", address])
      #expect(welcome.text == "Open_vSwitch\n_Server", "\(welcome)")
      #expect(try lab.client(keys.options("client") + ["dump", address, "Open_vSwitch"]).succeeded)
      let stranger = try lab.client(keys.options("stranger") + ["list-dbs", address])
      #expect(!stranger.succeeded, "\(stranger)")
      let doubting = keys.options("client", authority: "--ca-cert=\(keys.file("other.pem"))")
      #expect(try !lab.client(doubting + ["list-dbs", address]).succeeded)
      #expect(try !lab.client(["list-dbs", "tcp:127.0.0.1:\(port)"]).succeeded)
      #expect(try lab.client(["list-dbs", "unix:\(lab.socket)"]).succeeded)
      func ctl(_ name: String) throws -> Output {
        try run(
          ["\(Location.programs)/switchctl", "--no-wait", "--db=\(address)"] + keys.options(name)
            + ["--", "init", "--", "list-br"])
      }
      let ours = try ctl("client")
      #expect(ours.succeeded, "\(ours)")
      #expect(try !ctl("stranger").succeeded)
    }

    @Test func `ovsdb-client takes the authority over from the server's chain`() throws {
      let lab = try DatabaseLab()
      let keys = try PublicKeys(lab)
      let port = try freePort()
      try lab.start(
        "--private-key=\(keys.file("server.key"))", "--certificate=\(keys.file("server.pem"))",
        "--ca-cert=\(keys.file("ca.pem"))", "--peer-ca-cert=\(keys.file("ca.pem"))",
        "--remote=punix:\(lab.socket)", "--remote=pssl:\(port):127.0.0.1")
      let options = keys.options("client", authority: "--bootstrap-ca-cert=\(keys.file("taken.pem"))")
      // The first connection is dropped once the certificate has come.
      _ = try lab.client(options + ["list-dbs", "ssl:127.0.0.1:\(port)"])
      let output = try lab.client(options + ["list-dbs", "ssl:127.0.0.1:\(port)"])
      #expect(output.text == "Open_vSwitch\n_Server", "\(output)")
    }

    @Test func `The server's keys are those of the table SSL, as soon as they are there`() throws {
      let lab = try DatabaseLab()
      let keys = try PublicKeys(lab)
      let port = try freePort()
      try lab.start()
      try lab.vsctl("set-manager", "pssl:\(port):127.0.0.1")
      let ask = keys.options("client") + ["list-dbs", "ssl:127.0.0.1:\(port)"]
      #expect(try !lab.client(ask).succeeded)
      try lab.vsctl("set-ssl", keys.file("server.key"), keys.file("server.pem"), keys.file("ca.pem"))
      try eventually("the client is let in") { try lab.client(ask).succeeded }
      try lab.vsctl("del-ssl")
      try eventually("it is not any more") { try !lab.client(ask).succeeded }
    }

    @Test func `An active manager is spoken to by TLS, and the server takes its authority over`() throws {
      let lab = try DatabaseLab()
      let keys = try PublicKeys(lab)
      let port = try freePort()
      try lab.start(
        "--private-key=\(keys.file("server.key"))", "--certificate=\(keys.file("server.pem"))",
        "--bootstrap-ca-cert=\(keys.file("taken.pem"))", "--remote=punix:\(lab.socket)",
        "--remote=ssl:127.0.0.1:\(port)")
      // Of OVS's programs that listen, its server tells its authority.
      try must(["ovsdb-tool", "create", lab.file("peer.db"), "\(Location.package)/etc/vswitch.ovsschema"])
      let peer = try Program(
        ["ovsdb-server", "--unixctl=none", "--peer-ca-cert=\(keys.file("ca.pem"))"] + keys.options("client")
          + ["--remote=pssl:\(port):127.0.0.1", lab.file("peer.db")], standardOutput: lab.file("peer.out"))
      try eventually("the authority is taken over: \(lab.log)\(readFile(lab.file("peer.out")))") {
        readFile(keys.file("taken.pem")).contains("BEGIN CERTIFICATE")
      }
      peer.kill()
      try eventually("the server's session is verified: \(lab.log)", within: 40) {
        let output = try lab.client(keys.options("client") + ["list-dbs", "pssl:\(port):127.0.0.1"])
        return output.text == "Open_vSwitch\n_Server"
      }
      #expect(try !lab.client(keys.options("stranger") + ["list-dbs", "pssl:\(port):127.0.0.1"]).succeeded)
    }

    @Test func `A server without keys says so and keeps serving`() throws {
      let lab = try DatabaseLab()
      let port = try freePort()
      try lab.start("--remote=punix:\(lab.socket)", "--remote=pssl:\(port):127.0.0.1")
      #expect(try !lab.client(["list-dbs", "tcp:127.0.0.1:\(port)"]).succeeded)
      try eventually("the log says so") { lab.log.contains("private key") }
      #expect(try lab.client(["list-dbs", "unix:\(lab.socket)"]).succeeded)
    }
  }
}
