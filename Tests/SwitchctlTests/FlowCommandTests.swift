import Glibc
import JSONRPC
import Linux
import OVSDBTesting
import Testing

@testable import SwitchctlCommands

/// The commands on flows against a control socket that remembers what it was asked.
final class FlowCommandTests {
  let loop: EventLoop
  let directory: ScratchDirectory
  private let server: ControlServer
  private let asked: Asked

  final class Asked {
    var requests: [[String]] = []
    /// What `flow/dump` prints.
    var dump = ""
  }

  init() throws {
    loop = try EventLoop()
    directory = try ScratchDirectory()
    server = try ControlServer(loop, path: directory.file("switchd.42.ctl"), program: "switchd") {}
    let asked = Asked()
    self.asked = asked
    for name in ["flow/mod", "flow/dump", "flow/trace", "group/mod", "meter/mod", "group/dump"] {
      server.add(
        ControlCommand(name, arguments: 0...Int.max) { arguments throws(ControlError) in
          asked.requests.append([name] + arguments)
          if arguments.contains(where: { $0.contains("cookie=0xbad") }) { throw ControlError("no room\n") }
          return name == "flow/dump" ? asked.dump : ""
        })
    }
    server.add(
      ControlCommand("ports/show", arguments: 0...2) { arguments throws(ControlError) in
        guard arguments[0] == "br0" else { throw ControlError("there is no bridge \(arguments[0])\n") }
        return #"{"headings":["port","number"],"data":[["br0","LOCAL"],["vm1",7],["broken",null]]}"#
      })
    try write("switchd.pid", "42\n")
  }

  deinit { server.close() }

  @discardableResult
  func write(_ name: String, _ text: String) throws -> String {
    let file = try FileDescriptor.open(directory.file(name), O_WRONLY | O_CREAT | O_TRUNC)
    let bytes = Array(text.utf8)
    #expect(Glibc.write(file.raw, bytes, bytes.count) == bytes.count)
    return directory.file(name)
  }

  func run(_ words: String...) -> Invoked { run(words) }
  func run(_ words: [String]) -> Invoked { Invoked(["--rundir=\(directory.path)"] + words, loop: loop) }

  @Test func `A flow of the command line becomes a line for the switch`() {
    for (words, line) in [
      (["add-flow", "br0", "in_port=vm1,actions=drop"], "add in_port=vm1,actions=drop"),
      (["mod-flows", "br0", "ip,actions=drop"], "modify ip,actions=drop"),
      (["--strict", "mod-flows", "br0", "ip,actions=drop"], "modify_strict ip,actions=drop"),
      (["del-flows", "br0"], "delete "),
      (["del-flows", "br0", "--strict", "priority=3,ip"], "delete_strict priority=3,ip"),
    ] {
      asked.requests = []
      let invoked = run(words)
      #expect(invoked.status == .code(0), "\(words): \(invoked.errors)")
      #expect(asked.requests == [["flow/mod", "br0", line]])
    }
  }

  @Test func `A mistake in a file is named by its line before anything is sent`() throws {
    let file = try write(
      "flows", "# two flows\npriority=1,actions=drop\n\npriority=2,in_port=nowhere,actions=drop\n")
    let invoked = run("add-flows", "br0", file)
    #expect(invoked.status == .code(1))
    #expect(invoked.errors.hasPrefix("switchctl: \(file): line 4: "), "\(invoked.errors)")
    #expect(asked.requests.isEmpty)
    #expect(run("add-flows", "br0", directory.file("none")).errors.contains("No such file"))
    #expect(run("add-flows", "br9", file).errors == "switchctl: switchd: there is no bridge br9\n")
  }

