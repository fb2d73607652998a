import Glibc
import JSONRPC
import Linux
import Testing

@testable import SwitchctlCommands

/// What the name `ovs-vsctl` changes; the differential test compares the rest.
struct PersonalityTests {
  let loop: EventLoop

  init() throws { loop = try EventLoop() }

  func run(_ words: String...) -> (status: Outcome, output: String, errors: String) {
    var (output, errors) = ("", "")
    let terminal = Terminal(program: "ovs-vsctl", output: { output += $0 }, errors: { errors += $0 })
    return (Program.run(words, loop, terminal), output, errors)
  }

  @Test func `Advice is for people who know what they called`() {
    #expect(
      run("--db=unix:/nowhere", "list-br").errors
        == "ovs-vsctl: unix:/nowhere: database connection failed (No such file or directory)\n")
    #expect(run("ad-br").errors == "ovs-vsctl: unknown command 'ad-br'; use --help for help\n")
    #expect(run("ad-br").status == .code(1))
    #expect(Invoked("ad-br", loop: loop).status == .code(2))
  }

  @Test func `The version begins as scripts expect it`() {
    let lines = run("--version").output.split(separator: "\n")
    #expect(lines.first == "ovs-vsctl (Open vSwitch) 3.1.0")
    #expect(lines.count == 3 && lines[1].hasPrefix("DB Schema 8."))
  }

  @Test func `The lists for completion are Open vSwitch's`() {
    let commands = run("--commands").output.split(separator: "\n")
    #expect(commands.contains("[--if-exists] ,set,!TABLE !RECORD +COLUMN?:KEY=VALUE"))
    #expect(commands.contains("[--if-exists] [--id=] ,get,!TABLE !RECORD *COLUMN?:KEY"))
    #expect(!commands.contains { $0.contains(",fdb,") || $0.contains(",watch,") })
    let options = run("--options").output.split(separator: "\n")
    #expect(options.contains("--timeout=ARG") && options.contains("-t ARG") && options.contains("--no-wait"))
  }

  @Test func `The database is where the environment, then the options, say`() {
    var options = GlobalOptions()
    options.runDirectory = "/run/x"
    for personality in [Personality.switchctl, .ovsVsctl] {
      #expect(personality.defaultDatabase(options) == "unix:/run/x/db.sock")
    }
    // Without either: ours if it is there, and for a drop-in Open vSwitch's own place if not.
    guard getenv("OVS_RUNDIR") == nil, !exists("\(RunDirectory.standard)/db.sock") else { return }
    #expect(Personality.switchctl.defaultDatabase(GlobalOptions()) == "unix:/run/switchd/db.sock")
    #expect(Personality.ovsVsctl.defaultDatabase(GlobalOptions()) == "unix:/var/run/openvswitch/db.sock")
  }

  @Test func `A relative socket is in the run directory for a drop-in, and in the current one otherwise`()
    throws
  {
    var options = GlobalOptions()
    (options.database, options.runDirectory) = ("unix:a.sock,tcp:127.0.0.1:1", "/run/x")
    #expect(
      try Personality.ovsVsctl.remotes(options).map(\.description) == [
        "unix:/run/x/a.sock", "tcp:127.0.0.1:1",
      ])
    #expect(try Personality.switchctl.remotes(options).first?.description == "unix:a.sock")
  }

  @Test func `Files for TLS are kept for the connection`() throws {
    let options = try Invocation([
      "-p", "key", "-c", "cert", "--ca-cert=ca", "--bootstrap-ca-cert=boot", "--peer-ca-cert=peer",
      "--ssl-protocols=TLSv1.3", "--ssl-ciphers=HIGH", "list-br",
    ]).options
    #expect(
      options.tls
        == TLSFiles(
          privateKey: "key", certificate: "cert", authority: "boot", bootstrapsAuthority: true,
          peerAuthority: "peer",
          protocols: "TLSv1.3", ciphers: "HIGH"))
    #expect(
      try !Invocation(["--bootstrap-ca-cert=b", "-C", "none", "list-br"]).options.tls.bootstrapsAuthority)
  }
}
