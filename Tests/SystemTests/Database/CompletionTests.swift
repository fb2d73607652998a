import Glibc
import Testing

// The completion of real, interactive shells, typed to on a terminal.
extension System {
  @Suite(.needs("script")) struct ShellCompletion {
    /// Types lines to a shell on a terminal of its own; returns what the shell and its programs printed.
    ///
    /// Each line ends with a command that makes a file, for which is waited before the next is typed: a shell drops
    /// what is typed too early.
    private func type(_ lines: [String], to shell: String, _ lab: Lab) throws -> String {
      let input = "\(lab.directory)/keys-\(Scratch.shared.number())"
      let output = "\(lab.directory)/screen-\(Scratch.shared.number())"
      guard mkfifo(input, 0o600) == 0 else { throw HarnessError("cannot make the pipe \(input)") }
      let keys = open(input, O_RDWR | O_CLOEXEC)
      defer { close(keys) }
      let path = getenv("PATH").map { String(cString: $0) } ?? "/usr/bin:/bin"
      let program = try Program(
        ["script", "-qec", shell, "/dev/null"],
        environment: [
          "PATH": "\(Location.programs):\(path)", "OVS_RUNDIR": lab.directory, "TERM": "dumb", "PS1": "> ",
          "COMPLETION": "\(Location.package)/etc/completion",
        ], standardInput: input, standardOutput: output)
      for (number, line) in lines.enumerated() {
        let mark = "\(output)-\(number)"
        let bytes = Array("\(line)\ntouch \(mark)\n".utf8)
        guard write(keys, bytes, bytes.count) == bytes.count else {
          throw HarnessError("cannot type to \(shell)")
        }
        try eventually("\(shell) has carried out \(line)") {
          guard program.isRunning else { throw HarnessError("\(shell) ended: \(readFile(output))") }
          return access(mark, F_OK) == 0
        }
      }
      program.kill()
      return readFile(output)
    }

    private func check(_ shell: String, _ setUp: String) throws {
      try withLab { lab in
        try lab.ctl(
          "--no-wait", "add-port", "br0", "port-one", "--", "set", "Interface", "port-one",
          "external_ids:iface-id=seven")
        let files = (1...4).map { "\(lab.directory)/result-\($0)" }
        let screen = try type(
          [
            setUp, "switchctl list-po\tb\t> \(files[0])", "switchctl get Int\tport-o\tna\t> \(files[1])",
            "switchctl get Interface port-one external-ids:if\t> \(files[2])",
            "switchctl --no-wai\tset Port port-one vlan-mode=acc\t; switchctl get Port port-one vlan_mode > \(files[3])",
          ], to: shell, lab)
        #expect(files.map(readFile) == ["port-one\n", "port-one\n", "seven\n", "access\n"], "\(screen)")
      }
    }

    @Test func `bash completes commands, options, tables, columns, keys, values and names of records`() throws
    {
      try check("bash --norc -i", "source $COMPLETION/switchctl.bash")
    }

    @Test(.needs("zsh"))
    func `zsh completes commands, options, tables, columns, keys, values and names of records`() throws {
      try check("zsh -f -i", "fpath=($COMPLETION $fpath); autoload -U compinit; compinit -u -D")
    }
  }
}
