import Datapath
import Testing

@testable import Configuration

@Suite struct StormLimitTests {
  private func desired(_ settings: [String: String]) -> (limit: StormLimit?, refusal: String?) {
    var port = port("t", "tap")
    port.interfaces[0].otherConfig = settings
    let state = judge(rows(bridge("br0", [port])))
    return (state.interfaces["t"]?.stormLimit, state.refusals[port.interfaces[0].id])
  }

  @Test func readsLimitAndBurst() {
    #expect(desired([:]) == (nil, nil))
    #expect(desired(["storm-limit": "500"]) == (StormLimit(framesPerSecond: 500), nil))
    #expect(
      desired(["storm-limit": "500", "storm-limit-burst": "7"])
        == (StormLimit(framesPerSecond: 500, burst: 7), nil))
    #expect(StormLimit(framesPerSecond: 5000).burst == 500)
    #expect(StormLimit(framesPerSecond: 10).burst == 32)
  }

  @Test(arguments: ["0", "-1", "many", "", "100000001", "9223372036854775808"])
  func whatCannotBeUsedIsIgnoredWithASentence(text: String) {
    let (limit, refusal) = desired(["storm-limit": text])
    #expect(limit == nil)
    #expect(refusal?.contains("storm-limit") == true)
    let burst = desired(["storm-limit": "5", "storm-limit-burst": text])
    #expect(burst.limit == StormLimit(framesPerSecond: 5))
    #expect(burst.refusal?.contains("storm-limit-burst") == true)
  }
}
