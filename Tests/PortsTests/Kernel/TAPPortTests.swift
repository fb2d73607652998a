import Glibc
import Linux
import Packet
import Synchronization
import Testing

@testable import Ports

@Suite(.enabled(if: isRoot, "needs root: makes network namespaces"))
struct TAPPortTests {
  private func inside(
    _ body: @escaping @Sendable (Checks, NetworkNamespace, EventLoop, Links) throws -> Void
  ) throws {
    let namespace = try NetworkNamespace()
    try namespace.shell("sysctl -qw net.ipv6.conf.default.disable_ipv6=1")
    let failures = namespace.run { checks in
      let loop = try EventLoop()
      try body(checks, namespace, loop, try Links(loop))
    }
    #expect(failures == [])
  }

  private static func tap(
    _ name: String, _ loop: EventLoop, _ links: Links, kind: PortConfiguration.Kind = .tap,
    mtu: Int? = nil, mac: String? = nil
  ) throws -> TAPPort {
    try TAPPort(
      PortConfiguration(
        name: name, kind: kind, requestedMTU: mtu, requestedMAC: mac, runDirectory: "/nowhere"),
      loop: loop, links: links)
  }

  @Test func framesCrossAndTheDeviceGoesWithThePort() throws {
    try inside { checks, namespace, loop, links in
      let port = try Self.tap("tap0", loop, links)
      try port.start(.alone())
      let patch = Patch()
      patch.send([(numberedFrame(1), .none)], to: port.io)
      checks.expect(patch.counters[.notReady] == 1, "sent while down")
      checks.expect(!port.status.adminUp, "brought up by the switch")
      try namespace.shell("ip link set tap0 up")
      checks.expect(
        loop.run(atMost: 2000) { port.status.linkUp && links.link(named: "tap0")?.isRunning == true },
        "\(port.status)")

      let observer = try systemPort("tap0", links)
      try observer.start(.alone())
      let tagged = numberedFrame(3, length: 1400, tags: [0x81, 0, 0, 5])
      patch.send([(numberedFrame(2), .none), (tagged, .none)], to: port.io, piece: 33)
      let received = patch.await(2, from: observer.io, where: isNumberedFrame)
      checks.expect(received.map(\.bytes) == [numberedFrame(2), tagged], "\(received.count)")
      patch.send([(numberedFrame(4), .none), (tagged, .none)], to: observer.io)
      let back = patch.await(2, from: port.io, where: isNumberedFrame)
      checks.expect(back.map(\.bytes) == [numberedFrame(4), tagged], "\(back.count)")
      observer.close()
      port.close()
      checks.expect(loop.run(atMost: 2000) { links.link(named: "tap0") == nil }, "the device stays")
    }
  }

  @Test func burstsKeepTheirOrderAndEachRefusedFrameIsCounted() throws {
    try inside { checks, namespace, loop, links in
      let port = try Self.tap("tap0", loop, links)
      try port.start(.alone())
      defer { port.close() }
      let patch = Patch()
      let frames = (0..<100).map { (numberedFrame(UInt8($0), length: 60 + 14 * Int($0)), Offload.none) }
      patch.send(frames, to: port.io)
      checks.expect(patch.counters[.notReady] == 100, "\(patch.counters[.notReady]) while down")

      try namespace.shell("ip link set tap0 up")
      let isUp = loop.run(atMost: 2000) { port.status.linkUp && links.link(named: "tap0")?.isRunning == true }
      checks.expect(isUp, "\(port.status)")
      let observer = try systemPort("tap0", links)
      try observer.start(.alone())
      defer { observer.close() }
      let contradiction = Offload(
        flags: 1, gsoType: Offload.GSO.tcp4, headerLength: 60_000, gsoSize: 100, checksumStart: 34,
        checksumOffset: 16)
      var mixed = frames
      for place in [0, 31, 50, 99] { mixed[place].1 = contradiction }
      patch.send(mixed, to: port.io, piece: 77)
      let wanted = mixed.filter { $0.1.isNone }.map(\.0)
      let received = patch.await(wanted.count, from: observer.io, where: isNumberedFrame)
      checks.expect(received.map(\.bytes) == wanted, "\(received.count) frames, or in another order")
      checks.expect(patch.counters[.transmittedFrames] == 96, "\(patch.counters[.transmittedFrames])")
      checks.expect(patch.counters[.deviceError] == 4, "\(patch.counters[.deviceError])")
      patch.sendFromTruncatedFile(to: port.io)
      checks.expect(patch.counters[.deviceError] == 5, "\(patch.counters[.deviceError])")
    }
  }

  @Test func aPersistentDeviceIsAttachedAndStays() throws {
    try inside { checks, namespace, loop, links in
      try namespace.shell("ip tuntap add dev keep mode tap; ip tuntap add dev many mode tap multi_queue")
      for name in ["keep", "many"] {
        let port = try Self.tap(name, loop, links)
        try port.start(.alone())
        try namespace.shell("ip link set \(name) up")
        checks.expect(loop.run(atMost: 2000) { port.status.linkUp }, "\(port.status)")
        port.close()
        try namespace.shell("ip link show \(name)")
      }
    }
  }

