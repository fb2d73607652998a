import Flow
import Linux
import Packet
import Ports
import Seeded
import Testing

@testable import Datapath

/// Frames through bridges with flows, by a real poll thread.
@Suite struct FlowForwardingTests {
  private let trunk = VLANConfiguration()
  private let a: UInt64 = 0x0200_0000_000A
  private let b: UInt64 = 0x0200_0000_000B

  /// Ports are numbered 1, 2, 3, …
  private func bench(_ count: Int, _ flows: [FlowDescription], vlans: [VLANConfiguration]? = nil) throws
    -> Bench
  {
    var settings = BridgeSettings()
    settings.startsWithNormal = false
    let bench = try Bench(vlans ?? [VLANConfiguration](repeating: trunk, count: count), settings: settings)
    try bench.pipeline.apply(flows.map { FlowModification(.add, $0) })
    return bench
  }

  private func flow(
    priority: UInt16 = 100, table: UInt8 = 0, _ fields: [(Field, UInt128)] = [], _ actions: [Action]
  ) -> FlowDescription {
    var match = Match()
    for (field, value) in fields { match.set(field, value) }
    return FlowDescription(table: table, priority: priority, match: match, actions: actions)
  }

  @Test func `A port's frames go where a flow sends them, whatever their addresses`() throws {
    let bench = try bench(3, [flow([(.inPort, 1)], [.output(PortNumber(2))])])
    for number in 0..<40 {
      let bytes = frame(to: b &+ UInt64(number), from: a)
      bench.send(bytes, at: 0)
      #expect(bench.received(at: 1) == [bytes])
      #expect(bench.received(at: 2).isEmpty)
    }
    bench.send(frame(to: a, from: b), at: 2)
    #expect(bench.received(at: 0).isEmpty && bench.received(at: 1).isEmpty)
    #expect(bench.statistics(2)[.tableMiss] == 1)
  }

  @Test func `A bridge without flows drops everything, by name`() throws {
    let bench = try bench(2, [])
    bench.send(frame(to: b, from: a), at: 0)
    #expect(bench.received(at: 1).isEmpty)
    #expect(bench.statistics(0)[.tableMiss] == 1)
    #expect(bench.datapath.learnedAddresses(of: bench.bridge).isEmpty)
  }

  @Test func `Drops are counted by what dropped`() throws {
    let meter = MeterDescription(id: 1, unit: .packetsPerSecond, bands: [.init(rate: 1)])
    let bench = try bench(
      2,
      [
        flow([(.ethernetDestination, UInt128(a))], []),
        flow([(.ethernetDestination, UInt128(b))], [.output(PortNumber(9))]),
        flow([(.ethernetDestination, 0x0200_0000_0001)], [.controller(ControllerOutput())]),
        flow([(.ethernetDestination, 0x0200_0000_0002)], [.resubmit(port: nil, table: 0)]),
      ])
    try bench.pipeline.addMeter(meter)
    try bench.pipeline.apply([
      FlowModification(
        .add, flow([(.ethernetDestination, 0x0200_0000_0003)], [.meter(1), .output(PortNumber(2))]))
    ])
    for destination in [a, b, 0x0200_0000_0001, 0x0200_0000_0002, 0x0200_0000_0004] {
      bench.send(frame(to: destination, from: 0x0200_0000_0099), at: 0)
    }
    for _ in 0..<3 { bench.send(frame(to: 0x0200_0000_0003, from: 0x0200_0000_0099), at: 0) }
    let counted = bench.statistics(0)
    #expect(counted[.flow] + counted[.noOutput] == 2)
    #expect(counted[.noController] == 1)
    #expect(counted[.pipelineError] == 1)
    #expect(counted[.tableMiss] == 1)
    #expect(counted[.meter] == 2)
    #expect(bench.received(at: 1).count == 1)
    #expect(counted[.receivedFrames] == counted.receiveDrops + 1)
  }

  @Test func `NORMAL among other flows learns, and knows VLANs`() throws {
    let access = VLANConfiguration(tag: 5)
    let bench = try bench(
      3, [flow(priority: 1, [], [.output(.normal)]), flow([(.ethernetType, 0x88B6)], [])],
      vlans: [access, trunk, access])
    bench.send(frame(to: b, from: a), at: 0)
    #expect(bench.received(at: 1) == [frame(to: b, from: a, tag: 5)])
    #expect(bench.received(at: 2) == [frame(to: b, from: a)])
    bench.send(frame(to: a, from: b), at: 2)
    #expect(bench.received(at: 0) == [frame(to: a, from: b)])
    #expect(bench.received(at: 1).isEmpty)
    bench.send(frame(to: a, from: b, type: 0x88B6), at: 2)
    #expect(bench.received(at: 0).isEmpty)
    #expect(bench.statistics(2)[.flow] == 1)
  }

