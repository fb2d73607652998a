import Flow
import Testing

/// Traces: what was done, because of what.
@Suite struct TranslationTraceTests {
  /// A step in a few words.
  private func text(_ step: TraceStep) -> String {
    let what =
      switch step.event {
      case .lookup(let table, let rule):
        "table \(table): \(rule.map { "priority \($0.priority)" } ?? "no match")"
      case .action(let action): String("\(action)".prefix { $0 != "(" })
      case .bucket(_, let index): "bucket \(index)"
      case .actionSet(let actions): "set of \(actions.count)"
      case .operation(.controller(let output, _)): "controller: \(output.reason)"
      case .operation(let operation): "\(PlainOperation(operation))"
      case .learned(let modification): "learned into \(modification.flow.table)"
      case .note(let note): note
      }
    return String(repeating: " ", count: step.depth) + what
  }

  private func trace(_ tables: ListTables, _ frame: FlowWords = Frames.tcp) -> [String] {
    Translator(lookup: tables).trace(frame).1.map(text)
  }

  @Test func `Steps stand below what they were done for`() {
    let group = Group(
      GroupDescription(
        id: 1, kind: .indirect, buckets: [GroupDescription.Bucket(id: 0, actions: [.output(PortNumber(9))])]),
      created: 0)
    let tables = ListTables(
      [
        flow(
          0, priority: 5, [],
          [.writeActions([.output(PortNumber(2))]), .resubmit(port: nil, table: 1), .group(1)]),
        flow(1, priority: 6, [], [.learn(LearnAction()), .resubmit(port: nil, table: 2)]),
      ], groups: [group])
    #expect(
      trace(tables) == [
        "table 0: priority 5", " writeActions", " resubmit", "  table 1: priority 6", "   learn",
        "    learned into 1", "   resubmit", "    table 2: no match", " group", "  bucket 0", "   output",
        "    there is no port 9: nothing done", "set of 1", " output", "  output(2)",
      ])
  }

  @Test func `A drop is explained`() {
    #expect(trace(ListTables()) == ["table 0: no match", "drop: no flow matched"])
    var frame = Frames.tcp
    frame[.ipTTL] = 1
    #expect(
      trace(ListTables([flow(0, priority: 5, [], [.decrementTTL([])])]), frame) == [
        "table 0: priority 5", " decrementTTL",
        "  its time to live is over: the rest of this list is not executed",
        "  controller: invalidTTL", "drop: its time to live is over",
      ])
    #expect(
      trace(ListTables([flow(0, [], [.resubmit(port: nil, table: nil)])])).suffix(2) == [
        String(repeating: " ", count: 130)
          + "the pipeline is at fault: more than 64 resubmits or groups inside one another",
        "drop: the pipeline is at fault",
      ])
  }

  @Test func `A step has the fields it left, a lookup those it looked up`() {
    let rules = [
      flow(0, [], [.modTTL(9), .resubmit(port: PortNumber(7), table: 1)]), flow(1, [], [.modTTL(8)]),
    ]
    let steps = Translator(lookup: ListTables(rules)).trace(Frames.tcp).1
    #expect(steps.map { $0.key[.ipTTL] } == [64, 9, 9, 9, 8, 8])
    #expect(steps.map { $0.key[.inPort] } == [1, 1, 1, 7, 1, 1])
  }
}
