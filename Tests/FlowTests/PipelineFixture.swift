import Testing

@testable import Flow

/// A pipeline with a clock one sets, that notes what is published.
final class PipelineFixture {
  var milliseconds: UInt64 = 1_000_000
  private(set) var published: [ObjectIdentifier] = []
  private(set) var pipeline: FlowPipeline!

  init(startsWithNormal: Bool = false) {
    pipeline = FlowPipeline(
      startsWithNormal: startsWithNormal, clock: { [unowned self] in milliseconds },
      publish: { [unowned self] side in published.append(ObjectIdentifier(side)) })
  }

  /// Whether `body` published something.
  func publishes(_ body: () throws -> Void) rethrows -> Bool {
    let before = published.count
    try body()
    return published.count > before
  }

  func add(_ flow: FlowDescription) throws { try pipeline.apply([FlowModification(.add, flow)]) }

  func delete(_ flow: FlowDescription = FlowDescription(), table: UInt8? = nil) throws {
    var modification = FlowModification(.delete, flow)
    modification.table = table
    try pipeline.apply([modification])
  }

  /// Both sides hold the same rules, groups, meters and ports, and changed as often.
  func expectSidesAlike(_ location: SourceLocation = #_sourceLocation) {
    func contents(_ side: FlowTables) -> [[ObjectIdentifier]] {
      let rules = (0..<UInt8(FlowTables.tableCount)).map { table -> [ObjectIdentifier] in
        var rules: [FlowRule] = []
        for subtable in side.classifier(table)?.subtables ?? [] { subtable.forEach { rules.append($0) } }
        #expect(rules.count == side.classifier(table)?.count ?? 0, sourceLocation: location)
        return rules.map { ObjectIdentifier($0) }.sorted()
      }
      return rules + [
        side.groups.map { ObjectIdentifier($0) }.sorted(), side.meters.map { ObjectIdentifier($0) }.sorted(),
      ]
    }
    let (active, idle) = (pipeline.active, pipeline.idle)
    #expect(active !== idle, sourceLocation: location)
    #expect(contents(active) == contents(idle), sourceLocation: location)
    #expect(active.generation == idle.generation, sourceLocation: location)
    #expect(active.ports == idle.ports, sourceLocation: location)
    #expect(active.isNormalOnly == idle.isNormalOnly, sourceLocation: location)
    if let last = published.last { #expect(last == ObjectIdentifier(active), sourceLocation: location) }
  }
}

extension Match {
  /// A match of whole fields.
  static func of(_ fields: (Field, UInt128)...) -> Match {
    var match = Match()
    for (field, value) in fields { match.set(field, value) }
    return match
  }

  static let ip = Match.of((.ethernetType, 0x800))
  static let tcp = Match.of((.ethernetType, 0x800), (.ipProtocol, 6))
}
