// Long dumps
// ==========
//
// A million flows take seconds to be written, and the control thread has other things to do. So a dump takes what there
// is at one moment (flows do not change, others take their places) and writes it part by part, between turns of the event
// loop. Counters are as they are when their flow is written.

import Flow
import JSONRPC
import Linux

/// Flows to be written, each as a text.
struct FlowDump {
  var rules: [FlowRule]
  var header = ""
  var footer = ""
  /// The text of a flow, by its place too.
  let text: (FlowRule, Int) -> String

  init(rules: [FlowRule], _ text: @escaping (FlowRule, Int) -> String) {
    self.rules = rules
    self.text = text
  }
}

/// The dumps that are being written.
final class FlowDumps {
  /// More would be memory that clients can ask for without reading.
  private static let limit = 4
  private static let rulesPerTurn = 4096

  private let loop: EventLoop
  private var running = 0

  init(_ loop: EventLoop) { self.loop = loop }

  /// Writes a dump, and answers with it.
  func start(_ dump: FlowDump, _ reply: ControlReply) throws(ControlError) {
    guard running < Self.limit else {
      throw ControlError("\(Self.limit) dumps are being written already; try again when one is done\n")
    }
    running += 1
    var answer = [UInt8(ascii: "\"")]
    JSON.writePart(of: dump.header, to: &answer)
    go(on: dump, from: 0, answer, reply)
  }

  private func go(on dump: FlowDump, from start: Int, _ written: consuming [UInt8], _ reply: ControlReply) {
    var answer = written
    let end = min(start + Self.rulesPerTurn, dump.rules.count)
    for index in start..<end { JSON.writePart(of: dump.text(dump.rules[index], index), to: &answer) }
    guard end < dump.rules.count, reply.isWanted else {
      running -= 1
      JSON.writePart(of: dump.footer, to: &answer)
      answer.append(UInt8(ascii: "\""))
      return reply.succeed(serialized: answer)
    }
    let part = Part(answer)
    loop.after(milliseconds: 0) { [weak self] in self?.go(on: dump, from: end, part.take(), reply) }
  }

  /// What is written, on its way to the next turn without being copied.
  private final class Part {
    private var bytes: [UInt8]

    init(_ bytes: consuming [UInt8]) { self.bytes = bytes }

    func take() -> [UInt8] {
      defer { bytes = [] }
      return bytes
    }
  }
}

/// Flows as the rows of a table in JSON.
struct FlowRows {
  let formatter: FlowFormatter
  let now: UInt64

  func dump(of rules: [FlowRule]) -> FlowDump {
    let headings: [JSON] = [
      "table", "priority", "match", "actions", "cookie", "n_packets", "n_bytes", "duration", "idle_timeout",
      "hard_timeout", "importance",
    ]
    var dump = FlowDump(rules: rules) { rule, index in (index > 0 ? "," : "") + row(rule).text }
    dump.header = #"{"data":["#
    dump.footer = #"],"headings":"# + JSON.array(headings).text + "}\n"
    return dump
  }

  private func row(_ rule: FlowRule) -> JSON {
    let flow = rule.description
    let age = now > rule.created ? now - rule.created : 0
    return .array([
      .integer(Int64(flow.table)), .integer(Int64(flow.priority)), .string(formatter.match(flow.match)),
      .string(formatter.actions(flow.actions)), .string("0x" + String(flow.cookie, radix: 16)),
      .integer(Int64(clamping: rule.counters.packets)), .integer(Int64(clamping: rule.counters.bytes)),
      .real(Double(age) / 1000), .integer(Int64(flow.idleTimeout)), .integer(Int64(flow.hardTimeout)),
      .integer(Int64(flow.importance)),
    ])
  }
}