  @Test func `NORMAL leaves a tag of VLAN 0 on what other actions send`() throws {
    let bench = try bench(
      4,
      [flow([(.inPort, 1)], [.pushVLAN(0x8100), .output(PortNumber(2)), .output(.normal), .output(.inPort)])])
    bench.send(frame(to: b, from: a), at: 0)
    #expect(bench.received(at: 0) == [frame(to: b, from: a, tag: 0)])
    #expect(bench.received(at: 1) == [frame(to: b, from: a, tag: 0), frame(to: b, from: a)])
    #expect(bench.received(at: 2) == [frame(to: b, from: a)])
  }

  @Test func `NORMAL for one port after another's is in the VLAN of its own`() throws {
    func enter(_ port: UInt128) -> Action { .setField(.inPort, value: port, mask: 0xFFFF) }
    let bench = try bench(
      4, [flow([(.inPort, 1)], [enter(2), .output(.normal), enter(3), .output(.normal)])],
      vlans: [trunk, VLANConfiguration(tag: 5), VLANConfiguration(tag: 6), trunk])
    bench.send(frame(to: b, from: a), at: 0)
    #expect(bench.received(at: 3) == [frame(to: b, from: a, tag: 5), frame(to: b, from: a, tag: 6)])
  }

  @Test func `What a flow changes is in the frames behind it, not in those before`() throws {
    let rewritten = UInt64(0x0200_0000_00CC)
    let bench = try bench(
      5,
      [
        flow(
          [(.inPort, 1)],
          [
            .output(PortNumber(2)), .modEthernetSource(rewritten), .output(PortNumber(3)), .pushVLAN(0x8100),
            .setField(.vlanVID, value: 0x1000 | 7, mask: 0x1FFF), .output(PortNumber(4)), .popVLAN,
            .output(PortNumber(5)),
          ])
      ])
    bench.send(frame(to: b, from: a), at: 0)
    #expect(bench.received(at: 1) == [frame(to: b, from: a)])
    #expect(bench.received(at: 2) == [frame(to: b, from: rewritten)])
    #expect(bench.received(at: 3) == [frame(to: b, from: rewritten, tag: 7)])
    #expect(bench.received(at: 4) == [frame(to: b, from: rewritten)])
  }

  @Test func `More forms than a frame has places for come out right, and in order`() throws {
    let count = 9
    let actions: [Action] = (0..<count).flatMap { number -> [Action] in
      [.modEthernetSource(0x0200_0000_0100 + UInt64(number)), .output(PortNumber(2))]
    }
    let bench = try bench(2, [flow([(.inPort, 1)], actions)])
    for _ in 0..<3 { bench.send(frame(to: b, from: a), at: 0) }
    let expected = (0..<count).map { frame(to: b, from: 0x0200_0000_0100 + UInt64($0)) }
    #expect(bench.received(at: 1) == expected + expected + expected)
  }

