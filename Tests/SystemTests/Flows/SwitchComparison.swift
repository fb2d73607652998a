import Datapath
import Flow
import FlowTesting
import Seeded

/// Open vSwitch and our datapath, with the same ports and flows.
final class SwitchComparison {
  /// A frame that came out differently.
  struct Difference: CustomStringConvertible {
    let description: String
  }

  private(set) var sent = 0
  private(set) var forwarded = 0
  /// Lines that only Open vSwitch refuses, and why.
  private(set) var refused: [String: String] = [:]
  private let theirs: OpenVSwitch
  private let ours: FlowSwitch

  init() throws {
    theirs = try OpenVSwitch([
      ComparedPort(number: 1, name: "p1"), ComparedPort(number: 2, name: "p2"),
      ComparedPort(number: 3, name: "p3", settings: ["tag=1"]),
      ComparedPort(number: 4, name: "p4", settings: ["trunks=1,2"]),
      ComparedPort(number: 65534, name: "br0"),
    ])
    ours = try FlowSwitch([
      (1, VLANConfiguration()), (2, VLANConfiguration()), (3, VLANConfiguration(tag: 1)),
      (4, VLANConfiguration(trunks: [1, 2])), (65534, VLANConfiguration()),
    ])
  }

  /// Sends random frames through a random pipeline.
  func run(seed: UInt64, frameCount: Int) throws -> [Difference] {
    var frames = SampleFrames(random: SeededRandom(seed: seed))
    let sample = (0..<frameCount).map { _ in frames.make() }
    var random = SeededRandom(seed: seed ^ 0xF10E)
    let ports = sample.map { _ in UInt16.random(in: 1...4, using: &random) }
    let keys = zip(sample, ports).map { FlowFrame.key(of: $0, inPort: PortNumber($1)) }
    var generator = PipelineGenerator(random: random, keys: keys)
    var lines = generator.make()
    for (line, reason) in try theirs.load(lines) {
      lines.groups.removeAll { "group add " + $0 == line }
      lines.flows.removeAll { "flow add " + $0 == line }
      lines.plainFlows.removeAll { $0 == line }
      refused[line] = reason
    }
    do {
      try ours.load(lines)
    } catch {
      return [Difference(description: "seed \(seed): \(error)\n\(lines.bundle.joined(separator: "\n"))")]
    }
    var result: [Difference] = []
    for (frame, port) in zip(sample, ports) {
      let before = ours.trace(frame, at: port)
      // Open vSwitch loses the inner of two tags when a third is pushed; we drop the frame.
      if before.contains("a third tag") { continue }
      let expected = try theirs.send(frame, at: port)
      let found = try ours.send(frame, at: port)
      sent += 1
      if !expected.isEmpty { forwarded += 1 }
      if !isSame(expected, found, frame) {
        result.append(describe(seed, frame, port, expected, found, trace: before))
        // What was learned is different from here on.
        break
      }
    }
    return result
  }

  private func isSame(_ expected: [UInt16: [[UInt8]]], _ found: [UInt16: [[UInt8]]], _ frame: [UInt8]) -> Bool {
    if expected == found { return true }
    guard Set(expected.keys) == Set(found.keys), Self.spoilsChecksums(frame) else { return false }
    return expected.allSatisfy { port, frames in
      let others = found[port]!
      return frames.count == others.count && zip(frames, others).allSatisfy(Self.differInOneField)
    }
  }

  private static func spoilsChecksums(_ frame: [UInt8]) -> Bool {
    let parser = ReferenceParser(frame)
    return parser.words[.ipFragment] != 0 || parser.isSourceRouted || parser.etherType == 0x86DD
  }

  private static func differInOneField(_ left: [UInt8], _ right: [UInt8]) -> Bool {
    guard left.count == right.count else { return false }
    let different = left.indices.filter { left[$0] != right[$0] }
    return different.isEmpty || different.last! - different.first! < 2
  }

  private func describe(
    _ seed: UInt64, _ frame: [UInt8], _ port: UInt16, _ expected: [UInt16: [[UInt8]]],
    _ found: [UInt16: [[UInt8]]], trace: String
  ) -> Difference {
    func list(_ outputs: [UInt16: [[UInt8]]]) -> String {
      outputs.sorted { $0.key < $1.key }.map { port, frames in
        "  \(port): " + frames.map { hexadecimal($0) }.joined(separator: " ")
      }.joined(separator: "\n")
    }
    return Difference(
      description: """
        seed \(seed), port \(port), frame \(hexadecimal(frame))
        Open vSwitch:
        \(list(expected))
        we:
        \(list(found))
        our way:
        \(trace)
        theirs:
        \(theirs.trace(frame, at: port))
        """)
  }
}
