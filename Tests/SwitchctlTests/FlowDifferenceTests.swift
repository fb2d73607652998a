import Flow
import Seeded
import Testing

@testable import SwitchctlCommands

struct FlowDifferenceTests {
  /// Few places, so that lists meet.
  static func flow(_ random: inout SeededRandom) -> FlowDescription {
    var flow = FlowDescription(
      table: UInt8.random(in: 0...1, using: &random), priority: UInt16.random(in: 1...2, using: &random))
    let port = UInt16.random(in: 0...3, using: &random)
    if port > 0 { flow.match.set(.inPort, UInt128(port)) }
    if Bool.random(using: &random) { flow.cookie = 5 }
    if Bool.random(using: &random) { flow.idleTimeout = 10 }
    flow.actions =
      Bool.random(using: &random) ? [] : [.output(PortNumber(UInt16.random(in: 1...2, using: &random)))]
    return flow
  }

  struct Place: Hashable {
    let table: UInt8
    let priority: UInt16
    let match: Match
    init(_ flow: FlowDescription) { (table, priority, match) = (flow.table, flow.priority, flow.match) }
  }

  /// Flows as a switch keeps them.
  static func contents(_ flows: [FlowDescription]) -> [Place: FlowDescription] {
    Dictionary(flows.map { (Place($0), $0) }) { $1 }
  }

  @Test func `The changes of a difference make one list of the other, and touch only what differs`() throws {
    var random = SeededRandom(seed: 21)
    for _ in 0..<500 {
      let old = (0..<Int.random(in: 0...8, using: &random)).map { _ in Self.flow(&random) }
      let new = (0..<Int.random(in: 0...8, using: &random)).map { _ in Self.flow(&random) }
      let difference = FlowDifference(from: old, to: new)
      let (before, after) = (Self.contents(old), Self.contents(new))
      var flows = before
      let lines = difference.changes(readding: nil)
      for line in lines {
        let change = try #require(try FlowParser().modification(line: line))
        let place = Place(change.flow)
        switch change.command {
        case .add:
          #expect(before[place] != after[place])
          flows[place] = change.flow
        case .deleteStrict: #expect(flows.removeValue(forKey: place) != nil)
        default: Issue.record("\(line)")
        }
      }
      #expect(flows == after)
      #expect(difference.isEmpty == (before == after))
      #expect(lines.count == difference.pairs.count)
    }
  }

  @Test func `Deletions come before additions, so that a full table has room`() {
    let gone = FlowDescription(priority: 1)
    let new = FlowDescription(priority: 9)
    let lines = FlowDifference(from: [gone], to: [new]).changes(readding: nil)
    #expect(lines.map { String($0.prefix { $0 != " " }) } == ["delete_strict", "add"])
  }

  @Test func `Flags make no difference, all else does`() {
    let flow = FlowDescription(priority: 7, cookie: 1, idleTimeout: 2, hardTimeout: 3, importance: 4)
    func differs(_ change: (inout FlowDescription) -> Void) -> Bool {
      var other = flow
      change(&other)
      return !FlowDifference(from: [flow], to: [other]).isEmpty
    }
    #expect(!differs { $0.flags = [.sendsFlowRemoved] })
    #expect(differs { $0.cookie = 2 })
    #expect(differs { $0.idleTimeout = 9 })
    #expect(differs { $0.hardTimeout = 9 })
    #expect(differs { $0.importance = 9 })
    #expect(differs { $0.actions = [.output(.normal)] })
    #expect(differs { $0.table = 1 })
    #expect(differs { $0.priority = 8 })
  }

  @Test func `A difference is shown by table and priority, what was before what is`() throws {
    let parser = FlowParser()
    func flows(_ lines: String...) throws -> [FlowDescription] {
      try lines.map { try parser.flow($0, for: .add).flow }
    }
    let old = try flows("table=2,tcp,actions=output:1", "priority=1,actions=drop", "priority=5,actions=drop")
    let new = try flows(
      "table=2,cookie=6,tcp,actions=output:1", "priority=5,actions=drop", "priority=9,actions=NORMAL")
    #expect(
      FlowDifference(from: old, to: new).text == """
        +priority=9 actions=NORMAL
        -priority=1 actions=drop
        -table=2, tcp actions=output:1
        +cookie=0x6, table=2, tcp actions=output:1

        """)
  }
}
