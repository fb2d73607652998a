import Flow

extension FuzzTarget {
  /// A script of requests and frames: nothing traps or takes long, and two frames that agree in what the decision about
  /// the first depended on have the same decision.
  static let flowPipeline = FuzzTarget("flow-pipeline", seeds: flowPipelineSeeds) { bytes in
    var script = FlowScript(ByteScript(bytes))
    script.run()
  }

  /// Opcodes are in `FlowScript.run`; there is a frame (0) behind each request.
  private static func flowPipelineSeeds() -> [[UInt8]] {
    let frame: [UInt8] = [0, 1, 1, 0x0A, 6, 80]
    var bytes: [UInt8] = []
    for opcode in UInt8(1)...7 {
      for action in stride(from: UInt8(0), to: 32, by: 3) {
        bytes += [opcode, 0, 3, 2, 1, 40, 7, 2, action, 1, 2, 3, 4, action &+ 1, 9, 8, 7, 6] + frame
      }
    }
    return [bytes, Array(bytes.reversed()), [UInt8](0...255)]
  }
}

private struct FlowScript {
  private var bytes: ByteScript
  private let pipeline: FlowPipeline
  private let clock = Clock()
  private let formatter = FlowFormatter()
  private let parser = FlowParser()
  private static let mostSteps = 64

  private final class Clock {
    var now: UInt64 = 1000
  }

  init(_ bytes: ByteScript) {
    self.bytes = bytes
    let clock = clock
    pipeline = FlowPipeline(startsWithNormal: false, clock: { clock.now }, publish: { _ in })
    var ports: [PortNumber: FlowPort] = [:]
    for number in 1...4 { ports[PortNumber(UInt16(number))] = FlowPort(isLive: number < 4, index: number) }
    pipeline.setPorts(ports)
  }

  mutating func run() {
    for _ in 0..<Self.mostSteps where !bytes.isEmpty {
      switch bytes.below(9) {
      case 0: sendFrame()
      case 1, 2: change(.add)
      case 3: change([.modify, .modifyStrict, .delete, .deleteStrict][bytes.below(4)])
      case 4, 5: changeGroup()
      case 6: changeMeter()
      case 7: pipeline.setLimit(table: UInt8(bytes.below(4)), bytes.below(8), evicts: bytes.below(2) == 0)
      default:
        clock.now += bytes.number(2)
        _ = pipeline.expire()
      }
    }
    sendFrame()
    for rule in pipeline.flows() { _ = formatter.rule(rule, now: clock.now) }
  }

  // MARK: Frames

  private mutating func sendFrame() {
    let key = bytes.key()
    let translator = Translator(lookup: pipeline.active)
    let (translation, steps) = translator.trace(key)
    let limits = TranslationLimits()
    require(translation.operations.count <= limits.operations, "operations are bounded")
    require(translation.rewrites.count <= limits.rewrites, "forms are bounded")
    require((translation.mask & ~FlowWords.wholePacket).isZero, "only bits of the frame are depended on")
    let report = TraceReport(key, translation, steps, formatter) { port, _ in "\(port)" }
    _ = report.text(bridge: "br0")

    // The same frame in the bits that mattered, another in those that did not.
    var other = FlowWords()
    var noise = bytes.number(2) | 1
    for word in 0..<FlowWords.packetCount {
      noise = noise &* 0x5851_F42D_4C95_7F2D &+ 0x1405_7B7E_F767_814F
      other[word] = key[word] & translation.mask[word] | noise & ~translation.mask[word]
    }
    let again = translator.translate(other)
    require(again.mask == translation.mask, "the same is depended on")
    require(again.drop == translation.drop, "it is dropped for the same reason")
    require(again.rewrites == translation.rewrites, "it is sent in the same forms")
    require(Self.text(again) == Self.text(translation), "the same is done")
    require(again.learned == translation.learned, "the same is learned")
    for rule in translation.credits.rules { rule.counters.add(packets: 1, bytes: 64, at: clock.now) }
    pipeline.learn(translation.learned)
  }

  private static func text(_ translation: Translation) -> [String] { translation.operations.map { "\($0)" } }

  // MARK: Requests

  private mutating func change(_ command: FlowModification.Command) {
    let priority = UInt16(bytes.below(4))
    var flow = FlowDescription(table: UInt8(bytes.below(4)), priority: priority, match: bytes.match())
    flow.cookie = UInt64(bytes.below(3))
    let options = bytes.byte()
    flow.idleTimeout = UInt16(options & 3)
    flow.hardTimeout = UInt16(options >> 2 & 3)
    flow.importance = UInt16(options >> 4 & 1)
    flow.flags = FlowDescription.Flags(rawValue: options >> 5)
    if command == .add || command == .modify || command == .modifyStrict { flow.actions = bytes.actions() }
    var modification = FlowModification(command, flow)
    if command != .add, options & 1 == 0 { modification.table = nil }
    if command != .add, options & 2 == 0 { modification.cookieMask = .max }
    let before = pipeline.flows().count
    do { try pipeline.apply([modification], atomically: true) } catch {
      require(pipeline.flows().count == before, "what is refused changes nothing")
      return
    }
    guard command == .add else { return }
    // Whatever could be added can be dumped and read again.
    let written = formatter.flow(flow)
    require((try? parser.flow(written, for: .add)) != nil, "it is read again: \(written)")
  }

  private mutating func changeGroup() {
    let kind = GroupDescription.Kind.allCases[bytes.below(4)]
    let id = UInt32(bytes.below(4))
    var buckets: [GroupDescription.Bucket] = []
    for _ in 0..<bytes.below(4) {
      let options = bytes.byte()
      var bucket = GroupDescription.Bucket(id: UInt32(options & 7), weight: UInt16(options >> 3 & 3))
      if options & 0x20 != 0 { bucket.watchPort = PortNumber(UInt16(options >> 6) + 2) }
      if options & 0x40 != 0 { bucket.watchGroup = UInt32(options >> 3 & 3) }
      bucket.actions = bytes.actions()
      buckets.append(bucket)
    }
    var group = GroupDescription(id: id, kind: kind, buckets: buckets)
    if kind == .select { group.selectionMethod = ["", "hash", "dp_hash"][bytes.below(3)] }
    switch bytes.below(6) {
    case 0: try? pipeline.deleteGroup(id)
    case 1: try? pipeline.insertBuckets(buckets, into: id, at: bytes.below(2) == 0 ? .first : .after(1))
    case 2: try? pipeline.removeBuckets(UInt32(bytes.below(4)), from: id)
    case 3: try? pipeline.modifyGroup(group, mayCreate: true)
    default: try? pipeline.addGroup(group)
    }
  }

  private mutating func changeMeter() {
    let id = UInt32(bytes.below(3))
    let bands = (0..<bytes.below(3)).map { _ in
      MeterDescription.Band(rate: UInt32(bytes.number(2)), burstSize: UInt32(bytes.number(4)))
    }
    let meter = MeterDescription(id: id, unit: .packetsPerSecond, hasBurst: bytes.below(2) == 0, bands: bands)
    switch bytes.below(4) {
    case 0: try? pipeline.deleteMeter(id)
    case 1: try? pipeline.modifyMeter(meter)
    default: try? pipeline.addMeter(meter)
    }
  }
}