  @Test func whatCannotBeATAPSaysWhy() throws {
    try inside { checks, namespace, loop, links in
      try namespace.shell("ip link add left type veth peer name right")
      checks.expect(loop.run(atMost: 2000) { links.link(named: "left") != nil }, "no veth")
      let holder = try Self.tap("held", loop, links)
      try holder.start(.alone())
      defer { holder.close() }
      for (name, reason) in [
        ("left", "exists already and is not a TAP device (veth)"), ("held", "in use by another program"),
        ("a-name-that-is-too-long", "1 to 15 bytes"), ("tap%d", "none of / : %"), ("", "1 to 15 bytes"),
      ] {
        do {
          try Self.tap(name, loop, links).start(.alone())
          checks.fail("\(name) was accepted")
        } catch {
          checks.expect("\(error)".contains(reason), "\(name): \(error)")
        }
      }
    }
  }

  /// Starts a port whose name was in use a moment ago: a child process of another test holds every descriptor
  /// between its fork and its exec.
  private static func start(_ port: TAPPort, _ loop: EventLoop) throws {
    var last: PortError?
    let hasStarted = loop.run(atMost: 2000) {
      do throws(PortError) {
        try port.start(.alone())
        return true
      } catch {
        last = error
        usleep(1000)
        return false
      }
    }
    if !hasStarted, let last { throw last }
  }

  @Test func internalPortsHaveAStableAddress() throws {
    try inside { checks, namespace, loop, links in
      var seen: [String?] = []
      for _ in 0..<2 {
        let port = try Self.tap("br0", loop, links, kind: .internal)
        try Self.start(port, loop)
        seen.append(port.status.macAddress)
        port.close()
      }
      checks.expect(seen[0] == seen[1] && seen[0] != nil, "\(seen)")
      let address = MACAddress(seen[0] ?? "")
      checks.expect(address.map { $0.bits >> 40 & 3 == 2 } == true, "not locally administered: \(seen)")

      let port = try Self.tap("br0", loop, links, kind: .internal, mtu: 1400, mac: "02:11:22:33:44:55")
      try Self.start(port, loop)
      defer { port.close() }
      checks.expect(
        port.status.macAddress == "02:11:22:33:44:55" && port.status.mtu == 1400, "\(port.status)")
      var wrong = PortConfiguration(
        name: "br0", kind: .internal, requestedMAC: "03:11:22:33:44:55", runDirectory: "/nowhere")
      checks.expect(try port.reconfigure(wrong), "made anew")
      checks.expect(port.status.error?.contains("03:11:22:33:44:55") == true, "\(port.status)")
      wrong.requestedMAC = nil
      checks.expect(try port.reconfigure(wrong), "made anew")
      checks.expect(port.status.error == nil && port.status.macAddress == seen[0], "\(port.status)")
      wrong.kind = .tap
      checks.expect(try !port.reconfigure(wrong), "another kind in place")
    }
  }

  @Test func aMovedDeviceKeepsWorking() throws {
    let elsewhere = try NetworkNamespace()
    try inside { checks, namespace, loop, links in
      let port = try Self.tap("tap0", loop, links)
      let announced = Mutex(0)
      try port.start(.alone { announced.withLock { $0 += 1 } })
      defer { port.close() }
      try namespace.shell("ip link set tap0 netns \(elsewhere.path) name moved")
      checks.expect(loop.run(atMost: 2000) { links.link(named: "tap0") == nil }, "no event")
      let before = port.status
      checks.expect(before.error == nil && !before.adminUp && before.details["name"] == "moved", "\(before)")
      try elsewhere.shell("ip link set moved mtu 1280; ip link set moved up")
      let after = port.status
      checks.expect(after.linkUp && after.mtu == 1280 && after.linkResets == 1, "\(after)")
      let patch = Patch()
      patch.send([(numberedFrame(1), .none)], to: port.io)
      checks.expect(patch.counters[.transmittedFrames] == 1, "not sent")

      // No link event tells of this; the datapath, which enforces the MTU too, has to be told all the same.
      announced.withLock { $0 = 0 }
      try elsewhere.shell("ip link set moved mtu 9000")
      checks.expect(loop.run(atMost: 5000) { announced.withLock { $0 > 0 } }, "not noticed")
      checks.expect(port.status.mtu == 9000, "\(port.status)")
    }
  }

  @Test func aDeletedDeviceIsMadeAnew() throws {
    let elsewhere = try NetworkNamespace()
    try inside { checks, namespace, loop, links in
      let port = try Self.tap("tap0", loop, links)
      try port.start(.alone())
      defer { port.close() }
      let patch = Patch()
      try namespace.shell("ip link del tap0")
      checks.expect(loop.run(atMost: 2000) { port.status.interfaceIndex != nil }, "\(port.status)")
      checks.expect(loop.run(atMost: 2000) { links.link(named: "tap0") != nil }, "not made anew")

      // In another namespace only the descriptor tells.
      try namespace.shell("ip link set tap0 netns \(elsewhere.path)")
      checks.expect(loop.run(atMost: 2000) { links.link(named: "tap0") == nil }, "not moved")
      try elsewhere.shell("ip link del tap0")
      _ = patch.take(from: port.io)
      checks.expect(loop.run(atMost: 2000) { links.link(named: "tap0") != nil }, "not made anew")
      try namespace.shell("ip link set tap0 up")
      checks.expect(loop.run(atMost: 2000) { port.status.linkUp }, "\(port.status)")
      patch.send([(numberedFrame(1), .none)], to: port.io)
      checks.expect(patch.counters[.transmittedFrames] == 1, "not sent")
    }
  }
}