  @Test func `A file without an end or with lines that have none is refused`() throws {
    #expect(
      run("add-flows", "br0", "/dev/zero").errors.hasPrefix("switchctl: /dev/zero: line 1 is longer than "))
    let file = try write("flows", "actions=drop\nactions=" + String(repeating: "output:1,", count: 20_000))
    let invoked = run("add-flows", "br0", file)
    #expect(invoked.status == .code(1))
    #expect(invoked.errors.hasPrefix("switchctl: \(file): line 2"), "\(invoked.errors)")
    #expect(run("add-flows", "br0", directory.path).errors.contains("Is a directory"))
    #expect(asked.requests.isEmpty)
  }

  @Test func `A file goes in parts that keep its lines and their numbers`() throws {
    let lines = (1...10_000).map { "priority=\($0),actions=drop" }
    let file = try write("flows", lines.joined(separator: "\n") + "\n")
    #expect(run("add-flows", "br0", file).status == .code(0))
    #expect(asked.requests.count > 1)
    var sent: [String] = []
    for request in asked.requests {
      #expect(request[2] == "--line=\(sent.count + 1)")
      sent += request[3...]
    }
    #expect(sent == lines)

    asked.requests = []
    #expect(run("--bundle", "add-flows", "br0", file).status == .code(0))
    #expect(asked.requests == [["flow/mod", "br0", "--bundle"] + lines])
  }

  @Test func `What the switch refuses is an error that names the file, and ends the sending`() throws {
    let lines = ["cookie=0xbad,actions=drop"] + (1...40_000).map { "table=\($0 % 9),actions=drop" }
    let file = try write("flows", lines.joined(separator: "\n"))
    let invoked = run("add-flows", "br0", file)
    #expect(invoked.status == .code(1))
    #expect(invoked.errors == "switchctl: \(file): switchd: no room\n")
    #expect(asked.requests.count < 10)
  }

  @Test func `replace-flows sends what differs`() throws {
    asked.dump = " priority=1 actions=drop\n priority=2,in_port=7 actions=drop\n priority=3 actions=NORMAL\n"
    let file = try write("flows", "priority=1,actions=drop\npriority=2,in_port=vm1,actions=output:vm1\n")
    #expect(run("replace-flows", "br0", file).errors == "")
    #expect(
      asked.requests == [
        ["flow/dump", "br0", "--no-stats", "--no-names"],
        [
          "flow/mod", "br0", "--line=1", "delete_strict table=0,priority=3",
          "add priority=2,in_port=7 actions=output:7",
        ],
      ])
    asked.requests = []
    #expect(run("replace-flows", "--readd", "br0", file).errors == "")
    #expect(asked.requests.last?.count == 6)
  }

  @Test func `diff-flows exits with 2 when there is a difference`() throws {
    asked.dump = " priority=1 actions=drop\n"
    let same = try write("same", "priority=1,actions=drop\n")
    let other = try write("other", "priority=1,actions=NORMAL\n")
    let equal = run("diff-flows", "br0", same)
    #expect(equal.status == .code(0) && equal.output.isEmpty && equal.errors.isEmpty)
    let different = run("diff-flows", "br0", other)
    #expect(different.status == .code(2))
    #expect(different.output == "-priority=1 actions=drop\n+priority=1 actions=NORMAL\n")
    let wrong = try write("wrong", "delete in_port=1\n")
    #expect(run("diff-flows", same, wrong).status == .code(1))
  }

  @Test func `Files are compared and checked without a switch`() throws {
    let one = try write("one", "priority=1,actions=drop\n")
    let two = try write("two", "tcp,tp_dst=80,actions=output:1 # web\n")
    #expect(Invoked("--rundir=/nonexistent", "diff-flows", one, two, loop: loop).status == .code(2))
    let parsed = Invoked("--rundir=/nonexistent", "parse-flows", two, loop: loop)
    #expect(parsed.output == "tcp,tp_dst=80 actions=output:1\n")
  }

  @Test func `dump-flows takes its options on either side, and -O`() {
    #expect(
      run("-O", "OpenFlow15", "--no-stats", "dump-flows", "br0", "--rsort", "table=1").status == .code(0))
    #expect(run("dump-flows", "br0", "--names", "--sort=tcp_dst", "-OOpenFlow13").status == .code(0))
    #expect(
      asked.requests == [
        ["flow/dump", "br0", "table=1", "--no-names", "--no-stats", "--rsort=priority"],
        ["flow/dump", "br0", "--names", "--sort=tcp_dst"],
      ])
  }

  @Test func `trace sends a flow, or a frame of a capture as digits`() throws {
    let capture = CaptureFileTests.Capture(frames: [[1, 2], [0xAB, 0xCD, 0x0F]])
    let path = directory.file("frames.pcap")
    let file = try FileDescriptor.open(path, O_WRONLY | O_CREAT)
    #expect(Glibc.write(file.raw, capture.bytes, capture.bytes.count) == capture.bytes.count)
    #expect(run("trace", "br0", "in_port=1,tcp").errors == "")
    #expect(run("trace", "br0", "--pcap", path, "--frame=2", "--in-port=vm1").errors == "")
    #expect(
      asked.requests == [
        ["flow/trace", "br0", "in_port=1,tcp", "--no-names"],
        ["flow/trace", "br0", "--frame=abcd0f", "in_port=vm1", "--no-names"],
      ])
    #expect(run("trace", "br0").status == .code(2))
    #expect(run("trace", "br0", "tcp", "--frame=2").status == .code(2))
    #expect(run("trace", "br0", "tcp", "--pcap=\(path)").status == .code(2))
    #expect(run("trace", "br0", "--pcap=\(path)", "--frame=0").status == .code(2))
  }

  @Test func `Groups and meters are put into the switch's words`() throws {
    let file = try write("groups", "group_id=1,type=all\n# none\ndelete group_id=2\n")
    for (words, request) in [
      (["add-group", "br0", "group_id=1,type=all"], ["group/mod", "br0", "add group_id=1,type=all"]),
      (["mod-group", "br0", "group_id=1,type=all"], ["group/mod", "br0", "mod group_id=1,type=all"]),
      (["--may-create", "mod-group", "br0", "group_id=1"], ["group/mod", "br0", "add_or_mod group_id=1"]),
      (["del-groups", "br0"], ["group/mod", "br0", "del "]),
      (["insert-buckets", "br0", "group_id=1"], ["group/mod", "br0", "insert_buckets group_id=1"]),
      (["remove-buckets", "br0", "group_id=1"], ["group/mod", "br0", "remove_buckets group_id=1"]),
      (
        ["add-groups", "br0", file],
        ["group/mod", "br0", "--line=1", "group_id=1,type=all", "# none", "delete group_id=2"]
      ),
      (["add-meter", "br0", "meter=1,kbps"], ["meter/mod", "br0", "add meter=1,kbps"]),
      (["mod-meter", "br0", "meter=1,kbps"], ["meter/mod", "br0", "mod meter=1,kbps"]),
      (["del-meters", "br0"], ["meter/mod", "br0", "del "]),
    ] {
      asked.requests = []
      let invoked = run(words)
      #expect(invoked.status == .code(0), "\(words): \(invoked.errors)")
      #expect(asked.requests == [request])
    }
  }
}
