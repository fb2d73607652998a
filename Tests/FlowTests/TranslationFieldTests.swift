import Flow
import Testing

/// Actions that change fields: what is sent, and on which bits that depended.
@Suite struct TranslationFieldTests {
  /// Translates `frame` where the only flow has `actions`.
  private func translate(_ actions: Action..., of frame: FlowWords = Frames.tcp) -> Translation {
    Translator(lookup: ListTables([flow(0, [], actions)])).translate(frame)
  }

  /// What goes out last, as a key.
  private func sent(_ translation: Translation, of frame: FlowWords = Frames.tcp) -> FlowWords? {
    translation.operations.indices.last.flatMap { translation.rewrite($0) }?.applied(to: frame)
  }

  @Test func `A written field is a rewrite of its bits, and its value before does not matter`() {
    let translation = translate(.setField(.ipv4Source, value: 7, mask: 0xFF), .output(PortNumber(2)))
    var expected = Rewrite()
    expected.mask[.ipv4Source] = 0xFF
    expected.value[.ipv4Source] = 7
    #expect(translation.rewrite(0) == expected)
    #expect(translation.mask == mask(.inPort, .ethernetType, .ipProtocol))
    #expect(translation.drop == nil)
  }

  @Test func `Ethernet addresses are written without a look at what follows`() {
    let translation = translate(.modEthernetSource(5), .modEthernetDestination(6), .output(PortNumber(2)))
    #expect(sent(translation)?[.ethernetSource] == 5)
    #expect(sent(translation)?[.ethernetDestination] == 6)
    #expect(translation.mask == mask(.inPort))
  }

  @Test(
    arguments: [
      .modIPv4Source(1), .modIPv4Destination(1), .modTOS(4), .modECN(1), .modTTL(1), .decrementTTL([]),
      .modTransportSource(1), .modTransportDestination(1), .setField(.ipv6Source, value: 1, mask: .max),
      .setField(.tcpSource, value: 1, mask: .max), .load(1, SubField(.icmpType)),
      .move(from: SubField(.ethernetSource, offset: 0, count: 8), to: SubField(.ipTTL)),
    ] as [Action])
  func `What the frame does not have is not written`(action: Action) {
    let translation = translate(action, .output(PortNumber(2)), of: Frames.arp)
    #expect(translation.rewrite(0)?.isNothing == true)
    #expect(translation.mask == mask(.inPort, .ethernetType))
  }

  @Test func `A later fragment has no ports to write`() {
    var fragment = Frames.tcp
    fragment[.ipFragment] = 3
    let translation = translate(.modTransportSource(1), .output(PortNumber(2)), of: fragment)
    #expect(translation.rewrite(0)?.isNothing == true)
    #expect(translation.mask[.ipFragment] == 2)
  }

  @Test func `No flow sees the ports of a fragment`() {
    let tables = ListTables([flow(0, [(.tcpDestination, 80)], [.output(PortNumber(2))])])
    var fragment = Frames.tcp
    #expect(Translator(lookup: tables).translate(fragment).plain == [.output(PortNumber(2))])
    fragment[.ipFragment] = 1
    let translation = Translator(lookup: tables).translate(fragment)
    #expect(translation.drop == .tableMiss)
    #expect(translation.mask[.ipFragment] == 1)
    #expect(translation.mask[.tcpDestination] == 0)
  }

  @Test func `A frame with protocol 0 has no network header to write`() {
    var frame = Frames.tcp
    frame[.ipProtocol] = 0
    let translation = translate(.modIPv4Source(1), .modEthernetSource(5), .output(PortNumber(2)), of: frame)
    #expect(sent(translation, of: frame)?[.ipv4Source] == frame[.ipv4Source])
    #expect(sent(translation, of: frame)?[.ethernetSource] == 5)
  }

  @Test func `mod_nw_tos and nw_tos leave ECN alone`() {
    var frame = Frames.tcp
    frame[.ipTOS] = 0b1010_1011
    let translation = translate(.modTOS(0b1100_0000), .output(PortNumber(2)), of: frame)
    #expect(sent(translation, of: frame)?[.ipTOS] == 0b1100_0011)
    #expect(translation.mask[.ipTOS] == 0)
    let loaded = translate(
      .setField(.ipTOS, value: 0xFF, mask: .max), .modECN(1), .output(PortNumber(2)), of: frame)
    #expect(sent(loaded, of: frame)?[.ipTOS] == 0b1111_1101)
  }

