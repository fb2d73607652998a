import Seeded
import Testing

@testable import Flow

/// A cached decision that is said to be unaffected by changes is the one that would be made now.
@Suite struct FlowChangeTests {
  /// What two tables decide, with a header field and a register rewritten in between.
  private struct Decision {
    var first: ObjectIdentifier?
    var second: ObjectIdentifier?
    var mask = FlowWords()

    init(_ tables: FlowTables, _ key: FlowWords) {
      first = tables.lookup(table: 0, key: key, mask: &mask).map { ObjectIdentifier($0) }
      var key = key
      key[.tcpDestination] = 80
      key[.reg0] = 5
      var later = FlowWords()
      second = tables.lookup(table: 1, key: key, mask: &later).map { ObjectIdentifier($0) }
      mask |= later & ~Self.rewritten
    }

    static let rewritten = Field.tcpDestination.mask | Field.reg0.mask

    func equals(_ other: Decision) -> Bool { first == other.first && second == other.second }
  }

  @Test(arguments: 0..<6)
  func `A decision said to be unaffected is made again, for every frame it covers`(seed: UInt64) throws {
    let fixture = PipelineFixture()
    var samples = ClassifierSamples(seed: seed)
    var affected = 0
    var unaffected = 0
    func change() throws {
      let flow = FlowDescription(
        table: UInt8.random(in: 0...2, using: &samples.random),
        priority: UInt16.random(in: 0...99, using: &samples.random),
        match: samples.match())
      try fixture.add(flow)
      let rules = fixture.pipeline.flows()
      guard rules.count > 40, let rule = rules.randomElement(using: &samples.random) else { return }
      try fixture.pipeline.apply([FlowModification(.deleteStrict, rule.description)])
    }
    for _ in 0..<30 { try change() }
    for _ in 0..<150 {
      let generation = fixture.pipeline.active.generation
      // Words of the pipeline's own are 0 in frames.
      var key = samples.key()
      for word in FlowWords.packetCount..<FlowWords.count { key[word] = 0 }
      let decision = Decision(fixture.pipeline.active, key)
      var tables = TableSet()
      tables.insert(0)
      tables.insert(1)
      let cached = CachedDecision(
        key: key, mask: decision.mask, tables: tables, rewritten: Decision.rewritten)
      #expect(fixture.pipeline.active.isUnaffected(cached, since: generation))
      for _ in 0..<Int.random(in: 1...3, using: &samples.random) { try change() }
      guard fixture.pipeline.active.isUnaffected(cached, since: generation) else {
        affected += 1
        continue
      }
      unaffected += 1
      for _ in 0..<6 {
        var other = samples.flipped(key, outside: decision.mask)
        for word in FlowWords.packetCount..<FlowWords.count { other[word] = 0 }
        #expect(Decision(fixture.pipeline.active, other).equals(decision))
      }
    }
    #expect(affected > 10 && unaffected > 10)
  }

  @Test func `What was longer ago than the log reaches may have changed anything`() throws {
    let fixture = PipelineFixture()
    let cached = CachedDecision(key: FlowWords(), mask: FlowWords(), tables: TableSet())
    let start = fixture.pipeline.active.generation
    for number in 1...256 { try fixture.add(FlowDescription(table: 3, cookie: UInt64(number))) }
    #expect(fixture.pipeline.active.isUnaffected(cached, since: start))
    #expect(fixture.pipeline.active.changes(since: start)?.count == 256)
    try fixture.add(FlowDescription(table: 3))
    #expect(!fixture.pipeline.active.isUnaffected(cached, since: start))
    #expect(fixture.pipeline.active.changes(since: start) == nil)
    #expect(fixture.pipeline.active.isUnaffected(cached, since: start + 1))
    // A generation from before a restart, say.
    #expect(!fixture.pipeline.active.isUnaffected(cached, since: .max))
    // Many at once push out what was there.
    let before = fixture.pipeline.active.generation
    try fixture.pipeline.apply(
      (0..<300).map { FlowModification(.add, FlowDescription(table: 4, priority: $0)) })
    #expect(fixture.pipeline.active.generation == before + 300)
    #expect(!fixture.pipeline.active.isUnaffected(cached, since: before))
    #expect(fixture.pipeline.active.changes(since: before + 44)?.count == 256)
    fixture.expectSidesAlike()
  }

  @Test func `Changes of groups, meters and ports concern those that depend on them`() throws {
    let fixture = PipelineFixture()
    func cached(_ dependencies: UInt64) -> CachedDecision {
      CachedDecision(
        key: FlowWords(), mask: FlowWords(), tables: TableSet(), dependencies: dependencies)
    }
    let all = [
      cached(Dependency.group(1)), cached(Dependency.meter(1)), cached(Dependency.port(PortNumber(1))),
      cached(0),
    ]
    func affected(_ change: () throws -> Void) rethrows -> [Bool] {
      let generation = fixture.pipeline.active.generation
      try change()
      return all.map { !fixture.pipeline.active.isUnaffected($0, since: generation) }
    }
    #expect(
      try affected { try fixture.pipeline.addGroup(GroupDescription(id: 1, kind: .all)) } == [
        true, false, false, false,
      ])
    let meter = MeterDescription(id: 1, bands: [.init(rate: 5)])
    #expect(try affected { try fixture.pipeline.addMeter(meter) } == [false, true, false, false])
    #expect(
      affected { fixture.pipeline.setPorts([PortNumber(1): FlowPort()]) } == [false, false, true, false])
    #expect(
      affected { fixture.pipeline.setPorts([PortNumber(1): FlowPort()]) } == [false, false, false, false])
    let down = [PortNumber(1): FlowPort(isLive: false), PortNumber(2): FlowPort()]
    #expect(affected { fixture.pipeline.setPorts(down) } == [false, false, true, false])
    #expect(fixture.pipeline.active.port(PortNumber(1)) == FlowPort(isLive: false))
    fixture.expectSidesAlike()
  }
}
