import Seeded
import Testing

@testable import Flow

/// What flow modifications do (OpenFlow 1.5 §6.4), against a list of flows.
@Suite struct FlowModificationTests {
  private struct Entry: Equatable {
    var flow: FlowDescription
    var packets: UInt64
    var created: UInt64
  }

  /// Flows as a list, in the order of dumps.
  private struct Model {
    var entries: [Entry] = []

    private func isSelected(_ entry: Entry, _ modification: FlowModification) -> Bool {
      let flow = modification.flow
      if let table = modification.table, table != entry.flow.table { return false }
      if (entry.flow.cookie ^ flow.cookie) & modification.cookieMask != 0 { return false }
      switch modification.command {
      case .modifyStrict, .deleteStrict:
        if entry.flow.match != flow.match || entry.flow.priority != flow.priority { return false }
      default: if !entry.flow.match.isCovered(by: flow.match) { return false }
      }
      guard modification.command == .delete || modification.command == .deleteStrict else { return true }
      if let port = modification.outputPort, !entry.flow.actions.contains(.output(port)) { return false }
      return true
    }

    mutating func apply(_ modification: FlowModification, at now: UInt64) {
      let before = self
      let flow = modification.flow
      switch modification.command {
      case .add:
        var entry = Entry(flow: flow, packets: 0, created: now)
        let same = entries.firstIndex {
          $0.flow.table == flow.table && $0.flow.match == flow.match && $0.flow.priority == flow.priority
        }
        if let same {
          if !flow.flags.contains(.resetsCounts) { entry.packets = entries[same].packets }
          entries[same] = entry
        } else {
          entries.append(entry)
        }
      case .modify, .modifyStrict:
        for index in entries.indices where isSelected(entries[index], modification) {
          entries[index].flow.actions = flow.actions
          if modification.setsCookie { entries[index].flow.cookie = flow.cookie }
          if flow.flags.contains(.resetsCounts) { entries[index].packets = 0 }
        }
      case .delete, .deleteStrict: entries.removeAll { before.isSelected($0, modification) }
      }
    }

    /// Swift's sort is stable.
    var sorted: [Entry] {
      entries.sorted { ($0.flow.table, $1.flow.priority) < ($1.flow.table, $0.flow.priority) }
    }
  }

  private static func modification(_ samples: inout ClassifierSamples, _ matches: [Match]) -> FlowModification
  {
    func number(_ range: Range<Int>) -> Int { Int.random(in: range, using: &samples.random) }
    let command: FlowModification.Command
    switch number(0..<10) {
    case 0...5: command = .add
    case 6: command = .modify
    case 7: command = .modifyStrict
    case 8: command = .delete
    default: command = .deleteStrict
    }
    var flow = FlowDescription(
      table: UInt8(number(0..<3)), priority: UInt16(number(1..<4)), match: matches[number(0..<matches.count)],
      cookie: UInt64(number(0..<4)), flags: number(0..<4) == 0 ? .resetsCounts : [],
      actions: [.output(PortNumber(UInt16(number(1..<4))))])
    if command == .modify || command == .delete, number(0..<2) == 0 {
      // Mostly what covers a few.
      flow.match = Match(
        value: flow.match.value, mask: flow.match.mask & matches[number(0..<matches.count)].mask)
    }
    var modification = FlowModification(command, flow)
    guard command != .add else { return modification }
    if number(0..<3) == 0 { modification.table = nil }
    if number(0..<2) == 0 { modification.cookieMask = UInt64(number(0..<4)) }
    modification.setsCookie = number(0..<2) == 0
    if number(0..<2) == 0 { modification.outputPort = PortNumber(UInt16(number(1..<4))) }
    return modification
  }

  @Test(arguments: 0..<6)
  func `Tables change as a list of flows does, and both sides alike`(seed: UInt64) throws {
    let fixture = PipelineFixture()
    var samples = ClassifierSamples(seed: seed)
    var model = Model()
    let matches = (0..<12).map { _ in samples.match() } + [Match()]
    for _ in 0..<120 {
      fixture.milliseconds += 10
      let batch = (0...Int.random(in: 0..<4, using: &samples.random)).map { _ in
        Self.modification(&samples, matches)
      }
      for modification in batch { model.apply(modification, at: fixture.milliseconds) }
      try fixture.pipeline.apply(batch, atomically: Bool.random(using: &samples.random))
      let rules = fixture.pipeline.flows()
      let entries = rules.map {
        Entry(flow: $0.description, packets: $0.counters.packets, created: $0.created)
      }
      #expect(entries == model.sorted)
      if let rule = rules.randomElement(using: &samples.random) {
        rule.counters.add(packets: 1, bytes: 60, at: fixture.milliseconds)
        let index = model.entries.firstIndex { $0.flow == rule.description }
        if let index { model.entries[index].packets += 1 }
      }
      let filter = Self.modification(&samples, matches)
      if filter.command == .delete {
        var left = model
        left.apply(filter, at: 0)
        #expect(fixture.pipeline.flows(filter).count == model.entries.count - left.entries.count)
      }
    }
    fixture.expectSidesAlike()
  }

