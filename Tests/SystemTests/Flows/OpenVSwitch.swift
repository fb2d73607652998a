import Glibc
import JSONRPC
import Linux
import PacketTesting

/// Open vSwitch's userspace datapath without a kernel's help: ports are files. A frame is handed in over the control
/// socket, and what is sent is read from a capture that each port writes.
final class OpenVSwitch {
  private let directory: String
  private let programs: [Program]
  private let loop: EventLoop
  private let control: Connection
  private var captures: [UInt16: PortCapture] = [:]
  private let names: [UInt16: String]
  private var management: String { "unix:\(directory)/br0.mgmt" }

  /// - Parameter ports: each with its OpenFlow number and what `ovs-vsctl set Port` is to say of it.
  init(_ ports: [ComparedPort]) throws {
    let directory = Scratch.shared.path("ovs-\(Scratch.shared.number())")
    mkdir(directory, 0o755)
    self.directory = directory
    let environment = ["OVS_RUNDIR": directory, "OVS_LOGDIR": directory, "OVS_DBDIR": directory]
    let database = "unix:\(directory)/db.sock"
    try must([
      "ovsdb-tool", "create", "\(directory)/conf.db", "/usr/share/openvswitch/vswitch.ovsschema",
    ])
    let server = try Program(
      [
        "ovsdb-server", "--remote=p\(database)", "--unixctl=\(directory)/db.ctl", "\(directory)/conf.db",
      ], environment: environment, standardOutput: "\(directory)/db.log")
    let vsctl = ["ovs-vsctl", "--timeout=20", "--db=\(database)"]
    try eventually("ovsdb-server listens") { UnixSocket.isListening("\(directory)/db.sock") }
    // Both tags of a frame are matched, as they are here.
    try must(
      vsctl + ["--no-wait", "init", "--", "set", "Open_vSwitch", ".", "other_config:vlan-limit=2"])
    let daemon = try Program(
      [
        "ovs-vswitchd", database, "--enable-dummy=override", "--disable-system",
        "--unixctl=\(directory)/vs.ctl",
      ], environment: environment, standardOutput: "\(directory)/vs.log")
    programs = [server, daemon]
    var command =
      vsctl + ["add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=dummy", "fail_mode=secure"]
    command += ["protocols=OpenFlow10,OpenFlow15"]
    for port in ports {
      if !port.isLocal { command += ["--", "add-port", "br0", port.name] + port.settings }
      command += ["--", "set", "Interface", port.name, "options:tx_pcap=\(directory)/\(port.name).pcap"]
      if !port.isLocal { command += ["type=dummy", "ofport_request=\(port.number)"] }
    }
    try must(command)
    names = Dictionary(uniqueKeysWithValues: ports.map { ($0.number, $0.name) })
    loop = try EventLoop()
    control = try Connection.connect(to: .unix(path: "\(directory)/vs.ctl"), loop)
    for port in ports { captures[port.number] = try PortCapture("\(directory)/\(port.name).pcap") }
  }

  /// Forgets everything and has these groups and flows, lines of `ovs-ofctl bundle`, in its place.
  ///
  /// - Returns: what it refuses, by line, and why: the other lines are in force.
  func load(_ pipeline: FlowLines) throws -> [String: String] {
    var lines = pipeline.bundle
    var refused: [String: String] = [:]
    while case let output = try bundle(lines), !output.succeeded {
      // The first line that makes the lines up to it fail.
      var (good, bad, error) = (0, lines.count, output.standardError)
      while bad - good > 1 {
        let middle = (good + bad) / 2
        let output = try bundle(Array(lines[..<middle]))
        if output.succeeded { good = middle } else { (bad, error) = (middle, output.standardError) }
      }
      guard bad > good else { throw HarnessError("ovs-ofctl bundle: \(output)") }
      refused[lines.remove(at: bad - 1)] = error
    }
    for flow in pipeline.plainFlows {
      let output = try run(["ovs-ofctl", "-O", "OpenFlow10", "-F", "nxm", "add-flow", management, flow])
      if !output.succeeded { refused[flow] = output.standardError }
    }
    _ = try ask("fdb/flush", "br0")
    _ = try ask("revalidator/purge")
    return refused
  }

