import Datapath
import Flow
import FlowTesting
import Seeded

/// Open vSwitch and our datapath, with the same ports and flows.
///
/// Differences that are meant, and so not compared:
///
/// - Checksums behind which Open vSwitch's userspace datapath does not look: of fragments, and behind IPv6 extension
///   headers (`HeaderRewrite`).
/// - Where a third tag is pushed: Open vSwitch loses the inner of two; here it is an error of the pipeline.
/// - NORMAL for frames with two tags: with `vlan-limit=2` Open vSwitch learns and forwards by both; here, as there by
///   default, NORMAL sees the outer one.
/// - NORMAL for frames from a group address: Open vSwitch forwards them, here they are dropped.
/// - What a pipeline has learned when it turns out to be at fault, flows and addresses: nothing, here.
///
/// Others do not come up, because the generators leave them out: frames to 01:80:c2:00:00:0x, ARP that is cut off, tags
/// that are drop eligible, ports written in ICMP, which bucket `select` selects, meters, and what OpenFlow on the wire
/// makes of a flow's text (`PipelineGenerator`).
final class SwitchComparison {
  private(set) var sent = 0
  private(set) var forwarded = 0
  private(set) var lineCount = 0
  /// Lines that only Open vSwitch refuses, and why.
  private(set) var refused: [String: String] = [:]
  private let theirs: OpenVSwitch
  private let ours: FlowSwitch

  init() throws {
    theirs = try OpenVSwitch([
      ComparedPort(number: 1, name: "p1"), ComparedPort(number: 2, name: "p2"),
      ComparedPort(number: 3, name: "p3", settings: ["tag=1"]),
      ComparedPort(number: 4, name: "p4", settings: ["tag=2", "trunks=1,2", "vlan_mode=native-untagged"]),
      ComparedPort(number: 65534, name: "br0"),
    ])
    ours = try FlowSwitch([
      (1, VLANConfiguration()), (2, VLANConfiguration()), (3, VLANConfiguration(tag: 1)),
      (4, VLANConfiguration(mode: .nativeUntagged, tag: 2, trunks: [1, 2])), (65534, VLANConfiguration()),
    ])
  }

  /// Sends random frames through a random pipeline, until one comes out differently.
  ///
  /// - Returns: what the difference is, and both switches' accounts of it.
  func run(seed: UInt64, frameCount: Int) throws -> String? {
    var frames = SampleFrames(random: SeededRandom(seed: seed))
    let sample = (0..<frameCount).map { _ in frames.make() }
    var random = SeededRandom(seed: seed ^ 0xF10E)
    let ports = sample.map { _ in UInt16.random(in: 1...4, using: &random) }
    let keys = zip(sample, ports).map { FlowFrame.key(of: $0, inPort: PortNumber($1)) }
    var generator = PipelineGenerator(random: random, keys: keys)
    try load(generator.make())
    for (frame, port) in zip(sample, ports) {
      let trace = ours.trace(frame, at: port)
      if trace.isIncomparable { continue }
      let expected = try theirs.send(frame, at: port)
      let found = try ours.send(frame, at: port)
      sent += 1
      if !expected.isEmpty { forwarded += 1 }
      guard isSame(expected, found, frame) else {
        return """
          seed \(seed), port \(port), frame \(hexadecimal(frame))
          Open vSwitch:
          \(list(expected))
          we:
          \(list(found))
          our way:
          \(trace)
          theirs:
          \(theirs.trace(frame, at: port))
          """
      }
    }
    return nil
  }

  private func load(_ lines: FlowLines) throws {
    var lines = lines
    lineCount += lines.all.count
    let refused = try theirs.load(lines)
    self.refused.merge(refused) { $1 }
    lines.groups.removeAll { refused["group add " + $0] != nil }
    lines.flows.removeAll { refused["flow add " + $0] != nil }
    lines.plainFlows.removeAll { refused[$0] != nil }
    try ours.load(lines)
  }

  private func isSame(
    _ expected: [UInt16: [[UInt8]]], _ found: [UInt16: [[UInt8]]], _ frame: [UInt8]
  ) -> Bool {
    if expected == found { return true }
    guard Set(expected.keys) == Set(found.keys), Self.mayBeSpoiled(frame) else { return false }
    return expected.allSatisfy { port, frames in
      let others = found[port]!
      return frames.count == others.count && zip(frames, others).allSatisfy(Self.differInAChecksum)
    }
  }

  /// Whether Open vSwitch may leave a checksum of `frame` wrong, or take payload for one.
  private static func mayBeSpoiled(_ frame: [UInt8]) -> Bool {
    let parser = ReferenceParser(frame)
    return parser.words[.ipFragment] != 0 || parser.etherType == 0x86DD
  }

  /// Whether nothing but two or, in SCTP, four bytes in a row is different.
  private static func differInAChecksum(_ left: [UInt8], _ right: [UInt8]) -> Bool {
    guard left.count == right.count else { return false }
    let different = left.indices.filter { left[$0] != right[$0] }
    guard let first = different.first, let last = different.last else { return true }
    return last - first < 4
  }

  private func list(_ outputs: [UInt16: [[UInt8]]]) -> String {
    outputs.sorted { $0.key < $1.key }.map { port, frames in
      "  \(port): " + frames.map { hexadecimal($0) }.joined(separator: " ")
    }.joined(separator: "\n")
  }
}
