import Testing

// What cannot be set up is refused in one sentence that names it; the other ports forward on.
extension System {
  @Suite struct AddPort {
    /// Checks that `arguments` fail with status 1 and a message that contains every one of `words`.
    private func expectFailure(_ lab: Lab, _ arguments: [String], naming words: String...) throws {
      let output = try lab.attempt(arguments)
      #expect(output.status == 1, "\(arguments): \(output)")
      for word in words { #expect(output.standardError.contains(word), "\(arguments): \(output)") }
    }

    @Test func `Names that exist, or exist nowhere, are refused`() throws {
      try withLab { lab in
        let first = try lab.addHost("veth1")
        let second = try lab.addHost("veth2")
        try expectFailure(lab, ["add-port", "br0", "veth1"], naming: "veth1")
        try expectFailure(lab, ["add-port", "nowhere", "x1"], naming: "nowhere")
        try expectFailure(lab, ["add-br", "br0"], naming: "br0")
        try expectFailure(lab, ["del-port", "x1"], naming: "x1")
        try lab.ctl("--may-exist", "add-port", "br0", "veth1")
        try lab.ctl("--if-exists", "del-port", "x1")
        #expect(try lab.ctl("list-ports", "br0") == "veth1\nveth2")
        try first.reaches(second)
      }
    }

    @Test func `A NIC on another bridge is refused`() throws {
      try withLab { lab in
        let first = try lab.addHost("veth1")
        let second = try lab.addHost("veth2")
        try lab.ctl("add-br", "br1")
        try expectFailure(lab, ["add-port", "br1", "veth1"], naming: "veth1", "br0")
        try first.reaches(second)
      }
    }

    @Test(.needs("socat")) func `A socket path in use is refused and taken once it is free`() throws {
      try withLab { lab in
        let path = lab.socket("vm1")
        let holder = try lab.namespace.start(["socat", "UNIX-LISTEN:\(path),fork", "/dev/null"])
        try eventually("the path is taken") { try run(["test", "-S", path]).succeeded }
        try expectFailure(
          lab, ["add-port", "br0", "vm1", "--", "set", "Interface", "vm1", "type=vhost-user"], naming: path)
        holder.kill()
        try eventually("the port takes the path") { try lab.interface("vm1", "error") == "[]" }
      }
    }

    @Test func `A name that leads out of the directory is refused`() throws {
      try withLab { lab in
        for name in ["../escape", "a/b"] {
          try expectFailure(
            lab, ["add-port", "br0", name, "--", "set", "Interface", name, "type=vhost-user"], naming: name)
        }
        #expect(!(try run(["test", "-e", "\(lab.directory)/../escape"])).succeeded)
      }
    }

    @Test func `An unknown type and an unknown command name what there is`() throws {
      try withLab { lab in
        try expectFailure(
          lab, ["add-port", "br0", "p", "--", "set", "Interface", "p", "type=vhost"], naming: "vhost")
        let unknown = try lab.attempt("ad-port", "br0", "p")
        #expect(unknown.status == 2 && unknown.standardError.contains("add-port"), "\(unknown)")
      }
    }

    @Test func `A vhost-user-client port without its path says which option is missing`() throws {
      try withLab { lab in
        try expectFailure(
          lab, ["add-port", "br0", "p", "--", "set", "Interface", "p", "type=vhost-user-client"],
          naming: "vhost-server-path")
      }
    }

    @Test func `A peer that talks nonsense costs its own port only`() throws {
      try withLab { lab in
        let first = try lab.addHost("veth1")
        let second = try lab.addHost("veth2")
        try lab.ctl("add-port", "br0", "vm1", "--", "set", "Interface", "vm1", "type=vhost-user")
        try first.reaches(second)
        for _ in 0..<20 {
          _ = try run([
            "sh", "-c", "head -c 4000 /dev/urandom | socat -t 0.1 -u - UNIX-CONNECT:\(lab.socket("vm1"))",
          ])
        }
        #expect(try first.ping(second).succeeded)
        #expect(lab.switchd?.isRunning == true)
      }
    }
  }
}
