import Datapath
import Flow
import Glibc
import JSONRPC
import Linux
import Testing

@testable import Configuration

/// The control socket's commands on flows, over a real socket and a datapath without ports.
final class FlowControlTests {
  let loop: EventLoop
  let datapath: Datapath
  private let ports = FakePorts()
  private let reconciler: Reconciler
  private let server: ControlServer
  private let path: String
  private let client: Connection

  init() throws {
    loop = try EventLoop()
    Log.setLevel(.off)
    datapath = try Datapath(loop: loop)
    ports.failures["br0"] = "no devices in tests"
    reconciler = Reconciler(loop, datapath, ports)
    reconciler.apply(judge(rows(bridge("br0"))))
    path = "/tmp/flow-control-test.\(getpid()).\(UInt32.random(in: 0 ... .max)).ctl"
    server = try ControlServer(loop, path: path, program: "switchd") {}
    for command in RuntimeCommands(loop, datapath, reconciler).table { server.add(command) }
    var limits = Connection.Limits()
    limits.input = JSONFramer.Limits(bytes: 1 << 30, depth: 8, values: 1000)
    client = try Connection.connect(to: .unix(path: path), loop, limits: limits)
  }

  deinit {
    client.close()
    server.close()
    datapath.stop()
  }

  /// The answer, or "error: " and why there is none.
  func ask(_ command: String, _ arguments: [String]) throws -> String {
    var answers: [String] = []
    send(command, arguments) { answers.append($0) }
    try #require(loop.run(atMost: 60_000) { !answers.isEmpty })
    return answers[0]
  }

  func send(_ command: String, _ arguments: [String], _ take: @escaping (String) -> Void) {
    client.request(command, arguments.map { .string($0) }) { reply in
      switch reply {
      case .success(let json): take(json.string ?? "?")
      case .failure(let error): take("error: \(error)")
      }
    }
  }

