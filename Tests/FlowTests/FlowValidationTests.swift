import Testing

@testable import Flow

/// Which flows are refused: as `ovs-ofctl add-flow` and `ovs-vswitchd` 3.1 do, where nothing else is said.
@Suite struct FlowValidationTests {
  private static let register = SubField(.reg0)
  private static let half = SubField(.reg0, count: 16)
  private static let source = SubField(.ipv4Source)
  private static let tagged = Match.of((.vlanTCI, 0x1003))

  private static func learn(_ items: LearnAction.Item...) -> Action {
    var learn = LearnAction()
    learn.items = items
    return .learn(learn)
  }

  private static func set(_ field: Field, _ value: UInt128 = 1) -> Action {
    .setField(field, value: value, mask: .max)
  }

  private static let output = Action.output(PortNumber(1))

  static let accepted: [(Match, [Action])] = [
    (.ip, [set(.ipv4Source)]),
    (.tcp, [set(.tcpDestination)]),
    (Match(), [.modIPv4Source(1), .modTransportDestination(1), .modTOS(4), .modTTL(1), .decrementTTL([])]),
    (Match(), [.pushVLAN(0x8100), set(.vlanVID, 0x1005)]),
    (tagged, [set(.vlanVID, 0x1005), set(.vlanPCP)]),
    (Match(), [.modVLANVID(3), set(.vlanPCP)]),
    (Match(), [set(.vlanTCI, 0x1005), set(.vlanPCP)]),
    (Match(), [.popVLAN, .popVLAN]),
    (Match(), [.move(from: half, to: SubField(.vlanTCI)), .pop(SubField(.vlanVID))]),
    (Match(), [.move(from: SubField(.reg0, count: 13), to: SubField(.vlanVID))]),
    (Match(), [.pushVLAN(0x8100), .pushVLAN(0x88A8), .popVLAN, set(.vlanPCP)]),
    (tagged, [.pushVLAN(0x8100), .popVLAN, set(.vlanPCP)]),
    (Match(), [.move(from: SubField(.reg0, count: 12), to: SubField(.vlanVID, count: 12))]),
    (.ip, [.pushVLAN(0x88A8), set(.ipv4Source)]),
    (.ip, [.move(from: source, to: register)]),
    (Match(), [.move(from: SubField(.ethernetType), to: half), .move(from: half, to: SubField(.inPort))]),
    (Match(), [.push(register), .pop(register), .outputField(half)]),
    (Match(), [.output(.table), .output(.controller), .output(.inPort), .output(PortNumber(0xFEFF))]),
    (Match(), [.gotoTable(1)]),
    (Match(), [.writeActions([output, .controller(ControllerOutput()), .load(1, register)])]),
    (Match(), [.writeActions([.resubmit(port: nil, table: 2), .modIPv4Source(1)])]),
    (Match(), [.clone([.conjunction(id: 1, clause: 1, clauses: 2)])]),
    (
      Match(),
      [.conjunction(id: 1, clause: 1, clauses: 2), .note([0]), .conjunction(id: 2, clause: 64, clauses: 64)]
    ),
    (
      .ip,
      [
        learn(
          .match(SubField(.ethernetType), .immediate(0x800)), .match(source, .field(source)),
          .load(source, .field(source)), .load(register, .field(source)), .output(SubField(.inPort)))
      ]
    ),
    (.of((.ethernetType, 0x86DD), (.ipProtocol, 58), (.icmpv6Type, 135)), [set(.ndTarget)]),
    (
      Match(),
      [output, .clearActions, .writeActions([output]), .writeMetadata(value: 1, mask: 1), .gotoTable(9)]
    ),
    (Match(), [.exit, output]),
  ]

  @Test(arguments: accepted.indices)
  func `Actions that make sense are accepted`(index: Int) throws {
    let (match, actions) = Self.accepted[index]
    let fixture = PipelineFixture()
    try fixture.add(FlowDescription(match: match, actions: actions))
    #expect(fixture.pipeline.flows().map(\.actions) == [actions])
  }

