import Glibc
import Linux
import Testing

extension System {
  /// Where a database server is reached, with the real clients.
  @Suite(.needs("ovs-vsctl", "ovsdb-client", "ovs-appctl")) struct DatabaseRemotes {
    @Test func `A manager that ovs-vsctl sets is listened on, and its row says who is there`() throws {
      let lab = try DatabaseLab()
      try lab.start()
      let port = try freePort()
      try lab.vsctl("set-manager", "ptcp:\(port):127.0.0.1")
      try eventually("the port answers") {
        try lab.client(["list-dbs", "tcp:127.0.0.1:\(port)"]).text.contains("Open_vSwitch")
      }
      try eventually("nobody is connected") { try lab.manager("is_connected") == "false" }
      let monitor = try Program(
        ["ovsdb-client", "monitor", "tcp:127.0.0.1:\(port)", "Open_vSwitch", "Bridge"],
        standardOutput: lab.file("monitor.out"))
      try eventually("the row says that somebody is connected") { try lab.manager("is_connected") == "true" }
      #expect(try lab.manager("status").contains("bound_port=\(port)"))
      monitor.kill()
      try eventually("the row says that nobody is") { try lab.manager("is_connected") == "false" }
      try lab.vsctl("del-manager")
      try eventually("the port is closed") {
        try !lab.client(["list-dbs", "tcp:127.0.0.1:\(port)"]).succeeded
      }
    }

    @Test func `A manager that waits is connected to, whenever it comes`() throws {
      let lab = try DatabaseLab()
      try lab.start()
      let port = try freePort()
      try lab.vsctl("set-manager", "tcp:127.0.0.1:\(port)")
      try eventually("the row says why") { try lab.manager("status").contains("state=BACKOFF") }
      for round in 1...2 {
        let output = try lab.client(["--timeout=20", "list-dbs", "ptcp:\(port):127.0.0.1"])
        #expect(output.text == "Open_vSwitch\n_Server", "round \(round): \(output)")
      }
      let monitor = try Program(
        ["ovsdb-client", "monitor", "ptcp:\(port):127.0.0.1", "Open_vSwitch", "Bridge"],
        standardOutput: lab.file("monitor.out"))
      try eventually("the row says that it is connected") { try lab.manager("is_connected") == "true" }
      #expect(try lab.manager("status").contains("state=ACTIVE"))
      monitor.kill()
    }

    @Test func `Remotes and databases come and go by ovs-appctl`() throws {
      let lab = try DatabaseLab()
      let pid = try lab.startDetached()
      let port = try freePort()
      func ask(_ arguments: String...) throws -> String {
        let output = try run(
          ["ovs-appctl", "-T", "10", "-t", lab.file("switchdbd.\(pid).ctl")] + arguments)
        #expect(output.succeeded, "\(arguments): \(output)")
        return output.text
      }
      #expect(
        try ask("ovsdb-server/list-remotes")
          == "db:Open_vSwitch,Open_vSwitch,manager_options\npunix:\(lab.socket)")
      #expect(try ask("ovsdb-server/add-remote", "ptcp:\(port):127.0.0.1") == "")
      #expect(try lab.client(["list-dbs", "tcp:127.0.0.1:\(port)"]).text == "Open_vSwitch\n_Server")
      #expect(try ask("ovsdb-server/remove-remote", "ptcp:\(port):127.0.0.1") == "")
      #expect(try !lab.client(["list-dbs", "tcp:127.0.0.1:\(port)"]).succeeded)
      #expect(
        try lab.appctl(pid, "ovsdb-server/remove-remote", "ptcp:\(port)").standardError.contains(
          "no such remote"))

      try writeFile(
        lab.file("other.schema"),
        #"{"name":"Other","version":"1.0.0","tables":{"T":{"columns":{"n":{"type":"integer"}},"isRoot":true}}}"#
      )
      try must(["ovsdb-tool", "create", lab.file("other.db"), lab.file("other.schema")])
      #expect(try ask("ovsdb-server/add-db", lab.file("other.db")) == "")
      #expect(try ask("ovsdb-server/list-dbs") == "Open_vSwitch\nOther\n_Server")
      #expect(try ask("ovsdb-server/get-db-storage-status", "Other") == "status: ok")
      let insert = #"["Other",{"op":"insert","table":"T","row":{"n":7}}]"#
      #expect(try lab.client(["transact", "unix:\(lab.socket)", insert]).succeeded)
      #expect(try ask("ovsdb-server/compact", "Other") == "")
      #expect(try ask("ovsdb-server/remove-db", "Other") == "")
      #expect(try lab.client(["list-dbs", "unix:\(lab.socket)"]).text == "Open_vSwitch\n_Server")
      #expect(
        try must([
          "ovsdb-tool", "query", lab.file("other.db"), #"["Other",{"op":"select","table":"T","where":[]}]"#,
        ]).contains("\"n\":7"))
      #expect(try lab.appctl(pid, "ovsdb-server/remove-db", "Other").status != 0)
      #expect(
        try lab.appctl(pid, "ovsdb-server/add-db", lab.file("nothing.db")).standardError.contains(
          "No such file"))
    }

    @Test func `An idle network client that does not answer is closed, one on a Unix socket is not`() throws {
      let lab = try DatabaseLab()
      let port = try freePort()
      try lab.start("--remote=punix:\(lab.socket)", "--remote=ptcp:\(port):127.0.0.1")
      let silent = try TCPSocket.connect("127.0.0.1", port: port).release()
      let local = try UnixSocket.connect(lab.socket).release()
      defer { for descriptor in [silent, local] { close(descriptor) } }
      var heard = ""
      var bytes = [UInt8](repeating: 0, count: 4096)
      try eventually("the silent client is closed", within: 30) {
        let count = read(silent, &bytes, bytes.count)
        if count > 0 { heard += String(decoding: bytes[..<count], as: UTF8.self) }
        return count == 0
      }
      #expect(heard.contains(#""method":"echo""#))
      // Nothing to read, and no end.
      #expect(read(local, &bytes, bytes.count) < 0)
    }
  }
}