  @Test func `Lines are numbered as in their file, and nothing is done when one cannot be read`() throws {
    let before = try ask("flow/dump", ["br0", "--no-stats"])
    #expect(
      try ask(
        "flow/mod", ["br0", "--line=41", "priority=1,actions=drop", "# why", "priority=2,actions=nosuch"]
      )
      .hasPrefix("error: line 43, \"priority=2,actions=nosuch\": "))
    #expect(try ask("flow/dump", ["br0", "--no-stats"]) == before)
    #expect(try ask("flow/mod", ["br0", "actions=nosuch"]).hasPrefix("error: line") == false)
    let long = "priority=1,actions=" + String(repeating: "output:1,", count: 200) + "nosuch"
    #expect(try ask("flow/mod", ["br0", "actions=drop", long]).utf8.count < 400)
  }

  @Test func `A refused line of a bundle undoes the others, of another request it does not`() throws {
    #expect(try ask("flow/mod", ["br0", "delete"]) == "")
    let lines = ["priority=1,actions=drop", "priority=2,actions=group:9", "priority=3,actions=drop"]
    #expect(try ask("flow/mod", ["br0", "--bundle"] + lines).hasPrefix("error: line 2, "))
    #expect(try ask("flow/dump", ["br0", "--no-stats"]) == "")
    #expect(try ask("flow/mod", ["br0"] + lines).hasPrefix("error: line 2, "))
    #expect(try ask("flow/dump", ["br0", "--no-stats"]) == " priority=1 actions=drop\n")
  }

  @Test func `A long dump is written in parts, in order, and only so many at once`() throws {
    let count = 5000
    let lines = (0..<count).map { "table=1,priority=\($0),actions=drop" }
    #expect(try ask("flow/mod", ["br0", "--bundle"] + lines) == "")
    var answers: [String] = []
    for _ in 0..<6 {
      send("flow/dump", ["br0", "table=1", "--no-stats", "--sort=priority"]) { answers.append($0) }
    }
    try #require(loop.run(atMost: 60_000) { answers.count == 6 })
    #expect(answers.filter { $0.hasPrefix("error: 4 dumps are being written already") }.count == 2)
    let expected = (0..<count).map { priority in
      " table=1, " + (priority == 32768 ? "" : "priority=\(priority) ") + "actions=drop\n"
    }.joined()
    #expect(answers.filter { $0 == expected }.count == 4)

    let json = try JSON(parsing: try ask("flow/dump", ["br0", "table=1", "--format=json"]))
    #expect(json["data"]?.array?.count == count)
    #expect(json["data"]?[0]?[1] == .integer(Int64(count - 1)))
    #expect(json["headings"]?.array?.count == json["data"]?[0]?.array?.count)
  }

  @Test func `Flows are sorted by fields, those without them last`() throws {
    _ = try ask(
      "flow/mod",
      [
        "br0", "delete", "tcp,tcp_dst=80,actions=drop", "priority=9,tcp,tcp_dst=22,actions=drop",
        "priority=5,actions=drop",
      ])
    func order(_ options: String...) throws -> [String] {
      try ask("flow/dump", ["br0", "--no-stats"] + options).split(separator: "\n").map {
        $0.contains("=80") ? "80" : $0.contains("=22") ? "22" : "all"
      }
    }
    #expect(try order("--sort=tcp_dst") == ["22", "80", "all"])
    #expect(try order("--rsort=tcp_dst") == ["80", "22", "all"])
    #expect(try order("--sort") == ["all", "22", "80"])
    #expect(try order("--rsort=priority") == ["80", "22", "all"])
    #expect(try ask("flow/dump", ["br0", "--sort=colour"]).contains("\"colour\" is no field to sort by"))
  }

  @Test func `Inserted buckets without a number get one that is free`() throws {
    #expect(
      try ask(
        "group/mod",
        [
          "br0", "add group_id=1,type=all,bucket=bucket_id:1,output:1", "# more",
          "insert_bucket group_id=1,command_bucket_id=first,bucket=output:2,bucket=output:3",
        ]) == "")
    #expect(
      try ask("group/dump", ["br0"])
        == " group_id=1,type=all,bucket=bucket_id:0,actions=output:2,bucket=bucket_id:2,actions=output:3,"
        + "bucket=bucket_id:1,actions=output:1\n")
    #expect(try ask("group/mod", ["br0", "remove_bucket group_id=1,command_bucket_id=last"]) == "")
    #expect(try ask("group/dump", ["br0", "group_id=1"]).contains("bucket_id:1") == false)
    #expect(
      try ask("group/mod", ["br0", "frob group_id=1"]).contains("\"frob\" is nothing that can be done"))
    #expect(try ask("group/mod", ["br0", "# nothing", "del"]) == "")
    #expect(try ask("group/dump", ["br0"]) == "")
  }

  @Test func `Trace refuses what is no frame`() throws {
    for arguments in [["--frame=zz"], ["--frame=abc"], ["--frame=00"], ["--frame="], ["nosuch=1"], []] {
      #expect(
        try ask("flow/trace", ["br0"] + arguments + (arguments.isEmpty ? ["--names"] : [])).hasPrefix(
          "error: "))
    }
    let frame = String(repeating: "0", count: 28)
    #expect(
      try ask("flow/trace", ["br0", "--frame=\(frame)", "tcp"]).hasPrefix(
        "error: beside --frame only in_port"))
    #expect(try ask("flow/trace", ["br0", "--frame=\(frame)", "in_port=3"]).hasPrefix("Flow: in_port=3,"))
    #expect(try ask("ofproto/trace", ["br0", "in_port=3,tcp"]).hasPrefix("Flow: tcp,in_port=3,"))
  }

  @Test func `Unknown bridges and options are named`() throws {
    for command in [
      "flow/dump", "flow/aggregate", "flow/tables", "group/dump", "group/stats", "meter/dump", "meter/stats",
    ] {
      #expect(try ask(command, ["br7"]) == "error: there is no bridge br7\n")
      #expect(try ask(command, ["br0", "--wrong"]).contains("does not understand \"--wrong\""))
    }
    #expect(try ask("flow/tables", ["br0"]).contains("  table 0:\n    active=1, lookup=0, matched=0\n"))
    #expect(try ask("flow/aggregate", ["br0"]) == "packet_count=0 byte_count=0 flow_count=1\n")
  }
}