  static let refused: [(Match, [Action])] = [
    (Match(), [set(.ipv4Source)]),
    (.ip, [set(.tcpDestination)]),
    (.of((.ethernetType, 0x800), (.ipProtocol, 6), (.ipFragment, 3)), [set(.tcpDestination)]),
    (.of((.ethernetType, 0x800), (.ipProtocol, 17)), [set(.tcpDestination)]),
    (Match(), [.load(1, source)]),
    (Match(), [.setField(.reg0, value: 0, mask: 0)]),
    (Match(), [set(.vlanVID, 0x1005)]),
    (Match(), [set(.vlanPCP)]),
    (tagged, [.popVLAN, set(.vlanPCP)]),
    (tagged, [set(.vlanTCI, 0), set(.vlanPCP)]),
    (tagged, [.load(5, SubField(.vlanTCI, count: 12)), set(.vlanPCP)]),
    (Match(), [.pushVLAN(0x8100), .pushVLAN(0x8100), .popVLAN, .popVLAN, set(.vlanPCP)]),
    (Match(), [.move(from: half, to: SubField(.vlanTCI)), set(.vlanPCP)]),
    (Match(), [.clone([.pushVLAN(0x8100)]), set(.vlanPCP)]),
    (Match(), [.pushVLAN(0x1234)]),
    (Match(), [.pushVLAN(0x8100), .pushVLAN(0x8100), .pushVLAN(0x8100)]),
    (tagged, [.pushVLAN(0x8100), .pushVLAN(0x8100)]),
    (Match(), [.move(from: source, to: register)]),
    (Match(), [.move(from: register, to: source)]),
    (Match(), [.move(from: half, to: SubField(.ethernetType))]),
    (Match(), [.move(from: half, to: register)]),
    (Match(), [.push(source)]),
    (Match(), [.pop(source)]),
    (Match(), [.outputField(SubField(.ipv4Source, count: 16))]),
    (Match(), [.output(.none)]),
    (Match(), [.output(PortNumber(0xFF00))]),
    (Match(), [.gotoTable(0)]),
    (Match(), [.gotoTable(255)]),
    (Match(), [.group(5)]),
    (Match(), [.meter(5)]),
    (Match(), [.writeActions([.group(5)])]),
    (Match(), [.writeActions([learn()])]),
    (Match(), [.writeActions([.exit])]),
    (Match(), [.writeActions([.clone([output])])]),
    (Match(), [.writeActions([.push(register)])]),
    (Match(), [.writeActions([set(.ipv4Source)])]),
    (Match(), [.writeActions([.gotoTable(3)])]),
    (Match(), [.clone([.gotoTable(3)])]),
    (Match(), [.clone([.writeActions([output])])]),
    (Match(), [.clone([set(.ipv4Source)])]),
    (Match(), [.conjunction(id: 1, clause: 1, clauses: 2), output]),
    (Match(), [.conjunction(id: 1, clause: 3, clauses: 2)]),
    (Match(), [.conjunction(id: 1, clause: 1, clauses: 1)]),
    (Match(), [.conjunction(id: 1, clause: 1, clauses: 65)]),
    (Match(), [.conjunction(id: 1, clause: 0, clauses: 2)]),
    (Match(), [learn(.match(source, .field(source)))]),
    (.ip, [learn(.match(source, .field(source)))]),
    (
      .ip,
      [
        learn(
          .match(SubField(.ethernetType), .field(SubField(.ethernetType))), .match(source, .field(source)))
      ]
    ),
    (.ip, [learn(.load(source, .field(source)))]),
    (Match(), [learn(.load(register, .field(source)))]),
    (Match(), [learn(.load(source, .immediate(1)))]),
    (Match(), [learn(.load(SubField(.ethernetType), .immediate(0x800)))]),
    (Match(), [learn(.load(half, .field(register)))]),
    (Match(), [learn(.output(SubField(.ipv4Source, count: 16)))]),
    (.of((.ethernetType, 0x86DD), (.ipProtocol, 58)), [set(.ndTarget)]),
    (
      .of((.ethernetType, 0x86DD), (.ipProtocol, 58), (.icmpv6Type, 136), (.icmpv6Code, 0)),
      [set(.ndSourceMAC)]
    ),
    (.tcp, [.load(1, SubField(.tcpFlags))]),
    (Match(), [.gotoTable(3), output]),
    (Match(), [.writeActions([output]), .clearActions]),
    (Match(), [output, .meter(1)]),
    (Match(), [.gotoTable(3), .gotoTable(4)]),
  ]

  @Test(arguments: refused.indices)
  func `Actions that make no sense are refused`(index: Int) throws {
    let (match, actions) = Self.refused[index]
    let fixture = PipelineFixture()
    try fixture.add(FlowDescription(priority: 7, match: match))
    #expect(throws: FlowError.self) { try fixture.add(FlowDescription(match: match, actions: actions)) }
    // Nor can they come with a modification.
    let modification = FlowModification(.modify, FlowDescription(match: match, actions: actions))
    #expect(throws: FlowError.self) { try fixture.pipeline.apply([modification]) }
    #expect(fixture.pipeline.flows().map(\.actions) == [[]])
    fixture.expectSidesAlike()
  }

  @Test func `A modification of all tables may not jump back in any of them`() throws {
    let fixture = PipelineFixture()
    try fixture.add(FlowDescription(table: 1))
    try fixture.add(FlowDescription(table: 5))
    var modification = FlowModification(.modify, FlowDescription(actions: [.gotoTable(5)]))
    modification.table = nil
    #expect(throws: FlowError.self) { try fixture.pipeline.apply([modification]) }
    #expect(fixture.pipeline.flows().allSatisfy { $0.actions.isEmpty })
    modification.flow.actions = [.gotoTable(6)]
    try fixture.pipeline.apply([modification])
    #expect(fixture.pipeline.flows().map(\.actions) == [[.gotoTable(6)], [.gotoTable(6)]])
  }

  @Test func `Actions nested without end are refused`() throws {
    let fixture = PipelineFixture()
    var actions = [Self.output]
    for _ in 0..<32 { actions = [.clone(actions)] }
    try fixture.add(FlowDescription(actions: actions))
    #expect(throws: FlowError.self) { try fixture.add(FlowDescription(actions: [.clone(actions)])) }
    let bucket = GroupDescription.Bucket(id: 0, actions: [.clone(actions)])
    #expect(throws: FlowError.self) {
      try fixture.pipeline.addGroup(GroupDescription(id: 1, kind: .all, buckets: [bucket]))
    }
  }

  @Test func `An error says what is there, and what to do`() {
    let fixture = PipelineFixture()
    #expect(throws: FlowError("set_field: ip_src is only there in frames that match ip", index: 0)) {
      try fixture.add(FlowDescription(actions: [Self.set(.ipv4Source)]))
    }
    #expect(throws: FlowError("There is no meter 3; add it first", index: 0)) {
      try fixture.add(FlowDescription(actions: [.meter(3)]))
    }
  }
}
