import Datapath
import Flow
import FlowTesting
import Glibc
import Seeded
import Testing

// The same frames through Open vSwitch and through us, by the same flows.
extension System {
  @Suite(.needs("ovs-vswitchd", "ovsdb-server", "ovsdb-tool", "ovs-ofctl", "ovs-vsctl"))
  struct FlowComparison {
    /// SWITCHD_COMPARISON=FIRST..LAST takes other seeds than those fixed here.
    @Test func `What Open vSwitch sends, we send`() throws {
      var seeds = 1...40
      if let text = getenv("SWITCHD_COMPARISON").map({ String(cString: $0) }) {
        let bounds = text.split(separator: "-").compactMap { Int($0) }
        seeds = bounds[0]...bounds[1]
      }
      let comparison = try SwitchComparison()
      for seed in seeds {
        for difference in try comparison.run(seed: UInt64(seed), frameCount: 60) {
          Issue.record("\(difference)")
        }
      }
      for (line, reason) in comparison.refused { print("REFUSED", reason, "|", line) }
      print("\(comparison.sent) frames, \(comparison.forwarded) forwarded")
    }
  }
}
