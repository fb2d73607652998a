import Flow
import FlowTesting
import Packet
import Ports
import Seeded
import Testing

@testable import Datapath

/// Row 24: what the cache says of a frame is what its tables say.
@Suite("Row 24: cached decisions") struct CachedDecisionTests {
  private static let ports: [PortNumber] = [PortNumber(2), PortNumber(3), PortNumber(4)]

  /// Frames in twos and threes that differ in a byte, so that many share a decision and some only nearly do.
  private func frames(_ random: inout SeededRandom) -> [[UInt8]] {
    (0..<40).flatMap { _ -> [[UInt8]] in
      let frame = RandomFrame.make(&random, isDeep: false)
      return (0..<3).map { copy in
        var changed = frame
        if copy > 0 {
          let place = Int.random(in: 0..<min(changed.count, 60), using: &random)
          changed[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        }
        return changed
      }
    }
  }

  /// A flow that matches some bits of one of the frames.
  private func flow(like frame: [UInt8], _ random: inout SeededRandom) -> FlowDescription {
    let key = FlowFrame.key(of: frame, inPort: PortNumber(1))
    var mask = FlowWords()
    for _ in 0..<Int.random(in: 1...3, using: &random) {
      let word = Int.random(in: 0..<FlowWords.packetCount, using: &random)
      mask[word] |= key[word] == 0 ? 0xFFFF : .random(in: .min ... .max, using: &random)
    }
    mask[FlowWord.inPort] &= 0xFFFF
    return FlowDescription(
      table: UInt8.random(in: 0...1, using: &random), priority: .random(in: 1...0xFFFF, using: &random),
      match: Match(value: key, mask: mask),
      actions: Bool.random(using: &random) ? [] : [.output(Self.ports.randomElement(using: &random)!)])
  }

  @Test(arguments: 0..<6)
  func `Row 24: a cached decision is the one the tables make, while flows change`(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    var settings = BridgeSettings()
    settings.startsWithNormal = false
    let bench = try Bench([VLANConfiguration](repeating: VLANConfiguration(), count: 4), settings: settings)
    let frames = frames(&random)
    var flows = (0..<60).map { _ in flow(like: frames.randomElement(using: &random)!, &random) }
    flows.append(FlowDescription(priority: 0, actions: [.gotoTable(1)]))
    try bench.pipeline.apply(flows.map { FlowModification(.add, $0) })
    for round in 0..<900 {
      if round % 9 == 0 {
        let changed = flow(like: frames.randomElement(using: &random)!, &random)
        let old = bench.pipeline.flows().randomElement(using: &random)!.description
        try bench.pipeline.apply([FlowModification(.add, changed), FlowModification(.deleteStrict, old)])
      }
      let frame = frames.randomElement(using: &random)!
      let key = FlowFrame.key(of: frame, inPort: PortNumber(1))
      let decision = Translator(lookup: bench.pipeline.active).translate(key)
      var expected: [PortNumber] = []
      for case .output(let port, rewrite: 0) in decision.operations { expected.append(port) }
      bench.send(frame, at: 0)
      for (index, port) in Self.ports.enumerated() {
        let arrived = bench.received(at: index + 1)
        #expect(arrived == expected.filter { $0 == port }.map { _ in frame }, "round \(round), port \(port)")
      }
    }
    #expect(bench.datapath.statistics(of: bench.ports[0].id)[.headersTooLong] == 0)
  }
}
