import Flow
import Seeded
import Testing

/// Groups, and which of their buckets is taken.
@Suite struct TranslationGroupTests {
  private typealias Bucket = GroupDescription.Bucket

  private func out(_ port: UInt16) -> Action { .output(PortNumber(port)) }
  private func sent(_ ports: UInt16...) -> [PlainOperation] { ports.map { .output(PortNumber($0)) } }

  private func group(
    _ id: UInt32 = 1, _ kind: GroupDescription.Kind, _ buckets: [Bucket], method: String = "",
    fields: [SubField] = []
  ) -> Group {
    Group(
      GroupDescription(
        id: id, kind: kind, buckets: buckets, selectionMethod: method, selectionFields: fields), created: 0)
  }

  /// Bridges where all goes to group 1 and then to port 4.
  private func tables(_ groups: Group...) -> ListTables {
    ListTables([flow(0, [], [.group(1), out(4)])], groups: groups)
  }

  @Test func `Every bucket of an all group has the frame as it was`() {
    let group = group(
      1, .all,
      [
        Bucket(id: 0, actions: [.modTTL(9), out(2)]), Bucket(id: 1, actions: [out(3)]),
        Bucket(id: 2, actions: [.modTTL(8)]),
      ])
    let translation = Translator(lookup: tables(group)).translate(Frames.tcp)
    #expect(translation.plain == sent(2, 3, 4))
    #expect(translation.operations.map(\.rewrite) == [1, 0, 0])
    #expect(translation.dependencies & Dependency.group(1) != 0)
    #expect(
      translation.credits.counters.map(ObjectIdentifier.init)
        == ([group.counters] + group.bucketCounters).map(ObjectIdentifier.init))
  }

  @Test func `Exit ends its bucket only`() {
    var tables = tables(
      group(
        1, .all, [Bucket(id: 0, actions: [.resubmit(port: nil, table: 1)]), Bucket(id: 1, actions: [out(3)])])
    )
    tables.rules.append(flow(1, [], [out(2), .exit, out(1)]))
    #expect(Translator(lookup: tables).translate(Frames.tcp).plain == sent(2, 3, 4))
  }

  @Test func `A bucket is a set of actions`() {
    let translation = Translator(
      lookup: tables(
        group(
          1, .indirect, [Bucket(id: 0, actions: [out(2), .output(.controller), out(3), .pushVLAN(0x8100)])]))
    ).translate(Frames.tcp)
    #expect(translation.plain == sent(3, 4))
    #expect(translation.rewrite(0)?.pushedTags == [0x8100_0000])
  }

  @Test func `A group that does not exist ends its list`() {
    let translation = Translator(lookup: tables()).translate(Frames.tcp)
    #expect(translation.plain.isEmpty)
    #expect(translation.dependencies & Dependency.group(1) != 0)
  }

  @Test func `Of a fast_failover group the first live bucket is taken`() {
    var tables = tables(
      group(
        1, .fastFailover,
        [
          Bucket(id: 0, watchPort: PortNumber(2), actions: [out(2)]),
          Bucket(id: 1, watchGroup: 2, actions: [.group(2)]),
          Bucket(id: 2, watchPort: PortNumber(1), actions: [.output(.inPort)]),
        ]), group(2, .fastFailover, [Bucket(id: 0, watchPort: PortNumber(3), actions: [out(3)])]))
    #expect(Translator(lookup: tables).translate(Frames.tcp).plain == sent(2, 4))
    tables.ports[PortNumber(2)] = FlowPort(isLive: false)
    #expect(Translator(lookup: tables).translate(Frames.tcp).plain == sent(3, 4))
    tables.ports[PortNumber(3)] = nil
    let translation = Translator(lookup: tables).translate(Frames.tcp)
    #expect(translation.plain == sent(1, 4))
    for port in 1...3 as ClosedRange<UInt16> {
      #expect(translation.dependencies & Dependency.port(PortNumber(port)) != 0)
    }
    tables.ports[PortNumber(1)] = FlowPort(isLive: false)
    #expect(Translator(lookup: tables).translate(Frames.tcp).plain == sent(4))
  }

  /// How often each bucket is taken by frames of 4,000 connections.
  private func spread(_ tables: ListTables) -> [PortNumber: Int] {
    var random = SeededRandom(seed: 1)
    var counts: [PortNumber: Int] = [:]
    for _ in 0..<4000 {
      var frame = Frames.tcp
      frame[.tcpSource] = UInt128(random.next() & 0xFFFF)
      frame[.ipv4Source] = UInt128(random.next() & 0xFF)
      guard case .output(let port) = Translator(lookup: tables).translate(frame).plain.first else { continue }
      counts[port, default: 0] += 1
    }
    return counts
  }

  @Test func `A select group honours weights, and leaves frames of live buckets where they are`() {
    let buckets = [
      Bucket(id: 0, weight: 1, watchPort: PortNumber(1), actions: [.output(.inPort)]),
      Bucket(id: 1, weight: 3, watchPort: PortNumber(2), actions: [out(2)]),
      Bucket(id: 2, weight: 0, watchPort: PortNumber(4), actions: [out(4)]),
      Bucket(id: 3, weight: 4, watchPort: PortNumber(3), actions: [out(3)]),
    ]
    var tables = ListTables([flow(0, [], [.group(1)])], groups: [group(1, .select, buckets)])
    let before = spread(tables)
    #expect(abs(before[PortNumber(1), default: 0] - 500) < 120)
    #expect(abs(before[PortNumber(2), default: 0] - 1500) < 150)
    #expect(abs(before[PortNumber(3), default: 0] - 2000) < 150)
    #expect(before[PortNumber(4)] == nil)
    let frames = (0..<200).map { Frames.tagged(Frames.tcp, 0x8100_0000 | UInt32($0)) }
    let places = frames.map { Translator(lookup: tables).translate($0).plain }
    tables.ports[PortNumber(3)] = FlowPort(isLive: false)
    let after = spread(tables)
    #expect(after[PortNumber(3)] == nil)
    #expect(abs(after[PortNumber(1), default: 0] - 1000) < 150)
    for (frame, place) in zip(frames, places) where place != sent(3) {
      #expect(Translator(lookup: tables).translate(frame).plain == place)
    }
  }

  @Test func `Both directions of a connection select the same bucket`() {
    let group = group(1, .select, (0..<8).map { Bucket(id: $0, actions: [out(2)]) })
    let translator = Translator(lookup: tables(group))
    func choice(_ frame: FlowWords) -> Int? {
      let credited = translator.translate(frame).credits.counters
      return group.bucketCounters.firstIndex { counter in credited.contains { $0 === counter } }
    }
    var random = SeededRandom(seed: 2)
    var seen: Set<Int?> = []
    for _ in 0..<100 {
      var there = Frames.tcp
      (there[.tcpSource], there[.ipv4Source]) = (
        UInt128(random.next() & 0xFFFF), UInt128(random.next() & 0xFF)
      )
      var back = there
      for (one, other) in [
        (Field.ethernetSource, Field.ethernetDestination), (.ipv4Source, .ipv4Destination),
        (.tcpSource, .tcpDestination),
      ] {
        (back[one], back[other]) = (there[other], there[one])
      }
      #expect(choice(there) == choice(back))
      seen.insert(choice(there))
    }
    #expect(seen == Set((0..<8).map(Optional.init)))
  }

  @Test func `A hash depends on the fields it is of, where the frame has them`() {
    let buckets = [Bucket(id: 0, actions: [out(2)]), Bucket(id: 1, actions: [out(2)])]
    let fields = [SubField(.ipv4Source, offset: 8, count: 24), SubField(.udpSource)]
    let some = Translator(lookup: tables(group(1, .select, buckets, method: "hash", fields: fields)))
      .translate(Frames.tcp)
    var expected = mask(.inPort, .ethernetType, .ipProtocol)
    expected[.ipv4Source] = 0xFFFF_FF00
    #expect(some.mask == expected)
    let all = Translator(lookup: tables(group(1, .select, buckets))).translate(Frames.tcp)
    expected =
      mask(
        .inPort, .ethernetType, .ipProtocol, .ethernetSource, .ethernetDestination, .ipv4Source,
        .ipv4Destination,
        .tcpSource, .tcpDestination)
    expected[.ipFragment] = 3
    expected[FlowWord.tags] = 0x1FFF_0000_1FFF
    #expect(all.mask == expected)
  }
}
