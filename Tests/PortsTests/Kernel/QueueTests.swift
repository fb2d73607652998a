import Linux
import Packet
import Testing

@testable import Ports

/// Several receive queues of kernel ports.
@Suite(.enabled(if: isRoot, "needs root: makes network namespaces"))
struct QueueTests {
  private typealias Frames = [(bytes: [UInt8], offload: Offload)]
  private static let queues = 4

  /// Datagrams with partial checksums, each of a flow of its own.
  private static func flows(tags: [UInt8]) -> Frames {
    let offload = Offload(flags: 1, checksumStart: UInt16(34 + tags.count), checksumOffset: 6)
    return (0..<200).map { (datagram(payload: 100, tags: tags, flow: $0), offload) }
  }
  private static let tagged = flows(tags: [0x81, 0, 0x20, 5])
  /// A TAP does not look behind a tag for the flow.
  private static let untagged = flows(tags: [])

  private static func isFlow(_ bytes: [UInt8]) -> Bool {
    bytes.starts(with: tagged[0].bytes.prefix(34)) || bytes.starts(with: untagged[0].bytes.prefix(34))
  }

  private static func configuration(
    _ name: String, _ kind: PortConfiguration.Kind, queues: String? = "4"
  ) -> PortConfiguration {
    PortConfiguration(
      name: name, kind: kind, options: queues.map { ["n_rxq": $0] } ?? [:], runDirectory: "/nowhere")
  }

  private func inside(
    _ setUp: String, _ body: @escaping @Sendable (Checks, NetworkNamespace, EventLoop, Links) throws -> Void
  ) throws {
    let namespace = try NetworkNamespace()
    try namespace.shell("sysctl -qw net.ipv6.conf.default.disable_ipv6=1; \(setUp)")
    let failures = namespace.run { checks in
      let loop = try EventLoop()
      try body(checks, namespace, loop, try Links(loop))
    }
    #expect(failures == [])
  }

  /// Each of `frames` came once, whole, with its offload; and the flows are spread.
  private static func verify(
    _ received: [Frames], _ frames: Frames, _ checks: Checks, line: Int = #line
  ) {
    let all = received.flatMap { $0 }.sorted { $0.bytes.lexicographicallyPrecedes($1.bytes) }
    let counts = received.map(\.count)
    checks.expect(all.map(\.bytes) == frames.map(\.bytes), "\(counts) frames, or others", line: line)
    checks.expect(received.allSatisfy { !$0.isEmpty }, "\(counts) frames", line: line)
    let start = frames[0].offload.checksumStart
    let areMarked = all.allSatisfy {
      $0.offload.needsChecksum && $0.offload.checksumStart == start && $0.offload.checksumOffset == 6
    }
    checks.expect(areMarked, "the checksums' places moved", line: line)
  }

  private static let veth =
    "ip link add left type veth peer name right; ip link set left up; ip link set right up"

  @Test func socketsShareAnInterfacesFramesByFlow() throws {
    try inside(Self.veth) { checks, namespace, loop, links in
      let left = try systemPort("left", links)
      let right = try PacketSocketPort(Self.configuration("right", .system), links: links)
      // A second group on the same interface, as of another program, takes nothing away.
      let other = try PacketSocketPort(Self.configuration("right", .system, queues: "2"), links: links)
      let ports: [any Port] = [left, right, other]
      for port in ports { try port.start(.alone()) }
      defer { for port in ports { port.close() } }
      checks.expect(loop.run(atMost: 5000) { ports.allSatisfy(\.status.linkUp) }, "no carrier")
      checks.expect(right.receiveQueueCount == Self.queues, "\(right.receiveQueueCount)")
      checks.expect(right.status.details["n_rxq"] == "4", "\(right.status)")

      let patch = Patch()
      patch.send(Self.tagged, to: left.io, queue: 5)
      Self.verify(patch.await(200, from: right.io, queues: 4, where: Self.isFlow), Self.tagged, checks)
      Self.verify(patch.await(200, from: other.io, queues: 2, where: Self.isFlow), Self.tagged, checks)

      // What leaves through the interface, from here or from the host, is not received.
      patch.send(Self.tagged, to: right.io, queue: 3)
      checks.expect(patch.await(200, from: left.io, where: Self.isFlow).count == 200, "not all sent")
      let back = patch.await(0, from: right.io, queues: 4, where: Self.isFlow)
      checks.expect(back.allSatisfy(\.isEmpty), "\(back.map(\.count)) came back")

      try namespace.shell("ip link set right down; ip link set right up")
      checks.expect(loop.run(atMost: 5000) { ports.allSatisfy(\.status.linkUp) }, "does not come up")
      patch.send(Self.tagged, to: left.io)
      Self.verify(patch.await(200, from: right.io, queues: 4, where: Self.isFlow), Self.tagged, checks)
    }
  }