  private func bundle(_ lines: [String]) throws -> Output {
    let file = "\(directory)/flows"
    try writeFile(file, (["flow delete", "group delete"] + lines).joined(separator: "\n") + "\n")
    return try run(["ovs-ofctl", "-O", "OpenFlow15", "bundle", management, file])
  }

  /// Hands in `frame` at port `port`, and returns what came out, by port.
  func send(_ frame: [UInt8], at port: UInt16) throws -> [UInt16: [[UInt8]]] {
    let before = try handledFrames()
    _ = try ask("netdev-dummy/receive", names[port]!, hexadecimal(frame))
    try eventually("Open vSwitch handles a frame") { try handledFrames() > before }
    // What was decided for this frame is not to be kept: revalidation would lag behind what it teaches the switch.
    _ = try ask("revalidator/purge")
    return captures.compactMapValues { capture in
      let frames = capture.next()
      return frames.isEmpty ? nil : frames
    }
  }

  /// Its own account of what it would do with `frame`.
  func trace(_ frame: [UInt8], at port: UInt16) -> String {
    (try? ask("ofproto/trace", "br0", "in_port=\(port)", hexadecimal(frame))) ?? "no trace"
  }

  func flows() throws -> String {
    try must(["ovs-ofctl", "-O", "OpenFlow15", "--no-stats", "dump-flows", management])
  }

  /// Frames that have been through its tables or caches.
  private func handledFrames() throws -> Int {
    let text = try ask("dpif/show")
    let numbers = text.prefix { $0 != "\n" }.split { $0 == " " || $0 == ":" }.compactMap { Int($0) }
    return numbers.reduce(0, +)
  }

  func ask(_ command: String, _ arguments: String...) throws -> String {
    var outcome: Result<JSON, ReplyError>?
    control.request(command, arguments.map { .string($0) }) { outcome = $0 }
    let deadline = now() + 20
    while outcome == nil, now() < deadline { loop.turn(atMostMilliseconds: 1000) }
    guard case .success(let reply) = outcome else {
      throw HarnessError("\(command): \(outcome.map { "\($0)" } ?? "no reply")")
    }
    return reply.string ?? ""
  }
}

/// A port of both switches.
struct ComparedPort {
  var number: UInt16
  var name: String
  /// For `ovs-vsctl add-port`.
  var settings: [String] = []
  var isLocal: Bool { number == 65534 }
}

/// A capture file that grows.
private final class PortCapture {
  private let descriptor: FileDescriptor
  private var rest: [UInt8] = []

  init(_ path: String) throws {
    try eventually("\(path) is begun") { access(path, R_OK) == 0 }
    descriptor = FileDescriptor(owning: open(path, O_RDONLY | O_CLOEXEC))
    // Its header.
    try eventually("\(path) has a header") { lseek(descriptor.raw, 0, SEEK_END) >= 24 }
    lseek(descriptor.raw, 24, SEEK_SET)
  }

  /// What has come since the last call.
  func next() -> [[UInt8]] {
    var chunk = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = read(descriptor.raw, &chunk, chunk.count)
      guard count > 0 else { break }
      rest += chunk[..<count]
    }
    var frames: [[UInt8]] = []
    var position = 0
    while position + 16 <= rest.count {
      // Of this machine's byte order.
      let length = (0..<4).reduce(0) { $0 | Int(rest[position + 8 + $1]) << ($1 * 8) }
      guard position + 16 + length <= rest.count else { break }
      frames.append(Array(rest[position + 16..<position + 16 + length]))
      position += 16 + length
    }
    rest.removeFirst(position)
    return frames
  }
}

func hexadecimal(_ bytes: [UInt8]) -> String {
  let digits = Array("0123456789abcdef".utf8)
  return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
}
