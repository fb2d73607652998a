import Flow
import Testing

/// Resubmit, goto_table, the action set, clone, exit, learn.
@Suite struct TranslationControlTests {
  private func translate(_ rules: FlowRule..., of frame: FlowWords = Frames.tcp) -> Translation {
    Translator(lookup: ListTables(rules)).translate(frame)
  }
  private func out(_ port: UInt16) -> Action { .output(PortNumber(port)) }
  private func sent(_ ports: UInt16...) -> [PlainOperation] { ports.map { .output(PortNumber($0)) } }

  @Test func `Behind a resubmit the list goes on, with what was changed`() {
    let translation = translate(
      flow(0, [], [.resubmit(port: nil, table: 1), out(3)]), flow(1, [], [.modTTL(9), out(2)]))
    #expect(translation.plain == sent(2, 3))
    #expect(translation.operations.map(\.rewrite) == [1, 1])
  }

  @Test func `A resubmit looks up another port, and no more than that`() {
    let translation = translate(
      flow(0, [(.inPort, 1)], [.resubmit(port: PortNumber(2), table: nil)]),
      flow(0, [(.inPort, 2)], [out(1), out(2), .resubmit(port: .inPort, table: 1)]),
      flow(1, [(.inPort, 1)], [out(3)]))
    #expect(translation.plain == sent(2, 3))
    #expect(translation.rewritten == Field.inPort.mask)
  }

  @Test func `The action set is executed at the end, in its own order`() {
    let translation = translate(
      flow(
        0, [],
        [
          .writeActions([out(2), .modVLANVID(5), .pushVLAN(0x88A8), .resubmit(port: nil, table: 9)]), out(4),
          .gotoTable(1),
        ]), flow(1, [], [.writeActions([out(3), .decrementTTL([])])]))
    #expect(translation.plain == sent(4, 3))
    #expect(translation.rewrite(1)?.pushedTags == [0x88A8_0005])
    #expect(translation.rewrite(1)?.value[.ipTTL] == 63)
  }

  @Test func `A group comes before an output, an output before a resubmit, and without them nothing is done`()
  {
    var tables = ListTables([flow(0, [], [.writeActions([.group(1), out(2)])])])
    tables.groups[1] = Group(
      GroupDescription(
        id: 1, kind: .indirect, buckets: [GroupDescription.Bucket(id: 0, actions: [out(3)])]), created: 0)
    #expect(Translator(lookup: tables).translate(Frames.tcp).plain == sent(3))
    #expect(translate(flow(0, [], [.writeActions([.modTTL(0)])])).drop == .byFlow)
    #expect(translate(flow(0, [], [.writeActions([out(2)]), .clearActions])).drop == .byFlow)
  }

  @Test func `The action set survives a table without a matching flow`() {
    let translation = translate(flow(0, [], [.writeActions([out(2)]), .gotoTable(1)]))
    #expect(translation.plain == sent(2))
  }

  @Test func `Exit ends everything, the action set included`() {
    let translation = translate(
      flow(0, [], [.writeActions([out(2)]), .resubmit(port: nil, table: 1), out(3)]),
      flow(1, [], [out(4), .exit]))
    #expect(translation.plain == sent(4))
    #expect(translate(flow(0, [], [.clone([out(2), .exit]), out(3)])).plain == sent(2))
  }

  @Test func `What a clone changes is undone, stack and action set included`() {
    let low = SubField(.reg1, offset: 0, count: 4)
    let translation = translate(
      flow(
        0, [],
        [
          .load(3, SubField(.reg0)), .push(SubField(.reg0)),
          .clone([
            .modTTL(9), .pop(SubField(.reg2)), .outputField(SubField(.reg2)), .load(2, SubField(.reg0)),
            .writeActions([out(4)]),
          ]), .outputField(SubField(.reg0)), .pop(low), .outputField(low),
        ]))
    #expect(translation.plain == sent(3, 4, 3, 3))
    #expect(translation.operations.map(\.rewrite) == [1, 1, 0, 0])
  }

