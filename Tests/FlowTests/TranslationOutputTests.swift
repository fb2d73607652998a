import Flow
import Testing

/// Outputs of all kinds, and drops.
@Suite struct TranslationOutputTests {
  private func translate(_ actions: Action..., of frame: FlowWords = Frames.tcp) -> Translation {
    Translator(lookup: ListTables([flow(0, [], actions)])).translate(frame)
  }

  @Test func `Output goes to a port that exists, and is translated anew when it comes or goes`() {
    let translation = translate(.output(PortNumber(2)), .output(PortNumber(9)))
    #expect(translation.plain == [.output(PortNumber(2))])
    #expect(translation.dependencies == Dependency.port(PortNumber(2)) | Dependency.port(PortNumber(9)))
  }

  @Test func `Output goes back to where a frame came from only by IN_PORT`() {
    #expect(translate(.output(PortNumber(1))).plain.isEmpty)
    #expect(translate(.output(PortNumber(1))).drop == .byFlow)
    #expect(translate(.output(.inPort)).plain == [.output(PortNumber(1))])
  }

  @Test func `in_port can be written: the frame then comes from there`() {
    let translation = translate(
      .load(2, SubField(.inPort)), .output(PortNumber(1)), .output(PortNumber(2)), .output(.inPort),
      .output(.flood),
      .output(.normal))
    #expect(
      translation.plain == [
        .output(PortNumber(1)), .output(PortNumber(2)), .flood(PortNumber(2)), .normal(PortNumber(2)),
      ])
    #expect(translation.mask.isZero)
    #expect(translation.rewrites.count == 1)
  }

  @Test func `The reserved ports`() {
    #expect(translate(.output(.normal)).plain == [.normal(PortNumber(1))])
    #expect(translate(.output(.flood)).plain == [.flood(PortNumber(1))])
    #expect(translate(.output(.all)).plain == [.flood(PortNumber(1))])
    #expect(translate(.output(.controller)).plain == [.controller(ControllerOutput())])
    #expect(translate(.output(.none)).drop == .byFlow)
    #expect(translate(.output(.local)).drop == .byFlow)
  }

  @Test func `A frame from no port is flooded to all, and learned from nowhere when its port is unknown`() {
    #expect(translate(.output(.flood), of: key((.inPort, 0xFFFF))).plain == [.flood(nil)])
    #expect(translate(.output(.normal), of: key((.inPort, 0xFFFF))).plain == [.normal(.none)])
    #expect(translate(.output(.normal), of: key((.inPort, 77))).drop == .byFlow)
  }

  @Test func `A field's value is a port`() {
    let translation = translate(
      .outputField(SubField(.tcpDestination, offset: 4, count: 4)),
      of: {
        var frame = Frames.tcp
        frame[.tcpDestination] = 0x23
        return frame
      }())
    #expect(translation.plain == [.output(PortNumber(2))])
    #expect(translation.mask[.tcpDestination] == 0xF0)
    #expect(translate(.load(0x1_0002, SubField(.reg0)), .outputField(SubField(.reg0))).drop == .byFlow)
  }

  @Test func `A meter stands in its place; one that does not exist does nothing`() {
    var tables = ListTables([
      flow(0, [], [.output(PortNumber(2)), .meter(1), .meter(9), .output(PortNumber(3))])
    ])
    tables.meters[1] = Meter(MeterDescription(id: 1), created: 0)
    let translation = Translator(lookup: tables).translate(Frames.tcp)
    #expect(translation.plain == [.output(PortNumber(2)), .meter(1), .output(PortNumber(3))])
    #expect(translation.dependencies & Dependency.meter(9) != 0)
    tables.rules = [flow(0, [], [.meter(1)])]
    #expect(Translator(lookup: tables).translate(Frames.tcp).drop == .byFlow)
  }

  @Test func `A controller is told why`() {
    let rules = [
      flow(
        0, priority: 0, [],
        [.controller(ControllerOutput(controllerID: 3)), .writeActions([.output(.controller)])])
    ]
    #expect(
      Translator(lookup: ListTables(rules)).translate(Frames.tcp).plain == [
        .controller(ControllerOutput(reason: .noMatch, controllerID: 3)),
        .controller(ControllerOutput(reason: .actionSet)),
      ])
  }

  @Test func `A drop has its reason`() {
    #expect(translate().drop == .byFlow)
    #expect(Translator(lookup: ListTables()).translate(Frames.tcp).drop == .tableMiss)
    #expect(translate(.resubmit(port: nil, table: 7)).drop == .tableMiss)
    let rules = [
      flow(0, [], [.resubmit(port: nil, table: 7), .resubmit(port: nil, table: 8)]), flow(8, [], []),
    ]
    #expect(Translator(lookup: ListTables(rules)).translate(Frames.tcp).drop == .byFlow)
  }

  @Test func `Rules and tables are credited in order`() {
    let rules = [
      flow(0, [], [.resubmit(port: nil, table: 1), .resubmit(port: nil, table: 2)]),
      flow(2, [], [.output(PortNumber(2))]),
    ]
    let credits = Translator(lookup: ListTables(rules)).translate(Frames.tcp).credits
    #expect(credits.rules.map(ObjectIdentifier.init) == rules.map(ObjectIdentifier.init))
    #expect(credits.tables.map(\.table) == [0, 1, 2])
    #expect(credits.tables.map(\.matched) == [true, false, true])
  }
}