  @Test func `A change of flows holds for the next frame`() throws {
    let bench = try bench(4, [])
    var random = SeededRandom(seed: 4)
    var wanted: [UInt64: Int] = [:]
    for round in 0..<600 {
      let address = 0x0200_0000_0000 + UInt64.random(in: 0..<6, using: &random)
      let match = [(Field.ethernetDestination, UInt128(address))]
      if wanted[address] != nil && Bool.random(using: &random) {
        wanted[address] = nil
        try bench.pipeline.apply([FlowModification(.deleteStrict, flow(match, []))])
      } else {
        let port = Int.random(in: 1...3, using: &random)
        wanted[address] = port
        try bench.pipeline.apply([
          FlowModification(.add, flow(match, [.output(PortNumber(UInt16(port + 1)))]))
        ])
      }
      for address in (0..<6).map({ 0x0200_0000_0000 + UInt64($0) }) {
        bench.send(frame(to: address, from: a), at: 0)
        for port in 1...3 {
          #expect(
            bench.received(at: port).count == (wanted[address] == port ? 1 : 0),
            "round \(round), port \(port)")
        }
      }
    }
  }

  @Test(arguments: [1, 2])
  func `Flows change under full traffic, and no frame is lost to that`(threads: Int) throws {
    var settings = BridgeSettings()
    settings.startsWithNormal = false
    let bench = try Bench(
      [VLANConfiguration](repeating: trunk, count: 4), settings: settings, cpus: Array(0..<threads))
    func send(to port: UInt16, by round: Int) throws {
      let other = [(Field.ethernetType, UInt128(round % 2 == 0 ? 0x88B5 : 0x88B7))]
      try bench.pipeline.apply(
        [
          FlowModification(.add, flow([(.inPort, 1)], [.gotoTable(1)])),
          FlowModification(.add, flow([(.inPort, 2)], [.gotoTable(1)])),
          FlowModification(.deleteStrict, flow(priority: 7, table: 1, other, [])),
          FlowModification(.add, flow(table: 1, [], [.output(PortNumber(port))])),
          FlowModification(.add, flow(priority: 7, table: 1, other, [.output(PortNumber(7 - port))])),
        ], atomically: true)
    }
    try send(to: 3, by: 0)
    let total = 6000
    var sent = 0
    var received = 0
    var round = 0
    while received < total {
      for _ in 0..<32 where sent < total && sent - received < 3000 {
        let bytes = frame(
          to: b, from: a, type: sent % 3 == 0 ? 0x88B7 : 0x88B5, payload: [UInt8(sent & 0xFF)])
        #expect(bench.ports[sent % 2].port.send(bytes))
        sent += 1
      }
      round += 1
      try send(to: round % 2 == 0 ? 3 : 4, by: round)
      received += bench.received(at: 2).count + bench.received(at: 3).count
    }
    for index in 0..<2 { #expect(bench.statistics(index).receiveDrops == 0) }
    #expect(round > 10)
  }

  @Test func `Ports that come and go under a number are found there`() throws {
    let bench = try bench(2, [flow([(.inPort, 1)], [.output(PortNumber(7))])])
    bench.send(frame(to: b, from: a), at: 0)
    for _ in 0..<20 {
      let port = MemoryPort(name: "late", capacity: 16, accepts: .all)
      let id = try bench.datapath.addPort(port, to: bench.bridge, number: 7)
      bench.send(frame(to: b, from: a), at: 0)
      #expect(port.next()?.bytes == frame(to: b, from: a))
      bench.datapath.setNumber(8, of: id)
      bench.send(frame(to: b, from: a), at: 0)
      #expect(port.next() == nil)
      bench.datapath.setNumber(7, of: id)
      bench.send(frame(to: b, from: a), at: 0)
      #expect(port.next() != nil)
      bench.datapath.removePort(id)
      bench.send(frame(to: b, from: a), at: 0)
    }
    #expect(bench.received(at: 1).isEmpty)
  }

  @Test func `Frames are counted on their flows`() throws {
    let bench = try bench(
      2,
      [
        flow([(.inPort, 1)], [.gotoTable(3)]),
        flow(table: 3, [(.ethernetType, 0x88B5)], [.output(PortNumber(2))]),
      ])
    for _ in 0..<50 { bench.send(frame(to: b, from: a), at: 0) }
    let bytes = UInt64(50 * frame(to: b, from: a).count)
    // The thread goes to sleep, or a quarter of a second passes.
    while bench.pipeline.flows().contains(where: { $0.counters.packets < 50 }) {}
    for rule in bench.pipeline.flows() {
      #expect(rule.counters.packets == 50)
      #expect(rule.counters.bytes == bytes)
      #expect(rule.counters.lastUsed >= rule.created)
    }
  }

  @Test func `Row 26: more masks than there is room for are decided right, and bounded`() throws {
    // Each address has a mask of its own, and so has each decision: far more than the cache keeps.
    let flows = (0..<46).flatMap { bit in
      (0..<8).map { port in
        var match = Match()
        let mask = UInt128(1) << UInt128(bit) | UInt128(1) << 46
        match.set(.ethernetDestination, mask, mask: mask)
        match.set(.ethernetSource, UInt128(1) << UInt128(port + 8), mask: 1 << UInt128(port + 8))
        return FlowDescription(
          priority: UInt16(bit * 8 + port), match: match,
          actions: [.output(PortNumber(UInt16(2 + (bit + port) % 2)))])
      }
    }
    let bench = try bench(3, flows)
    var random = SeededRandom(seed: 9)
    for _ in 0..<2000 {
      let to =
        UInt64(1) << 46 | UInt64.random(in: 0..<1 << 40, using: &random)
        & .random(in: 0..<1 << 40, using: &random)
      let from = UInt64(0x0200_0000_0000) | UInt64.random(in: 0..<1 << 16, using: &random)
      let bytes = frame(to: to, from: from)
      let key = FlowFrame.key(of: bytes, inPort: PortNumber(1))
      let expected = flows.filter { $0.match.matches(key) }.max { $0.priority < $1.priority }?.actions
      bench.send(bytes, at: 0)
      #expect(bench.received(at: 1).count == (expected == [.output(PortNumber(2))] ? 1 : 0))
      #expect(bench.received(at: 2).count == (expected == [.output(PortNumber(3))] ? 1 : 0))
    }
    // Sleeping, the thread says what it has.
    while bench.datapath.pollThreadStatistics()[0].flowCache.misses < 128 {}
    #expect(bench.datapath.pollThreadStatistics()[0].flowCache.masks <= UInt64(FlowCache.maskCapacity))
  }

  @Test func `Headers nobody looks to the end of cannot slip past a flow`() throws {
    let bench = try bench(
      2,
      [
        flow([(.ethernetType, 0x86DD), (.ipProtocol, 17)], []),
        flow(priority: 1, [], [.output(PortNumber(2))]),
      ])
    func packet(options: Int) -> [UInt8] {
      let datagram: [UInt8] = [0, 9, 0, 9, 0, 8, 0, 0]
      let length = 8 * options + datagram.count
      var bytes: [UInt8] = [
        0x60, 0, 0, 0, UInt8(length >> 8), UInt8(length & 0xFF), options == 0 ? 17 : 60, 64,
      ]
      bytes += [UInt8](repeating: 1, count: 32)
      for option in 0..<options { bytes += [option == options - 1 ? 17 : 60, 0, 1, 4, 0, 0, 0, 0] }
      return bytes + datagram
    }
    for options in [0, 1, 22, 23, 24, 25, 40, 150] {
      bench.send(frame(to: b, from: a, type: 0x86DD, payload: packet(options: options)), at: 0)
      #expect(bench.received(at: 1).isEmpty, "\(options) options")
    }
    let counted = bench.statistics(0)
    #expect(counted[.flow] + counted[.headersTooLong] == 8)
    #expect(counted[.flow] >= 3 && counted[.headersTooLong] >= 2)
  }

  @Test func `What the cache holds can be seen`() throws {
    let bench = try bench(
      2, [flow([(.ethernetDestination, UInt128(b))], [.output(PortNumber(2))]), flow(priority: 1, [], [])])
    for _ in 0..<5 { bench.send(frame(to: b, from: a), at: 0) }
    bench.send(frame(to: a, from: b), at: 0)
    func cache() -> FlowCacheStatistics { bench.datapath.pollThreadStatistics()[0].flowCache }
    while cache().entries < 2 {}
    #expect(cache().misses == 2)
    #expect(cache().masks >= 1)
    try bench.pipeline.apply([FlowModification(.add, flow(table: 9, [], []))])
    bench.send(frame(to: b, from: a), at: 0)
    while cache().renewals == 0 {}
    // Nobody looks at table 9: the decision stands.
    #expect(cache().misses == 2)
  }

  @Test func `A learned flow takes over, is refreshed by traffic, and goes when it ends`() throws {
    var learn = LearnAction()
    learn.table = 1
    learn.hardTimeout = 1
    learn.items = [
      .match(SubField(.ethernetDestination), .field(SubField(.ethernetSource))),
      .output(SubField(.inPort)),
    ]
    let bench = try bench(
      3,
      [
        flow([(.inPort, 1)], [.learn(learn), .resubmit(port: nil, table: 1)]),
        flow([(.inPort, 2)], [.resubmit(port: nil, table: 1)]),
      ])
    bench.send(frame(to: b, from: a), at: 0)
    bench.turnUntil { bench.pipeline.flows().count == 3 }
    bench.send(frame(to: a, from: b), at: 1)
    #expect(bench.received(at: 0) == [frame(to: a, from: b)])
    bench.turnUntil { bench.pipeline.flows().count == 2 }
    bench.send(frame(to: a, from: b), at: 1)
    #expect(bench.received(at: 0).isEmpty)
  }
}

extension Bench {
  var pipeline: FlowPipeline { datapath.flows(of: bridge)! }

  /// Runs the control thread's loop until `condition` holds.
  func turnUntil(_ condition: () -> Bool) {
    let deadline = monotonicNanoseconds() + 20_000_000_000
    while !condition() {
      precondition(monotonicNanoseconds() < deadline, "it did not come about within 20 s")
      loop.turn(atMostMilliseconds: 20)
    }
  }
}
