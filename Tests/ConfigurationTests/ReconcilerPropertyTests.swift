import Seeded
import Datapath
import Linux
import Packet
import Ports
import Testing

@testable import Configuration

/// Whatever the sequence of configurations and failures, the datapath ends as if the last configuration had been
/// applied to an empty one, and what a step did not concern was not touched by it.
@Suite struct ReconcilerPropertyTests {
  private static let bridgeNames = ["br0", "br1", "br2"]
  private static let portNames = ["eth1", "eth22", "tap1", "tap22", "vm1", "vm22"]
  private static let types = ["", "tap", "internal", "vhost-user", "vhost-user-client", "nonsense"]

  @Test(arguments: 0..<200)
  func anyPathLeadsToTheSameState(seed: Int) throws {
    var random = SeededRandom(seed: UInt64(seed))
    let loop = try EventLoop()
    let datapath = FakeDatapath()
    let ports = FakePorts()
    ports.inflexible = Set(Self.portNames.filter { _ in Bool.random(using: &random) })
    let reconciler = Reconciler(loop, datapath, ports, retryPause: 1...2)

    for _ in 0..<20 {
      ports.failures = Self.randomFailures(&random)
      ports.refusingOptions = Set(Self.portNames.filter { _ in Int.random(in: 0..<6, using: &random) == 0 })
      let before = reconciler.desired
      let attached = Dictionary(uniqueKeysWithValues: datapath.ports.values.map { ($0.port.name, $0.port) })
      let desired = judge(Self.randomRows(&random), holding: before.interfaces.mapValues(\.bridge))
      reconciler.apply(desired)
      #expect(datapath.violations == [])
      Self.expectUntouched(before, desired, attached, datapath)
      Self.expectNumbers(desired, reconciler)
    }

    ports.failures = [:]
    #expect(loop.run(atMost: 5000) { datapath.ports.count == reconciler.desired.interfaces.count })
    #expect(datapath.picture == Self.fromScratch(reconciler.desired, loop))
    reconciler.removeAll()
    #expect(datapath.picture == FakeDatapath.Picture())
    #expect(ports.made.filter { !$0.isClosed }.isEmpty)
  }

  private static func fromScratch(_ desired: DesiredState, _ loop: EventLoop) -> FakeDatapath.Picture {
    let datapath = FakeDatapath()
    Reconciler(loop, datapath, FakePorts()).apply(desired)
    return datapath.picture
  }

  /// An interface asked for as before is the same port as before.
  private static func expectUntouched(
    _ before: DesiredState, _ after: DesiredState, _ attached: [String: FakePort], _ datapath: FakeDatapath
  ) {
    for (name, port) in attached {
      guard let old = before.interfaces[name], let new = after.interfaces[name], old.bridge == new.bridge,
        old.configuration == new.configuration
      else { continue }
      #expect(datapath.port(named: name) === port, "\(name) was remade")
      #expect(!port.isClosed)
    }
  }

  /// Numbers are unique in their bridge, and every attached interface has one.
  private static func expectNumbers(_ desired: DesiredState, _ reconciler: Reconciler) {
    var seen: Set<String> = []
    for interface in desired.interfaces.values {
      guard let condition = reconciler.condition(of: interface.name) else {
        Issue.record("\(interface.name) is not known")
        continue
      }
      #expect((condition.number == nil) == (condition.error != nil))
      guard let number = condition.number else { continue }
      #expect(seen.insert("\(interface.bridge) \(number)").inserted)
      #expect((number == PortNumbers.local) == (interface.number == .local))
    }
  }

  private static func randomFailures(_ random: inout SeededRandom) -> [String: String] {
    var failures: [String: String] = [:]
    for name in portNames + bridgeNames where Int.random(in: 0..<4, using: &random) == 0 {
      failures[name] = "\(name) is absent"
    }
    return failures
  }

  private static func randomRows(_ random: inout SeededRandom) -> SwitchRows {
    var wanted = rows()
    wanted.otherConfig =
      Bool.random(using: &random) ? [:] : ["pmd-cpu-mask": "\(Int.random(in: 0..<4, using: &random))"]
    var free = portNames.shuffled(using: &random)
    for name in bridgeNames where Int.random(in: 0..<4, using: &random) != 0 {
      let aging = "\(Int.random(in: 15..<18, using: &random))"
      var bridge = bridge(name, [], ["mac-aging-time": aging])
      for _ in 0..<Int.random(in: 0..<5, using: &random) {
        guard let name = free.popLast() else { break }
        bridge.ports.append(randomPort(name, &random))
      }
      wanted.bridges.append(bridge)
    }
    return wanted
  }

  private static func randomPort(_ name: String, _ random: inout SeededRandom) -> FollowedPort {
    // Mostly the same type, so that states resemble each other.
    let usual = name.hasPrefix("eth") ? "" : name.hasPrefix("tap") ? "tap" : "vhost-user"
    let type = Int.random(in: 0..<5, using: &random) == 0 ? types.randomElement(using: &random) : usual
    var row = port(
      name, type ?? usual, tag: Bool.random(using: &random) ? nil : Int64.random(in: 1..<4, using: &random))
    if Bool.random(using: &random) {
      row.interfaces[0].options = ["n-rxq": "\(Int.random(in: 1..<3, using: &random))"]
    }
    if Bool.random(using: &random) {
      row.interfaces[0].ofportRequest = Int64.random(in: 1..<5, using: &random)
    }
    return row
  }
}
