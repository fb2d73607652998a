import Glibc
import Linux
import Testing

extension System {
  @Suite struct Daemons {
    @Test func `A second switch on the same directory is refused and harms nothing`() throws {
      try withLab { lab in
        let first = try lab.addHost("veth1")
        let second = try lab.addHost("veth2")
        let pid = try #require(lab.switchd?.pid)
        let output = try lab.runDaemon("switchd", ["--rundir=\(lab.directory)"])
        #expect(output.status == 1)
        #expect(output.standardError.contains("\(pid)"), "\(output)")
        try first.reaches(second)
      }
    }

    @Test func `A second database server on the same file is refused, naming the first`() throws {
      try withLab(start: false) { lab in
        try lab.startDatabase()
        let pid = try #require(lab.switchdbd?.pid)
        let output = try lab.runDaemon(
          "switchdbd",
          ["--rundir=\(lab.directory)", "--remote=punix:\(lab.directory)/2", "\(lab.directory)/conf.db"])
        #expect(output.status == 1)
        #expect(output.standardError.contains("\(pid)"), "\(output)")
        #expect(try lab.attempt("show").succeeded)
      }
    }

    @Test func `SIGTERM ends the switch cleanly and takes its sockets away`() throws {
      try withLab { lab in
        try lab.ctl("add-port", "br0", "vm1", "--", "set", "Interface", "vm1", "type=vhost-user")
        #expect(UnixSocket.isListening(lab.socket("vm1")))
        lab.switchd?.signal(SIGTERM)
        #expect(try lab.switchd?.wait(within: 10) == 0)
        #expect(!(try run(["test", "-e", lab.socket("vm1")])).succeeded)
        #expect(!(try run(["test", "-e", lab.database])).succeeded)
      }
    }

    @Test func `A detached switch has its pid in its file and its parent returns when it listens`() throws {
      try withLab(start: false) { lab in
        let output = try lab.runDaemon(
          "switchd",
          ["--rundir=\(lab.directory)", "--detach", "--pidfile", "--log-file=\(lab.directory)/switchd.log"])
        #expect(output.succeeded, "\(output)")
        let pid = try #require(pid_t(readFile("\(lab.directory)/switchd.pid").filter(\.isNumber)))
        defer { kill(pid, SIGKILL) }
        #expect(UnixSocket.isListening(lab.database))
        try lab.ctl("add-br", "br0")
        kill(pid, SIGTERM)
        try eventually("it is gone") { kill(pid, 0) != 0 }
      }
    }

    @Test func `The configuration survives kill -9`() throws {
      try withLab { lab in
        try lab.ctl("add-br", "br1")
        try lab.ctl("set", "Bridge", "br1", "other_config:mac-aging-time=77")
        lab.switchd?.kill()
        try lab.startSwitch()
        #expect(try lab.ctl("list-br") == "br0\nbr1")
        #expect(try lab.ctl("get", "Bridge", "br1", "other_config:mac-aging-time") == "\"77\"")
      }
    }

    @Test func `A database file with a torn end opens with what was whole`() throws {
      try withLab { lab in
        lab.switchd?.kill()
        let file = try #require(
          try must(["find", lab.directory, "-name", "*.db", "-type", "f"]).split(separator: "\n").first)
        try must(["sh", "-c", "printf 'OVSDB JSON 400 0123' >>\(file)"])
        try lab.startSwitch()
        #expect(try lab.ctl("list-br") == "br0")
      }
    }
  }
}