  @Test func `The first refused flow ends a request; those before it stay`() throws {
    let fixture = PipelineFixture()
    let good = FlowModification(.add, FlowDescription(priority: 1))
    let bad = FlowModification(.add, FlowDescription(priority: 2, actions: [.group(7)]))
    let later = FlowModification(.add, FlowDescription(priority: 3))
    #expect(throws: FlowError("There is no group 7; add it first", index: 1)) {
      try fixture.pipeline.apply([good, bad, later])
    }
    #expect(fixture.pipeline.flows().map(\.priority) == [1])
    fixture.expectSidesAlike()
  }

  @Test func `An atomic request with a refused flow changes nothing`() throws {
    let fixture = PipelineFixture()
    try fixture.add(
      FlowDescription(priority: 1, cookie: 5, idleTimeout: 5, actions: [.output(PortNumber(1))]))
    let generation = fixture.pipeline.active.generation
    let before = fixture.pipeline.flows()
    let requests: [FlowModification] = [
      FlowModification(.add, FlowDescription(priority: 1)),
      FlowModification(.add, FlowDescription(table: 3, priority: 9, match: .ip)),
      FlowModification(.modify, FlowDescription(actions: [.output(PortNumber(2))])),
      FlowModification(.delete, FlowDescription()),
      FlowModification(.add, FlowDescription(table: 255)),
    ]
    let published = fixture.publishes {
      #expect(throws: FlowError.self) { try fixture.pipeline.apply(requests, atomically: true) }
    }
    #expect(!published)
    #expect(fixture.pipeline.flows().map { ObjectIdentifier($0) } == before.map { ObjectIdentifier($0) })
    #expect(fixture.pipeline.active.generation == generation)
    fixture.expectSidesAlike()
    // What expires is back where it was, too.
    fixture.milliseconds += 6000
    #expect(fixture.pipeline.expire().map(\.rule.cookie) == [5])
  }

  @Test func `Deleting everything leaves groups, meters and ports, and nothing of the flows`() throws {
    let fixture = PipelineFixture()
    let pipeline = fixture.pipeline!
    pipeline.setPorts([PortNumber(1): FlowPort()])
    try pipeline.addGroup(GroupDescription(id: 1, kind: .all))
    try pipeline.addMeter(MeterDescription(id: 1, bands: [.init(rate: 1)]))
    var learn = LearnAction()
    learn.deletesLearned = true
    for table in [UInt8(0), 3, 254] {
      for priority in UInt16(1)...40 {
        try fixture.add(
          FlowDescription(
            table: table, priority: priority, idleTimeout: 1, actions: [.meter(1), .learn(learn), .group(1)]))
      }
    }
    let decision = CachedDecision(key: FlowWords(), mask: FlowWords(), tables: TableSet())
    let before = pipeline.active.generation
    #expect(try fixture.publishes { try fixture.delete() })
    #expect(pipeline.flows().isEmpty)
    #expect(!pipeline.active.isUnaffected(decision, since: before))
    #expect(pipeline.groups.count == 1 && pipeline.meters.count == 1)
    fixture.expectSidesAlike()
    // Nothing of them expires, is deleted with the group, or counts against a limit any longer.
    fixture.milliseconds += 10_000
    #expect(pipeline.expire().isEmpty)
    try pipeline.deleteGroup(1)
    try pipeline.deleteMeter(1)
    #expect(try !fixture.publishes { try fixture.delete() })
    try fixture.add(FlowDescription(priority: 5))
    #expect(pipeline.flows().count == 1)
    fixture.expectSidesAlike()
  }

  @Test func `A request is published once, and one that changes nothing not at all`() throws {
    let fixture = PipelineFixture()
    let flows = (1...5).map {
      FlowModification(.add, FlowDescription(priority: $0, actions: [.output(PortNumber(1))]))
    }
    let before = fixture.published.count
    try fixture.pipeline.apply(flows)
    #expect(fixture.published.count == before + 1)
    let rules = fixture.pipeline.flows().map { ObjectIdentifier($0) }
    let published = try fixture.publishes {
      try fixture.pipeline.apply([
        FlowModification(.modify, FlowDescription(actions: [.output(PortNumber(1))])),
        FlowModification(.delete, FlowDescription(table: 9)),
        FlowModification(.modifyStrict, FlowDescription(priority: 77)),
      ])
    }
    #expect(!published)
    #expect(fixture.pipeline.flows().map { ObjectIdentifier($0) } == rules)
  }

  @Test func `A modification keeps timeouts and counters, and lets the hard timeout begin anew`() throws {
    let fixture = PipelineFixture()
    try fixture.add(FlowDescription(cookie: 1, idleTimeout: 9, hardTimeout: 10, importance: 3))
    let old = try #require(fixture.pipeline.flows().first)
    old.counters.add(packets: 5, bytes: 300, at: fixture.milliseconds)
    fixture.milliseconds += 4000
    try fixture.pipeline.apply([
      FlowModification(.modify, FlowDescription(cookie: 2, idleTimeout: 1, actions: [.output(PortNumber(1))]))
    ])
    let new = try #require(fixture.pipeline.flows().first)
    #expect(new.actions == [.output(PortNumber(1))])
    #expect((new.cookie, new.idleTimeout, new.hardTimeout, new.importance) == (1, 9, 10, 3))
    #expect(new.counters === old.counters)
    #expect(new.created == old.created)
    #expect(new.modified == fixture.milliseconds)
  }

  @Test func `check_overlap refuses what shares frames with a flow of the same priority`() throws {
    let fixture = PipelineFixture()
    try fixture.add(FlowDescription(priority: 5, match: .ip))
    let port = Match.of((.inPort, 1))
    #expect(throws: FlowError.self) {
      try fixture.add(FlowDescription(priority: 5, match: port, flags: .checksOverlap))
    }
    let apart = Match.of((.ethernetType, 0x86DD), (.inPort, 1))
    try fixture.add(FlowDescription(priority: 5, match: apart, flags: .checksOverlap))
    try fixture.add(FlowDescription(priority: 6, match: port, flags: .checksOverlap))
    // Its own place is no overlap.
    try fixture.add(FlowDescription(priority: 5, match: .ip, flags: .checksOverlap))
    #expect(fixture.pipeline.flows().count == 3)
  }

  @Test func `Only the lone flow NORMAL lets the tables be left out`() throws {
    let fixture = PipelineFixture(startsWithNormal: true)
    #expect(fixture.pipeline.active.isNormalOnly)
    try fixture.add(FlowDescription(table: 1))
    #expect(!fixture.pipeline.active.isNormalOnly)
    try fixture.delete(table: 1)
    #expect(fixture.pipeline.active.isNormalOnly)
    try fixture.pipeline.apply([FlowModification(.modify, FlowDescription(actions: [.output(.flood)]))])
    #expect(!fixture.pipeline.active.isNormalOnly)
    fixture.pipeline.reset(startsWithNormal: true)
    #expect(fixture.pipeline.active.isNormalOnly)
    fixture.expectSidesAlike()
    fixture.pipeline.reset(startsWithNormal: false)
    #expect(fixture.pipeline.flows().isEmpty && !fixture.pipeline.active.isNormalOnly)
  }

  @Test func `A full table refuses flows, or evicts the least important that expires soonest`() throws {
    let fixture = PipelineFixture()
    fixture.pipeline.setLimit(table: 0, 3)
    for priority in UInt16(1)...3 { try fixture.add(FlowDescription(priority: priority)) }
    #expect(throws: FlowError.self) { try fixture.add(FlowDescription(priority: 4)) }
    // A replacement needs no room, another table has its own.
    try fixture.add(FlowDescription(priority: 3, cookie: 8))
    try fixture.add(FlowDescription(table: 1, priority: 4))
    fixture.pipeline.setLimit(table: 0, 3, evicts: true)
    // Flows without timeouts are never evicted.
    #expect(throws: FlowError.self) { try fixture.add(FlowDescription(priority: 4)) }
    try fixture.delete(table: 0)
    try fixture.add(FlowDescription(priority: 1, hardTimeout: 10, importance: 2))
    try fixture.add(FlowDescription(priority: 2, hardTimeout: 30, importance: 1))
    try fixture.add(FlowDescription(priority: 3, idleTimeout: 20, importance: 1))
    fixture.pipeline.flows()[0].counters.add(packets: 1, bytes: 1, at: fixture.milliseconds + 15_000)
    try fixture.add(FlowDescription(priority: 4))
    #expect(fixture.pipeline.flows().filter { $0.table == 0 }.map(\.priority) == [4, 3, 1])
    fixture.pipeline.setLimit(table: 0, 1, evicts: true)
    #expect(fixture.pipeline.flows().filter { $0.table == 0 }.map(\.priority) == [4])
    fixture.expectSidesAlike()
    let line = fixture.pipeline.statistics()[0]
    #expect(line == TableStatistics(table: 0, active: 1, lookups: 0, matches: 0, limit: 1))
  }
}
