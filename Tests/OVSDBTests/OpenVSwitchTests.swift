import Glibc
import JSONRPC
import Linux
import Testing

@testable import OVSDB

/// The daemon beside the test bundle, started on a directory of its own, and the tools of Debian's Open vSwitch on it.
private final class RunningDaemon {
  let directory: TemporaryDirectory
  static let program = "\(sourceTree)/.build/debug/switchdbd"

  init() throws {
    directory = try TemporaryDirectory()
    let result = start()
    #expect(result.status == 0, "\(result.output)")
  }

  var remote: String { "unix:\(directory.path)/db.sock" }
  var file: String { directory.file("conf.db") }

  func start(_ options: String = "") -> (status: Int32, output: String) {
    run(
      "\(Self.program) --rundir=\(directory.path) --detach --log-file=\(directory.file("log")) \(options) \(file)"
    )
  }

  var pid: pid_t? {
    guard let bytes = try? readFile(directory.file("switchdbd.pid")) else { return nil }
    return pid_t(String(decoding: bytes, as: UTF8.self).filter(\.isNumber))
  }

  func signal(_ number: Int32) {
    guard let pid, pid > 1 else { return }
    kill(pid, number)
    _ = awaited(10_000) { kill(pid, 0) != 0 }
  }

  deinit { signal(SIGKILL) }

  /// Runs a tool; its output without the last newline.
  func tool(_ command: String, status: Int32 = 0) -> String {
    let result = run(command)
    #expect(result.status == status, "\(command): \(result.output)")
    return result.output.hasSuffix("\n") ? String(result.output.dropLast()) : result.output
  }

  func vsctl(_ command: String) -> String {
    tool("ovs-vsctl --timeout=10 --no-wait --db=\(remote) \(command)")
  }
}

private let hasTools =
  fileExists(RunningDaemon.program) && isInstalled("ovs-vsctl") && isInstalled("ovsdb-tool")

@Suite(
  .enabled(
    if: hasTools, "needs .build/debug/switchdbd and the packages openvswitch-common, openvswitch-switch"))
struct OpenVSwitchTests {
  private let daemon: RunningDaemon

  init() throws { daemon = try RunningDaemon() }

