import Glibc
import Linux
import Testing

extension System {
  /// How `switchdbd` behaves as a daemon that scripts start, ask and stop.
  @Suite(.needs("ovs-appctl", "ovsdb-client")) struct DatabaseDaemonConventions {
    @Test func `The pid file is locked by the process it names, and a second start is refused`() throws {
      let lab = try DatabaseLab()
      let pid = try lab.startDetached()
      #expect(holder(of: lab.file("switchdbd.pid")) == pid)
      let second = try run(
        lab.command(["--detach", "--remote=punix:\(lab.file("2"))", lab.file("2.db")]),
        environment: lab.environment)
      #expect(second.status == 1)
      #expect(second.standardError.contains("\(pid)"), "\(second)")
      #expect(try lab.pid() == pid)
      #expect(try lab.client(["list-dbs", "unix:\(lab.socket)"]).succeeded)
    }

    @Test func `A pid file that is overwritten is the new process's`() throws {
      let lab = try DatabaseLab()
      let first = try lab.startDetached()
      let second = try lab.startDetached(
        "--overwrite-pidfile", "--remote=punix:\(lab.file("2"))", lab.file("2.db"))
      #expect(first != second)
      #expect(UnixSocket.isListening(lab.file("2")))
    }

    @Test func `A daemon that cannot start says why, and its parent fails as it does`() throws {
      let lab = try DatabaseLab()
      for options in [[], ["--monitor"]] {
        let output = try run(
          lab.command(["--detach", "--remote=ptcp:1:192.0.2.1"] + options), environment: lab.environment)
        #expect(output.status == 1, "\(output)")
        #expect(output.standardError.contains("192.0.2.1"), "\(output)")
        #expect(try run(lab.command(["--detach", "--nonsense"] + options)).status == 2)
      }
    }

    @Test func `A crashed server is started again, with the log saying why, and one told to end is not`()
      throws
    {
      let lab = try DatabaseLab()
      let first = try lab.startDetached("--monitor")
      let monitor = try #require(parent(of: first))
      lab.remember(monitor)
      kill(first, SIGSEGV)
      try eventually("another process serves", within: 40) {
        try lab.pid() != first && UnixSocket.isListening(lab.socket)
      }
      let second = try lab.pid()
      #expect(parent(of: second) == monitor)
      #expect(lab.log.contains("process \(first) was killed by signal"), "\(lab.log)")
      #expect(try lab.client(["list-dbs", "unix:\(lab.socket)"]).text == "Open_vSwitch\n_Server")
      #expect(try lab.appctl(second, "exit").succeeded)
      try eventually("both are gone") { kill(second, 0) != 0 && kill(monitor, 0) != 0 }
      #expect(access(lab.file("switchdbd.pid"), F_OK) != 0)
    }

    @Test func `The monitor passes signals on`() throws {
      let lab = try DatabaseLab()
      let server = try lab.startDetached("--monitor")
      let monitor = try #require(parent(of: server))
      lab.remember(monitor)
      let log = lab.file("switchdbd.log")
      #expect(rename(log, log + ".1") == 0)
      kill(monitor, SIGHUP)
      try eventually("the log is opened anew") { access(log, F_OK) == 0 }
      kill(monitor, SIGTERM)
      try eventually("both are gone") { kill(server, 0) != 0 && kill(monitor, 0) != 0 }
      #expect(!UnixSocket.isListening(lab.socket))
    }

    @Test func `A command is run once the server listens, and its end is the server's`() throws {
      let lab = try DatabaseLab()
      for (suffix, status) in [("", Int32(0)), ("; exit 7", 1), ("; kill -9 $$", 1)] {
        let output = try run(
          lab.command([
            "--remote=punix:\(lab.socket)", "--run=ovsdb-client list-dbs unix:\(lab.socket)\(suffix)",
          ]), environment: lab.environment)
        #expect(output.status == status, "\(output)")
        #expect(output.text.hasPrefix("Open_vSwitch\n_Server"), "\(output)")
      }
      #expect(access(lab.socket, F_OK) != 0)
    }

    @Test func `The control socket answers what ovs-appctl and scripts ask`() throws {
      let lab = try DatabaseLab()
      let pid = try lab.startDetached()
      func ask(_ arguments: String...) throws -> String {
        let output = try run(
          ["ovs-appctl", "-T", "10", "-t", lab.file("switchdbd.\(pid).ctl")] + arguments)
        #expect(output.succeeded, "\(arguments): \(output)")
        return output.text
      }
      #expect(try ask("version").hasPrefix("switchdbd "))
      #expect(try ask("list-commands").contains("ovsdb-server/add-remote"))
      #expect(try ask("vlog/set", "ovsdb:file:dbg", "console:off") == "")
      #expect(try ask("vlog/list").contains("ovsdb             OFF        OFF        DBG"))
      #expect(try ask("vlog/disable-rate-limit") == "")
      #expect(try ask("memory/show").contains("sessions:0"))
      #expect(try ask("ovsdb-server/sync-status") == "state: active")
      #expect(try ask("ovsdb-server/memory-trim-on-compaction", "on") == "")
      #expect(try ask("ovsdb-server/compact") == "")
      #expect(try ask("ovsdb-server/reconnect") == "")
      #expect(try ask("exit") == "")
      try eventually("it is gone") { kill(pid, 0) != 0 }
    }

    /// As ovs-lib's `start_daemon` calls `ovsdb-server`, by whose name it finds the sockets afterwards.
    @Test func `What ovs-ctl starts as ovsdb-server is found under that name`() throws {
      let lab = try DatabaseLab()
      let program = lab.file("ovsdb-server")
      #expect(symlink("\(Location.programs)/switchdbd", program) == 0)
      try must(["ovsdb-tool", "create", lab.file("conf.db"), "\(Location.package)/etc/vswitch.ovsschema"])
      let command = [
        program, lab.file("conf.db"), "-vconsole:emer", "-vsyslog:err", "-vfile:info",
        "--remote=punix:\(lab.socket)", "--private-key=db:Open_vSwitch,SSL,private_key",
        "--certificate=db:Open_vSwitch,SSL,certificate", "--bootstrap-ca-cert=db:Open_vSwitch,SSL,ca_cert",
        "--no-chdir", "--log-file=\(lab.file("ovsdb-server.log"))",
        "--pidfile=\(lab.file("ovsdb-server.pid"))",
        "--detach", "--monitor",
      ]
      let output = try run(command, environment: lab.environment)
      #expect(output.succeeded, "\(output)")
      let pid = try #require(pid_t(readFile(lab.file("ovsdb-server.pid")).filter(\.isNumber)))
      lab.remember(pid)
      if let monitor = parent(of: pid) { lab.remember(monitor) }
      func ask(_ arguments: String...) throws -> Output {
        try run(["ovs-appctl", "-T", "10", "-t", "ovsdb-server"] + arguments, environment: lab.environment)
      }
      let added = try ask("ovsdb-server/add-remote", "db:Open_vSwitch,Open_vSwitch,manager_options")
      #expect(added.succeeded, "\(added)")
      #expect(try ask("version").text.hasPrefix("ovsdb-server "))
      #expect(try ask("exit").succeeded)
      try eventually("it is gone") { kill(pid, 0) != 0 }
    }

    /// Who has the file locked.
    private func holder(of path: String) -> pid_t? {
      do throws(LockError) {
        _ = try LockFile.acquire(path)
        return nil
      } catch {
        if case .held(_, let holder) = error { return holder }
        return nil
      }
    }

    private func parent(of pid: pid_t) -> pid_t? {
      let line = readFile("/proc/\(pid)/status").split(separator: "\n").first { $0.hasPrefix("PPid:") }
      return line.flatMap { pid_t($0.drop { !$0.isNumber }) }
    }
  }
}
