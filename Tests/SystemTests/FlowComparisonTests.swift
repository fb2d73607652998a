import Glibc
import Testing

// The same frames through Open vSwitch and through us, by the same flows.
extension System {
  @Suite(.needs("ovs-vswitchd", "ovsdb-server", "ovsdb-tool", "ovs-ofctl", "ovs-vsctl"))
  struct FlowComparison {
    /// For a longer run, SWITCHD_COMPARISON=FIRST-LAST names other seeds.
    private static var seeds: ClosedRange<UInt64> {
      let text = getenv("SWITCHD_COMPARISON").map { String(cString: $0) } ?? ""
      let bounds = text.split(separator: "-").compactMap { UInt64($0) }
      return bounds.count == 2 && bounds[0] <= bounds[1] ? bounds[0]...bounds[1] : 1...48
    }

    @Test func `What Open vSwitch sends, we send, for random pipelines and frames`() throws {
      let comparison = try SwitchComparison()
      for seed in Self.seeds {
        let difference = try comparison.run(seed: seed, frameCount: 60)
        #expect(difference == nil)
      }
      // Much of what is sent arrives, and most of what we take Open vSwitch takes.
      #expect(comparison.forwarded * 4 > comparison.sent)
      #expect(comparison.refused.count * 20 < comparison.lineCount)
      print("\(comparison.sent) frames, \(comparison.forwarded) of them forwarded")
      if getenv("SWITCHD_COMPARISON") != nil {
        for (line, reason) in comparison.refused { print("refused: \(line)\n\(reason)") }
      }
    }
  }
}