  @Test func ovsVsctlConfigures() {
    #expect(daemon.vsctl("init") == "")
    #expect(
      daemon.vsctl("add-br br0 -- add-port br0 p1 tag=7 -- set Interface p1 type=internal options:a=b") == "")
    #expect(daemon.vsctl("list-br") == "br0")
    #expect(daemon.vsctl("list-ports br0") == "p1")
    #expect(daemon.vsctl("get Port p1 tag") == "7")
    #expect(daemon.vsctl("get Interface p1 options:a") == "b")
    #expect(daemon.vsctl("show").contains("Bridge br0"))
    #expect(daemon.vsctl("--id=@m create Mirror name=m -- set Bridge br0 mirrors=@m") != "")
    #expect(daemon.vsctl("--columns=name --bare find Interface type=internal").contains("p1"))
    #expect(
      daemon.tool("ovs-vsctl --no-wait --db=\(daemon.remote) add-br br0", status: 1).contains(
        "already exists"))
    #expect(daemon.vsctl("del-br br0 -- list-br") == "")
    #expect(daemon.vsctl("--columns=_uuid --bare list Interface") == "")
  }

  @Test func ovsdbClientReadsAndWrites() throws {
    #expect(daemon.tool("ovsdb-client list-dbs \(daemon.remote)") == "Open_vSwitch\n_Server")
    let schema = daemon.tool("ovsdb-client get-schema \(daemon.remote)")
    #expect(try DatabaseSchema(JSON(parsing: schema)).tables.count == 19)
    let insert = #"["Open_vSwitch",{"op":"insert","table":"Open_vSwitch","row":{"next_cfg":3}}]"#
    #expect(daemon.tool("ovsdb-client transact \(daemon.remote) '\(insert)'").contains("uuid"))
    let client = "ovsdb-client -vconsole:off --timeout=5"
    #expect(daemon.tool("\(client) dump \(daemon.remote) Open_vSwitch Open_vSwitch next_cfg").hasSuffix("3"))
    #expect(daemon.tool("\(client) wait \(daemon.remote) Open_vSwitch added") == "")
    for monitor in ["monitor", "monitor-cond", "monitor-cond-since"] {
      let condition = monitor == "monitor" ? "" : "'[]'"
      let last = monitor == "monitor-cond-since" ? UUID.zero.description : ""
      // It goes on until its output is closed; a timeout ends it.
      let output = run(
        "ovsdb-client --timeout=1 --format=csv --no-headings \(monitor) \(daemon.remote) Open_vSwitch \(last) \(condition) Open_vSwitch next_cfg"
      ).output
      #expect(output.contains("initial,3"), "\(monitor): \(output)")
    }
  }

  @Test func filesGoBackAndForth() throws {
    #expect(
      daemon.vsctl("add-br br0 -- set Bridge br0 other_config:a=b -- set Bridge br0 other_config:c=d") == "")
    #expect(daemon.vsctl("remove Bridge br0 other_config a -- add-port br0 p1 -- del-port p1") == "")
    let query =
      #"["Open_vSwitch",{"op":"select","table":"Bridge","where":[],"columns":["name","other_config"]}]"#
    let expected = #"[{"rows":[{"name":"br0","other_config":["map",[["c","d"]]]}]}]"#
    #expect(daemon.tool("ovsdb-tool query \(daemon.file) '\(query)'") == expected)
    #expect(daemon.tool("ovsdb-tool show-log -mm \(daemon.file)").contains("ovs-vsctl"))
    daemon.signal(SIGTERM)
    #expect(
      !fileExists(daemon.directory.file("db.sock")) && !fileExists(daemon.directory.file("switchdbd.pid")))
    // Written by ovsdb-tool, in its own way, and read back here.
    #expect(daemon.tool("ovsdb-tool compact \(daemon.file)") == "")
    let insert =
      #"["Open_vSwitch",{"op":"update","table":"Bridge","where":[],"row":{"other_config":["map",[["e","f"]]]}}]"#
    #expect(daemon.tool("ovsdb-tool transact \(daemon.file) '\(insert)'") == #"[{"count":1}]"#)
    #expect(daemon.start().status == 0)
    #expect(daemon.vsctl("get Bridge br0 other_config") == "{e=f}")
    daemon.signal(SIGTERM)
    unlink(daemon.file)
    #expect(daemon.tool("ovsdb-tool create \(daemon.file) \(sourceTree)/etc/vswitch.ovsschema") == "")
    #expect(daemon.start().status == 0)
    #expect(daemon.vsctl("add-br br1 -- list-br") == "br1")
  }

  @Test func whatWasAcknowledgedSurvivesAKill() throws {
    for number in 0..<5 {
      #expect(daemon.vsctl("add-br br\(number)") == "")
      daemon.signal(SIGKILL)
      #expect(daemon.start().status == 0)
    }
    #expect(daemon.vsctl("list-br") == "br0\nbr1\nbr2\nbr3\nbr4")
  }

  @Test func aSecondDaemonIsRefusedNamingTheFirst() throws {
    let pid = try #require(daemon.pid)
    let sameDirectory = daemon.start()
    #expect(sameDirectory.status == 1)
    #expect(sameDirectory.output.contains("process \(pid)"))
    let other = try TemporaryDirectory()
    let sameFile = run("\(RunningDaemon.program) --rundir=\(other.path) --detach \(daemon.file)")
    #expect(sameFile.status == 1)
    #expect(sameFile.output.contains("process \(pid)") && sameFile.output.contains("conf.db"))
    #expect(daemon.vsctl("list-br") == "")
  }

  @Test(.enabled(if: isInstalled("ovs-appctl"), "needs ovs-appctl"))
  func ovsAppctlControls() throws {
    let appctl = "OVS_RUNDIR=\(daemon.directory.path) ovs-appctl -t switchdbd"
    #expect(daemon.tool("\(appctl) version") == "switchdbd \(productVersion)")
    #expect(daemon.tool("\(appctl) ovsdb-server/list-dbs") == "Open_vSwitch\n_Server")
    #expect(daemon.tool("\(appctl) ovsdb-server/add-remote ptcp:0:127.0.0.1") == "")
    let remotes = daemon.tool("\(appctl) ovsdb-server/list-remotes").split(separator: "\n").map(String.init)
    let parts = try #require(remotes.first { $0.hasPrefix("ptcp:") }).split(separator: ":")
    #expect(daemon.tool("ovsdb-client list-dbs tcp:127.0.0.1:\(parts[1])") == "Open_vSwitch\n_Server")
    #expect(daemon.tool("\(appctl) ovsdb-server/compact") == "")
    let pid = try #require(daemon.pid)
    #expect(daemon.tool("\(appctl) exit") == "")
    #expect(awaited(10_000) { kill(pid, 0) != 0 })
  }
}
