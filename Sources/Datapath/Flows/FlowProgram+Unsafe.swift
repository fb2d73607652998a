import Flow
import Ports

/// One step of a cached program, as the packet path takes it.
struct FlowStep {
  enum Kind: UInt8 {
    case output, flood, normal, meter, controller
  }

  let kind: Kind
  /// Which form of the headers; 0 is the frame as it was received.
  let rewrite: UInt16
  /// The port's index: where to (`output`), whom not (`flood`), where from (`normal`); -1: none.
  let port: Int32
  /// Of a `meter`.
  let bands: MeterBands?
}

/// What a cached decision does, and whom it counts for: made once, when a frame missed, and shared by nobody. The cache
/// holds the one reference; the packet path reads the steps through a pointer.
final class FlowProgram {
  let steps: UnsafeMutablePointer<FlowStep>
  let stepCount: Int
  /// Elements 1, 2, … are used; the first stands for the frame as it was received.
  let rewrites: UnsafeMutablePointer<PreparedRewrite>
  private let rewriteCount: Int
  /// Why frames go nowhere, where there is no step that sends them.
  let drop: DropReason
  let decision: CachedDecision
  let bridge: UInt32
  /// Flows to make or refresh as long as there is traffic.
  let learned: [FlowModification]
  private let credits: FlowCredits
  /// Of the tables looked up, and whether they had a flow for it.
  private let tableCounters: [(counters: TableCounters, matched: Bool)]
  /// Keep what steps point to.
  private let meters: [Meter]

  /// - Parameter key: that of the frame that was translated.
  // SAFETY: both arrays have the room that is initialised, and go with the program.
  init(_ translation: Translation, key: FlowWords, bridge: UInt32, tables: FlowTables) {
    let compiled = translation.operations.compactMap { Self.step($0, tables) }
    stepCount = compiled.count
    steps = .allocate(capacity: max(stepCount, 1))
    for (index, step) in compiled.enumerated() { (steps + index).initialize(to: step) }
    rewriteCount = translation.rewrites.count
    rewrites = .allocate(capacity: max(rewriteCount, 1))
    for (index, rewrite) in translation.rewrites.enumerated() {
      (rewrites + index).initialize(to: PreparedRewrite(rewrite))
    }
    drop = Self.reason(translation.drop)
    decision = CachedDecision(translation, key: key)
    self.bridge = bridge
    learned = translation.learned
    credits = translation.credits
    tableCounters = translation.credits.tables.compactMap { table, matched in
      tables.tableCounters(table).map { ($0, matched) }
    }
    meters = translation.operations.compactMap { if case .meter(let meter) = $0 { meter } else { nil } }
  }

  deinit {
    steps.deinitialize(count: stepCount)
    steps.deallocate()
    rewrites.deinitialize(count: rewriteCount)
    rewrites.deallocate()
  }

  private static func step(_ operation: FlowOperation, _ tables: FlowTables) -> FlowStep? {
    func index(_ number: PortNumber) -> Int32 { tables.port(number).map { Int32($0.index) } ?? -1 }
    func step(_ kind: FlowStep.Kind, _ rewrite: Int, _ port: Int32, _ bands: MeterBands? = nil) -> FlowStep {
      FlowStep(kind: kind, rewrite: UInt16(truncatingIfNeeded: rewrite), port: port, bands: bands)
    }
    return switch operation {
    case .output(let port, let rewrite): step(.output, rewrite, index(port))
    case .flood(let except, let rewrite): step(.flood, rewrite, except.map(index) ?? -1)
    case .normal(let from, let rewrite): step(.normal, rewrite, index(from))
    case .meter(let meter): step(.meter, 0, -1, meter.bands)
    case .controller(_, let rewrite): step(.controller, rewrite, -1)
    }
  }

  private static func reason(_ drop: FlowDrop?) -> DropReason {
    switch drop {
    case .tableMiss: .tableMiss
    case .timeToLive: .timeToLive
    case .pipelineError: .pipelineError
    case .byFlow, nil: .flow
    }
  }

  /// Counts frames that went by this program.
  ///
  /// - Parameter time: when the last of them came, in milliseconds of the switch's clock.
  func credit(packets: UInt64, bytes: UInt64, at time: UInt64) {
    for rule in credits.rules { rule.counters.add(packets: packets, bytes: bytes, at: time) }
    for counters in credits.counters { counters.add(packets: packets, bytes: bytes, at: time) }
    for (counters, matched) in tableCounters {
      counters.add(lookups: packets, matches: matched ? packets : 0)
    }
  }
}