  @Test func `A moved value is read, and then a constant`() {
    let translation = translate(
      .move(
        from: SubField(.ethernetSource, offset: 0, count: 16), to: SubField(.reg0, offset: 16, count: 16)),
      .move(from: SubField(.reg0, offset: 16, count: 16), to: SubField(.tcpSource)), .output(PortNumber(2)))
    #expect(sent(translation)?[.tcpSource] == 0xA)
    var expected = mask(.inPort, .ethernetType, .ipProtocol)
    expected[.ethernetSource] = 0xFFFF
    expected[.ipFragment] = 2
    #expect(translation.mask == expected)
  }

  @Test func `A value that comes back is the frame as received`() {
    let translation = translate(
      .push(SubField(.ethernetSource)), .modEthernetSource(5), .output(PortNumber(2)),
      .pop(SubField(.ethernetSource)), .output(PortNumber(3)))
    #expect(translation.operations.map(\.rewrite) == [1, 0])
  }

  @Test func `Equal forms share a rewrite`() {
    let translation = translate(
      .modTTL(9), .output(PortNumber(2)), .modTTL(8), .output(PortNumber(3)), .modTTL(9),
      .output(PortNumber(4)))
    #expect(translation.operations.map(\.rewrite) == [1, 2, 1])
    #expect(translation.rewrites.count == 3)
  }

  @Test func `dec_ttl reads the whole TTL`() {
    let translation = translate(.decrementTTL([]), .output(PortNumber(2)))
    #expect(sent(translation)?[.ipTTL] == 63)
    #expect(translation.mask == mask(.inPort, .ethernetType, .ipProtocol, .ipTTL))
  }

  @Test(arguments: [0, 1] as [UInt128])
  func `A frame without time to live goes to the controller, and no further in this list`(ttl: UInt128) {
    var frame = Frames.tcp
    frame[.ipTTL] = ttl
    let rules = [
      flow(0, [], [.resubmit(port: nil, table: 1), .output(PortNumber(3))]),
      flow(1, [], [.decrementTTL([7]), .output(PortNumber(2))]),
    ]
    let expired = ControllerOutput(reason: .invalidTTL, controllerID: 7)
    #expect(
      Translator(lookup: ListTables(rules)).translate(frame).plain == [
        .controller(expired), .output(PortNumber(3)),
      ])
    let alone = translate(.decrementTTL([]), .output(PortNumber(2)), of: frame)
    #expect(alone.plain == [.controller(ControllerOutput(reason: .invalidTTL))])
    #expect(alone.drop == .timeToLive)
  }

  @Test func `The stack gives back the last value, and nothing when it is empty`() {
    let translation = translate(
      .push(SubField(.tcpSource)), .push(SubField(.tcpDestination)), .pop(SubField(.tcpSource)),
      .pop(SubField(.tcpDestination)), .pop(SubField(.ipTTL)), .output(PortNumber(2)))
    #expect(sent(translation)?[.tcpSource] == 80)
    #expect(sent(translation)?[.tcpDestination] == 1000)
    #expect(sent(translation)?[.ipTTL] == 64)
  }

  @Test func `Metadata and registers begin as 0 and depend on nothing`() {
    var frame = Frames.tcp
    frame[.reg0] = 5
    frame[.metadata] = 5
    let rules = [
      flow(0, [(.reg0, 0), (.metadata, 0)], [.writeMetadata(value: 0xFF, mask: 0xF), .gotoTable(1)]),
      flow(1, [(.metadata, 0xF)], [.load(2, SubField(.reg3)), .outputField(SubField(.reg3))]),
    ]
    let translation = Translator(lookup: ListTables(rules)).translate(frame)
    #expect(translation.plain == [.output(PortNumber(2))])
    #expect(translation.mask == mask(.inPort))
  }

  @Test func `A write is seen by later tables, which say nothing about the frame then`() {
    let rules = [
      flow(0, [(.ethernetType, 0x0800)], [.modIPv4Source(9), .gotoTable(1)]),
      flow(1, [(.ipv4Source, 9)], [.output(PortNumber(2))]),
    ]
    let translation = Translator(lookup: ListTables(rules)).translate(Frames.tcp)
    #expect(translation.plain == [.output(PortNumber(2))])
    #expect(translation.mask == mask(.inPort, .ethernetType, .ipProtocol))
    #expect(translation.rewritten == Field.ipv4Source.mask)
    #expect(
      translation.tables.contains(0) && translation.tables.contains(1) && !translation.tables.contains(2))
  }
}
