import Glibc
import Testing

@testable import Flow

/// Debian's `ovs-ofctl`, which reads flows and writes them in the normal form ours has to equal.
enum ReferenceTool {
  static let path = "/usr/bin/ovs-ofctl"
  static let isInstalled = access(path, X_OK) == 0
  static let reason: Comment = "needs the package openvswitch-common"

  /// What it makes of the lines of an `add-flows` file; nil when it refuses one of them.
  ///
  /// `diff-flows` with an empty file prints what it has read without writing it to any OpenFlow version, which would
  /// change the actions.
  static func read(_ lines: [String]) throws -> [String]? {
    let output = try run("diff-flows", lines, against: true)
    guard !output.contains("ovs-ofctl: ") else { return nil }
    return output.split(separator: "\n").filter { $0.hasPrefix("-") }.map { String($0.dropFirst()) }
  }

  /// What it would send a switch, in OpenFlow 1.5, for the lines of an `add-flows` file; nil when it refuses one.
  static func send(_ lines: [String]) throws -> [String]? {
    let output = try run("-O OpenFlow15 parse-flows", lines, against: false)
    guard !output.contains("ovs-ofctl: ") else { return nil }
    return output.split(separator: "\n").filter { $0.hasPrefix("OFPT_FLOW_MOD") }.map(String.init)
  }

  private static func run(_ command: String, _ lines: [String], against empty: Bool) throws -> String {
    var template = Array("/tmp/flow-test.XXXXXX".utf8CString)
    let descriptor = mkstemp(&template)
    let path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    defer { unlink(path) }
    guard descriptor >= 0, let file = fdopen(descriptor, "w") else { throw FlowError("no temporary file") }
    fputs(lines.joined(separator: "\n") + "\n", file)
    fclose(file)
    guard let pipe = popen("exec 2>&1; \(Self.path) \(command) \(path)\(empty ? " /dev/null" : "")", "r")
    else {
      throw FlowError("popen failed")
    }
    var output: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = fread(&buffer, 1, buffer.count, pipe)
      if count == 0 { break }
      output += buffer[..<count]
    }
    pclose(pipe)
    return String(decoding: output, as: UTF8.self)
  }

  /// A flow in the order `diff-flows` has.
  static func text(_ flow: FlowDescription) -> String {
    let formatter = FlowFormatter()
    var text = flow.table == 0 ? "" : "table=\(flow.table) "
    text += formatter.match(flow.match, priority: flow.priority)
    if flow.cookie != 0 { text += " cookie=" + TextNumber.hexadecimal(flow.cookie) }
    if flow.idleTimeout != 0 { text += " idle_timeout=\(flow.idleTimeout)" }
    if flow.hardTimeout != 0 { text += " hard_timeout=\(flow.hardTimeout)" }
    if flow.importance != 0 { text += " importance=\(flow.importance)" }
    return text + " actions=" + formatter.actions(flow.actions)
  }
}

/// The lines of a file that are neither empty nor comments.
func readLines(_ path: String) throws -> [String] {
  guard let file = fopen(path, "r") else { throw FlowError("\(path) cannot be read") }
  defer { fclose(file) }
  var bytes: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 65536)
  while true {
    let count = fread(&buffer, 1, buffer.count, file)
    if count == 0 { break }
    bytes += buffer[..<count]
  }
  return String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init).filter {
    !$0.hasPrefix("# ")
  }
}