  @Test func aTAPSpreadsFlowsOverItsQueues() throws {
    try inside("true") { checks, namespace, loop, links in
      let port = try TAPPort(Self.configuration("tap0", .tap), loop: loop, links: links)
      try port.start(.alone())
      defer { port.close() }
      try namespace.shell("ip link set tap0 up")
      let isUp = loop.run(atMost: 2000) { port.status.linkUp && links.link(named: "tap0")?.isRunning == true }
      checks.expect(isUp, "\(port.status)")
      let observer = try systemPort("tap0", links)
      try observer.start(.alone())
      defer { observer.close() }

      let patch = Patch()
      patch.send(Self.untagged, to: observer.io)
      Self.verify(patch.await(200, from: port.io, queues: 4, where: Self.isFlow), Self.untagged, checks)
      for queue in 0..<6 { patch.send([(numberedFrame(UInt8(queue)), .none)], to: port.io, queue: queue) }
      let sent = patch.await(6, from: observer.io, where: isNumberedFrame)
      checks.expect(sent.map(\.bytes) == (0..<6).map { numberedFrame($0) }, "\(sent.count) frames")

      try namespace.shell("ip link del tap0")
      checks.expect(loop.run(atMost: 2000) { links.link(named: "tap0") != nil }, "not made anew")
      checks.expect(port.status.error == nil && port.receiveQueueCount == 4, "\(port.status)")
    }
  }

  @Test func persistentDevicesKeepTheirKind() throws {
    try inside("ip tuntap add dev many mode tap multi_queue; ip tuntap add dev one mode tap") {
      checks, _, loop, links in
      let many = try TAPPort(Self.configuration("many", .tap), loop: loop, links: links)
      try many.start(.alone())
      many.close()
      let one = try TAPPort(Self.configuration("one", .tap), loop: loop, links: links)
      do {
        try one.start(.alone())
        checks.fail("four queues of a device made for one")
      } catch {
        checks.expect("\(error)".contains("made for one queue; remove options:n_rxq"), "\(error)")
      }
    }
  }

  @Test(arguments: ["0", "17", "-1", "two", "", "99999999999999999999"])
  func badNumbersOfQueuesAreRefused(_ text: String) throws {
    let loop = try EventLoop()
    let links = try Links(loop)
    #expect(throws: PortError("p: options:n_rxq is \(text); give a number of receive queues from 1 to 16")) {
      _ = try PacketSocketPort(Self.configuration("p", .system, queues: text), links: links)
    }
    #expect(throws: PortError.self) {
      _ = try TAPPort(Self.configuration("p", .internal, queues: text), loop: loop, links: links)
    }
  }

  @Test func anotherNumberOfQueuesNeedsAnotherPort() throws {
    try inside(Self.veth) { checks, _, loop, links in
      let system = try systemPort("left", links)
      let tap = try TAPPort(Self.configuration("tap0", .tap, queues: nil), loop: loop, links: links)
      for (name, port) in [("left", system), ("tap0", tap)] as [(String, any Port)] {
        try port.start(.alone())
        let kind: PortConfiguration.Kind = name == "left" ? .system : .tap
        checks.expect(
          try port.reconfigure(Self.configuration(name, kind, queues: "1")), "made anew for nothing")
        checks.expect(try !port.reconfigure(Self.configuration(name, kind, queues: "2")), "in place")
        port.close()
      }
    }
  }
}
