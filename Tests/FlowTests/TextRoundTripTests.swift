import Testing

@testable import Flow

@Suite struct TextRoundTripTests {
  @Test(arguments: [1, 2, 3, 4] as [UInt64])
  func `Every flow that is written reads back as itself and is written again alike`(seed: UInt64) throws {
    var random = RandomFlow(seed: seed)
    for _ in 0..<1000 {
      let flow = random.description()
      let text = FlowFormatter().flow(flow)
      let read = try FlowParser().flow(text, for: .add)
      #expect(read.flow == flow, "\(text)")
      #expect(read.table == flow.table)
      #expect(FlowFormatter().flow(read.flow) == text)
    }
  }

  @Test func `Matches, actions, groups and meters read back as themselves`() throws {
    var random = RandomFlow(seed: 7)
    let formatter = FlowFormatter()
    for _ in 0..<1000 {
      let match = random.match()
      #expect(try FlowParser().match(formatter.match(match)) == match)
      let actions = random.actions(for: match)
      #expect(try FlowParser().actions(formatter.actions(actions)) == actions)
      let group = random.group()
      #expect(try FlowParser().group(formatter.group(group), requiresBuckets: false) == group)
      let meter = random.meter()
      #expect(try FlowParser().meter(formatter.meter(meter), requiresBands: true) == meter)
    }
  }

  @Test func `Ports with names, also strange ones, read back as the same ports`() throws {
    let names = StrangeNames()
    var random = RandomFlow(seed: 11)
    for _ in 0..<500 {
      let flow = random.description()
      let text = FlowFormatter(ports: names).flow(flow)
      #expect(try FlowParser(ports: names).flow(text, for: .add).flow == flow, "\(text)")
    }
  }

  @Test(.enabled(if: ReferenceTool.isInstalled, ReferenceTool.reason))
  func `Open vSwitch reads random flows of ours and writes the same text`() throws {
    var random = RandomFlow(seed: 23)
    var lines: [String] = []
    var texts: Set<String> = []
    for index in 0..<2000 {
      var flow = random.description()
      // No two the same, and within what both have.
      flow.priority = UInt16(index)
      flow.actions = flow.actions.filter(\.isWithoutVersion)
      guard (try? ActionCheck.check(flow.actions, match: flow.match)) != nil else { continue }
      lines.append(FlowFormatter().flow(flow))
      texts.insert(ReferenceTool.text(flow))
    }
    let theirs = try #require(try ReferenceTool.read(lines))
    #expect(theirs.count == lines.count)
    for line in theirs { #expect(texts.contains(line), "\(line)") }
    for line in theirs { #expect(try ReferenceTool.text(FlowParser().flow(line, for: .add).flow) == line) }
  }
}

extension Action {
  /// Whether all OpenFlow versions have it for every match: `ovs-ofctl` refuses lists that no version has.
  var isWithoutVersion: Bool {
    switch self {
    case .popVLAN, .pushVLAN, .modVLANVID, .modVLANPCP, .decrementTTL, .modTTL, .modECN, .modTOS,
      .modIPv4Source,
      .modIPv4Destination, .modTransportSource, .modTransportDestination:
      false
    case .clone(let list), .writeActions(let list): list.allSatisfy(\.isWithoutVersion)
    default: true
    }
  }
}

private struct StrangeNames: PortNames {
  static let names = ["p1", "p-2", "NORMAL", "with space", "quo\"te\\", "7", "größe,x", "new\nline"]

  func number(ofPort name: String) -> PortNumber? {
    Self.names.firstIndex(of: name).map { PortNumber(UInt16($0 + 1)) }
  }
  func name(ofPort number: PortNumber) -> String? {
    number.value >= 1 && number.value <= 8 ? Self.names[Int(number.value) - 1] : nil
  }
}
