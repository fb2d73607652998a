import Flow
import Testing

/// Pipelines that would not end, or make too much.
@Suite struct TranslationBoundsTests {
  private func translate(_ tables: ListTables, _ limits: TranslationLimits = TranslationLimits())
    -> Translation
  {
    Translator(lookup: tables, limits: limits).translate(Frames.tcp)
  }
  private let out = Action.output(PortNumber(2))

  private func expectError(_ tables: ListTables, _ limits: TranslationLimits = TranslationLimits()) {
    let translation = translate(tables, limits)
    #expect(translation.drop == .pipelineError)
    #expect(translation.operations.isEmpty)
    #expect(translation.rewrites == [Rewrite()])
  }

  @Test func `Tables that resubmit to themselves`() {
    expectError(ListTables([flow(0, [], [out, .resubmit(port: nil, table: nil)])]))
    let twice = [Action.resubmit(port: nil, table: nil), .resubmit(port: nil, table: nil)]
    expectError(ListTables([flow(0, [], twice)]))
    let clones = [Action.clone(twice), .clone(twice)]
    expectError(ListTables([flow(0, [], clones)]))
  }

  @Test func `63 resubmits inside one another, not more`() {
    // As often as the register counts.
    func tables(_ count: UInt128) -> ListTables {
      let steps = (0..<count).map { step in
        flow(1, [(.reg0, step)], [.load(step + 1, SubField(.reg0)), .resubmit(port: nil, table: nil)])
      }
      return ListTables(
        [flow(0, [], [.resubmit(port: nil, table: 1)]), flow(1, [(.reg0, count)], [out])] + steps)
    }
    #expect(translate(tables(64)).plain == [.output(PortNumber(2))])
    expectError(tables(65))
  }

  @Test func `All tables, over and over, without the thread's stack`() {
    let rules = (0...254).map { table in
      flow(UInt8(table), [], [.clone([.resubmit(port: nil, table: UInt8((table + 1) % 255))])])
    }
    expectError(ListTables(rules))
  }

  @Test func `4,096 resubmits, not more`() {
    func tables(_ count: Int) -> ListTables {
      ListTables([
        flow(0, [], Array(repeating: .resubmit(port: nil, table: 1), count: count) + [out]), flow(1, [], []),
      ])
    }
    #expect(translate(tables(4096)).plain == [.output(PortNumber(2))])
    expectError(tables(4097))
  }

  @Test func `4,096 outputs, not more`() {
    #expect(translate(ListTables([flow(0, [], Array(repeating: out, count: 4096))])).operations.count == 4096)
    expectError(ListTables([flow(0, [], Array(repeating: out, count: 4097))]))
  }

  @Test func `256 forms, not more`() {
    func tables(_ count: UInt64) -> ListTables {
      ListTables([flow(0, [], (1...count).flatMap { [.modEthernetSource($0), out] })])
    }
    #expect(translate(tables(255)).rewrites.count == 256)
    expectError(tables(256))
  }

  @Test func `Groups that lead to one another`() {
    func group(_ id: UInt32, to next: UInt32, buckets: Int) -> Group {
      let bucket = GroupDescription.Bucket(id: 0, actions: [.group(next)])
      return Group(
        GroupDescription(id: id, kind: .all, buckets: Array(repeating: bucket, count: buckets)), created: 0)
    }
    expectError(ListTables([flow(0, [], [.group(1)])], groups: [group(1, to: 1, buckets: 1)]))
    // 2⁴⁰ buckets.
    let chain = (1...40).map { group(UInt32($0), to: UInt32($0 + 1), buckets: 2) }
    expectError(ListTables([flow(0, [], [.group(1)])], groups: chain))
  }

  @Test func `Groups that watch one another`() {
    let groups = (1...100).map { id in
      let watching = GroupDescription.Bucket(id: 0, watchGroup: UInt32(id % 100 + 1), actions: [out])
      return Group(
        GroupDescription(
          id: UInt32(id), kind: .fastFailover, buckets: Array(repeating: watching, count: id == 1 ? 1 : 2)),
        created: 0)
    }
    expectError(ListTables([flow(0, [], [.group(1)])], groups: groups))
    let alone = Group(
      GroupDescription(
        id: 1, kind: .fastFailover, buckets: [GroupDescription.Bucket(id: 0, watchGroup: 1, actions: [out])]),
      created: 0)
    #expect(translate(ListTables([flow(0, [], [.group(1)])], groups: [alone])).drop == .byFlow)
  }

  @Test func `A stack of 64 KiB`() {
    let push = Action.push(SubField(.ipv6Source))
    #expect(translate(ListTables([flow(0, [], Array(repeating: push, count: 3855) + [out])])).drop == nil)
    expectError(ListTables([flow(0, [], Array(repeating: push, count: 3857) + [out])]))
    let pop = Action.pop(SubField(.xxreg0))
    let many = (0..<10_000).flatMap { _ in [push, pop] }
    #expect(translate(ListTables([flow(0, [], many + [out])])).drop == nil)
  }

  @Test func `An action set and learned flows without end`() {
    expectError(ListTables([flow(0, [], Array(repeating: .writeActions([.modTTL(1), out]), count: 2049))]))
    expectError(ListTables([flow(0, [], Array(repeating: .learn(LearnAction()), count: 4097))]))
  }

  @Test func `Clones that inherit much`() {
    // Each would execute 4,096 actions, and copy as many values.
    let set = Array(repeating: Action.modTTL(1), count: 4096)
    let clones = Array(repeating: Action.clone([.writeActions([]), .push(SubField(.reg0))]), count: 10_000)
    expectError(ListTables([flow(0, [], [.writeActions(set), .push(SubField(.reg0))] + clones)]))
  }

  @Test func `A trace ends some time`() {
    let rules = [flow(0, [], Array(repeating: .note([1]), count: 40_000) + [out])]
    let (translation, steps) = Translator(lookup: ListTables(rules)).trace(Frames.tcp)
    #expect(translation.drop == nil)
    #expect(steps.count == TranslationLimits().traceSteps + 1)
    guard case .note(let text)? = steps.last?.event else {
      Issue.record("no note at the end")
      return
    }
    #expect(text == "what follows is left out")
  }

  @Test func `The mask of a pipeline at fault says for which frames it is`() {
    let rules = [flow(0, [(.tcpDestination, 80)], [.resubmit(port: nil, table: nil)])]
    let translation = translate(ListTables(rules))
    #expect(translation.mask[.tcpDestination] == 0xFFFF)
  }
}