  @Test func `A clone executes the action set it was begun with when it ends`() {
    let translation = translate(
      flow(0, [], [.writeActions([out(2)]), .gotoTable(1)]), flow(1, [], [.clone([.modTTL(9)]), out(3)]))
    #expect(translation.plain == sent(2, 3, 2))
    #expect(translation.operations.map(\.rewrite) == [1, 0, 0])
  }

  @Test func `A table may be output to`() {
    let translation = translate(
      flow(0, priority: 2, [(.reg0, 0)], [.load(1, SubField(.reg0)), .output(.table)]),
      flow(0, priority: 1, [], [out(2)]))
    #expect(translation.plain == sent(2))
  }

  // MARK: learn

  private func learning(_ change: (inout LearnAction) -> Void = { _ in }) -> LearnAction {
    var learn = LearnAction()
    learn.table = 5
    learn.priority = 7
    learn.cookie = 9
    learn.idleTimeout = 60
    learn.items = [
      .match(SubField(.ethernetDestination), .field(SubField(.ethernetSource))),
      .match(SubField(.vlanTCI, offset: 0, count: 12), .immediate(5)),
      .load(SubField(.reg0, offset: 0, count: 16), .field(SubField(.inPort))),
      .output(SubField(.inPort)),
    ]
    change(&learn)
    return learn
  }

  @Test func `A flow is learned from the frame at hand`() throws {
    let translation = translate(flow(0, [], [.learn(learning { $0.limit = 3 })]))
    var match = Match()
    match.set(.ethernetDestination, 0xA)
    match.set(.vlanTCI, 5, mask: 0xFFF)
    let expected = FlowDescription(
      table: 5, priority: 7, match: match, cookie: 9, idleTimeout: 60,
      actions: [.load(1, SubField(.reg0, offset: 0, count: 16)), out(1)])
    let learned = try #require(translation.learned.first)
    #expect(learned.flow == expected)
    #expect(learned.command == .add)
    #expect(learned.table == 5)
    #expect(learned.learnLimit == 3)
    #expect(translation.mask == mask(.ethernetSource, .inPort))
  }

  @Test func `The end of a connection shortens what is learned from it`() {
    let learn = learning {
      $0.finIdleTimeout = 10
      $0.finHardTimeout = 20
    }
    var closing = Frames.tcp
    closing[.tcpFlags] = 0x11
    let open = translate(flow(0, [], [.learn(learn)])).learned[0].flow
    #expect([open.idleTimeout, open.hardTimeout] == [60, 0])
    let translation = translate(flow(0, [], [.learn(learn)]), of: closing)
    #expect([translation.learned[0].flow.idleTimeout, translation.learned[0].flow.hardTimeout] == [10, 20])
    #expect(translation.mask[.tcpFlags] == 0x5)
  }

  @Test func `The result of learning is 1`() {
    let learn = learning { $0.resultDestination = SubField(.reg1, offset: 3, count: 1) }
    let translation = translate(
      flow(0, [], [.learn(learn), .resubmit(port: nil, table: 1)]), flow(1, [(.reg1, 8)], [out(2)]))
    #expect(translation.plain == sent(2))
  }

  @Test func `The result of learning is 0 where the limit is reached, and for as long as it is`() {
    let learn = learning {
      $0.resultDestination = SubField(.reg1, offset: 3, count: 1)
      $0.limit = 2
    }
    var tables = ListTables([
      flow(0, [], [.learn(learn), .resubmit(port: nil, table: 1)]), flow(1, [(.reg1, 0)], [out(2)]),
      flow(1, [(.reg1, 8)], [out(3)]),
    ])
    for count in 0...UInt32(3) {
      tables.learnedCount = count
      let translation = Translator(lookup: tables).translate(FlowWords())
      #expect(translation.plain == sent(count < 2 ? 3 : 2))
      #expect(translation.dependencies & Dependency.learnedFlows != 0)
    }
  }

  @Test func `Nothing is learned by a pipeline at fault`() {
    let translation = translate(flow(0, [], [.learn(learning()), .resubmit(port: nil, table: nil)]))
    #expect(translation.drop == .pipelineError)
    #expect(translation.learned.isEmpty)
  }
}
