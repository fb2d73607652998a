import Seeded
import Testing

@testable import Flow

@Suite struct FlowExpiryTests {
  @Test func `Flows go when idle or old, and traffic puts off only the idle ones`() throws {
    let fixture = PipelineFixture()
    try fixture.add(FlowDescription(priority: 1, idleTimeout: 5))
    try fixture.add(FlowDescription(priority: 2, hardTimeout: 8))
    try fixture.add(FlowDescription(priority: 3, idleTimeout: 5, hardTimeout: 8))
    try fixture.add(FlowDescription(priority: 4))
    let rules = fixture.pipeline.flows()
    var gone: [(second: UInt64, priority: UInt16, reason: ExpiryReason)] = []
    for second in UInt64(1)...12 {
      fixture.milliseconds += 1000
      if second == 4 {
        for rule in rules { rule.counters.add(packets: 1, bytes: 1, at: fixture.milliseconds) }
      }
      for (rule, reason) in fixture.pipeline.expire().sorted(by: { $0.rule.priority < $1.rule.priority }) {
        gone.append((second, rule.priority, reason))
      }
    }
    #expect(gone.map(\.second) == [8, 8, 9])
    #expect(gone.map(\.priority) == [2, 3, 1])
    #expect(gone.map(\.reason) == [.hardTimeout, .hardTimeout, .idleTimeout])
    #expect(fixture.pipeline.flows().map(\.priority) == [4])
    fixture.expectSidesAlike()
  }

  @Test(arguments: 0..<4)
  func `What expires is what a look at every flow says`(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let fixture = PipelineFixture()
    for _ in 0..<200 {
      // Mostly a second, sometimes hours.
      fixture.milliseconds += UInt64.random(in: 0..<50, using: &random) == 0 ? 9_000_000 : 700
      try fixture.add(
        FlowDescription(
          priority: UInt16.random(in: 0..<40, using: &random),
          idleTimeout: UInt16.random(in: 0..<9, using: &random),
          hardTimeout: UInt16.random(in: 0..<9, using: &random)))
      let rules = fixture.pipeline.flows()
      if let rule = rules.randomElement(using: &random) {
        rule.counters.add(packets: 1, bytes: 1, at: fixture.milliseconds)
      }
      if let rule = rules.randomElement(using: &random) { rule.refresh(at: fixture.milliseconds) }
      let now = fixture.milliseconds
      let expected = rules.filter { rule in
        let idle =
          rule.idleTimeout > 0
          && max(rule.counters.lastUsed, rule.created) + UInt64(rule.idleTimeout) * 1000 <= now
        let hard = rule.hardTimeout > 0 && rule.modified + UInt64(rule.hardTimeout) * 1000 <= now
        return idle || hard
      }
      let expired = fixture.pipeline.expire()
      #expect(Set(expired.map { $0.rule.priority }) == Set(expected.map(\.priority)))
      #expect(expired.count == expected.count)
    }
    fixture.expectSidesAlike()
  }

  @Test func `A learned flow that is there is refreshed without anybody being told`() throws {
    let fixture = PipelineFixture()
    let learned = FlowModification(
      .add,
      FlowDescription(table: 1, match: .ip, cookie: 9, hardTimeout: 10, actions: [.output(PortNumber(1))]))
    #expect(fixture.pipeline.learn(learned))
    fixture.milliseconds += 9000
    let published = fixture.publishes { #expect(fixture.pipeline.learn(learned)) }
    #expect(!published)
    fixture.milliseconds += 9000
    #expect(fixture.pipeline.expire().isEmpty)
    // Another output is another flow.
    var moved = learned
    moved.flow.actions = [.output(PortNumber(2))]
    let publishedAgain = fixture.publishes { #expect(fixture.pipeline.learn(moved)) }
    #expect(publishedAgain)
    #expect(fixture.pipeline.flows().map(\.actions) == [[.output(PortNumber(2))]])
    fixture.milliseconds += 10_000
    #expect(fixture.pipeline.expire().count == 1)
  }

  @Test func `No more flows are learned than the limit says`() throws {
    let fixture = PipelineFixture()
    func learned(_ port: Int, limit: UInt32) -> FlowModification {
      var learned = FlowModification(
        .add, FlowDescription(table: 1, match: .of((.inPort, UInt128(port))), cookie: 9, hardTimeout: 10))
      learned.learnLimit = limit
      return learned
    }
    #expect(fixture.pipeline.learn((1...3).map { learned($0, limit: 2) }) == [true, true, false])
    // One that is there is refreshed all the same.
    #expect(fixture.pipeline.learn(learned(1, limit: 2)))
    // But not replaced.
    var other = learned(1, limit: 2)
    other.flow.actions = [.output(PortNumber(1))]
    #expect(!fixture.pipeline.learn(other))
    #expect(fixture.pipeline.flows().allSatisfy { $0.actions.isEmpty })
    fixture.milliseconds += 11_000
    #expect(fixture.pipeline.expire().count == 2)
    #expect(fixture.pipeline.learn((1...3).map { learned($0, limit: 0) }) == [true, true, true])
    fixture.expectSidesAlike()
  }

  @Test func `Learned flows go with the last learn action that made them, if it says so`() throws {
    let fixture = PipelineFixture()
    var learn = LearnAction()
    learn.table = 5
    learn.cookie = 77
    learn.deletesLearned = true
    try fixture.add(FlowDescription(priority: 1, actions: [.learn(learn)]))
    try fixture.add(FlowDescription(priority: 2, actions: [.clone([.learn(learn)])]))
    try fixture.add(FlowDescription(table: 5, match: .ip, cookie: 77))
    try fixture.add(FlowDescription(table: 5, match: .tcp, cookie: 78))
    try fixture.pipeline.apply([FlowModification(.deleteStrict, FlowDescription(priority: 1))])
    #expect(fixture.pipeline.flows().count == 3)
    // The same learn action in a flow's new form is none that went.
    try fixture.add(
      FlowDescription(priority: 2, cookie: 1, actions: [.learn(learn), .output(PortNumber(1))]))
    #expect(fixture.pipeline.flows().count == 3)
    try fixture.delete(table: 0)
    #expect(fixture.pipeline.flows().map(\.cookie) == [78])
    fixture.expectSidesAlike()
  }
}
