import CLinux
import Glibc
import Linux
import Packet
import Synchronization
import Testing

@testable import Ports

/// A broadcast frame of a private EtherType, so that nothing else answers it or looks like it.
func numberedFrame(_ number: UInt8, length: Int = 100, tags: [UInt8] = []) -> [UInt8] {
  var bytes: [UInt8] = [255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, number] + tags + [0x88, 0xB5, number]
  while bytes.count < length { bytes.append(UInt8(truncatingIfNeeded: bytes.count &* 7)) }
  return bytes
}

/// An IPv4 datagram with a partial checksum.
func datagram(payload: Int, tags: [UInt8] = [], flow: Int = 0) -> [UInt8] {
  func word(_ value: Int) -> [UInt8] { [UInt8(value >> 8 & 0xFF), UInt8(value & 0xFF)] }
  func sum(_ bytes: [UInt8]) -> Int {
    var sum = 0
    for index in stride(from: 0, to: bytes.count, by: 2) {
      sum += Int(bytes[index]) << 8 | Int(bytes[index + 1])
    }
    while sum > 0xFFFF { sum = sum & 0xFFFF + sum >> 16 }
    return sum
  }
  let addresses: [UInt8] = [192, 0, 2, 1, 192, 0, 2, 2]
  var ip: [UInt8] = [0x45, 0] + word(28 + payload) + [0, 1, 0x40, 0, 64, 17, 0, 0] + addresses
  ip.replaceSubrange(10..<12, with: word(~sum(ip) & 0xFFFF))
  let udp =
    word(4000 + flow) + word(9999) + word(8 + payload) + word(sum(addresses + [0, 17] + word(8 + payload)))
  let ethernet: [UInt8] = [255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1] + tags + [8, 0]
  return ethernet + ip + udp + [UInt8](repeating: 0x5A, count: payload)
}

func isNumberedFrame(_ bytes: [UInt8]) -> Bool {
  bytes.count > 12 && bytes.prefix(10) == [255, 255, 255, 255, 255, 255, 2, 0, 0, 0]
}

func systemPort(_ name: String, _ links: any LinkSource, mtu: Int? = nil) throws -> PacketSocketPort {
  try PacketSocketPort(
    PortConfiguration(name: name, kind: .system, requestedMTU: mtu, runDirectory: "/nowhere"), links: links)
}

@Suite(.enabled(if: isRoot, "needs root: makes network namespaces"))
struct PacketSocketPortTests {
  /// Two ports on the ends of a veth pair.
  private func onVeth(
    _ body:
      @escaping @Sendable (Checks, NetworkNamespace, EventLoop, PacketSocketPort, PacketSocketPort) throws
      -> Void
  ) throws -> [String] {
    let namespace = try NetworkNamespace()
    try namespace.shell(
      "sysctl -qw net.ipv6.conf.default.disable_ipv6=1; ip link add left type veth peer name right;"
        + "ip link set left up; ip link set right up")
    return namespace.run { checks in
      let loop = try EventLoop()
      let links = try Links(loop)
      let (left, right) = (try systemPort("left", links), try systemPort("right", links))
      try left.start(.alone())
      try right.start(.alone())
      defer {
        left.close()
        right.close()
      }
      // The carrier comes a moment after the interfaces; until then the kernel drops what is sent.
      guard loop.run(atMost: 5000, until: { left.status.linkUp && right.status.linkUp }) else {
        return checks.fail("no carrier: \(left.status) \(right.status)")
      }
      try body(checks, namespace, loop, left, right)
    }
  }

  @Test func framesCross() throws {
    let failures = try onVeth { checks, _, _, left, right in
      let patch = Patch()
      let frames = (0..<100).map { numberedFrame(UInt8($0), length: 60 + 14 * Int($0)) }
      patch.send(frames.map { ($0, .none) }, to: left.io, piece: 77)
      let received = patch.await(100, from: right.io, where: isNumberedFrame)
      checks.expect(received.map(\.bytes) == frames, "\(received.count) frames came")
      checks.expect(
        patch.counters[.transmittedFrames] == 100, "counted \(patch.counters[.transmittedFrames])")
      checks.expect(patch.take(from: left.io).isEmpty, "own transmissions came back")
      let status = left.status
      checks.expect(status.error == nil && status.adminUp && status.linkUp, "\(status)")
      checks.expect(status.mtu == 1500 && status.macAddress != nil && status.linkSpeed != nil, "\(status)")
    }
    #expect(failures == [])
  }

  /// Nobody receives until the socket is full. What the kernel then drops is counted, and nothing else.
  @Test func framesTheKernelDropsAreCounted() throws {
    let failures = try onVeth { checks, _, _, left, right in
      let patch = Patch()
      checks.expect(right.missedFrames == 0, "\(right.missedFrames) before")
      let sent = 12_000
      for start in stride(from: 0, to: sent, by: 100) {
        let frames = (start..<start + 100).map { numberedFrame(UInt8($0 & 0xFF), length: 1000) }
        patch.send(frames.map { ($0, .none) }, to: left.io, piece: 1000)
      }
      let delivered = Int(patch.counters[.transmittedFrames])
      checks.expect(delivered > 6000, "\(delivered) left")
      let missed = Int(right.missedFrames)
      let received = patch.await(delivered - missed, from: right.io, where: isNumberedFrame).count
      checks.expect(missed > 0 && received + missed == delivered, "\(received) + \(missed) of \(delivered)")
      checks.expect(patch.take(from: right.io).filter { isNumberedFrame($0.bytes) }.isEmpty, "more came")
      checks.expect(Int(right.missedFrames) == missed, "told twice")
    }
    #expect(failures == [])
  }

  @Test func tagsAreRestored() throws {
    let failures = try onVeth { checks, _, _, left, right in
      let patch = Patch()
      let frames = [
        numberedFrame(1, tags: [0x81, 0x00, 0x60, 0x07]),
        numberedFrame(2, tags: [0x88, 0xA8, 0x00, 0x09]),
        numberedFrame(3, tags: [0x88, 0xA8, 0x00, 0x09, 0x81, 0x00, 0x00, 0x01]),
        numberedFrame(4, tags: [0x81, 0x00, 0x00, 0x00]),
      ]
      patch.send(frames.map { ($0, .none) }, to: left.io)
      let received = patch.await(4, from: right.io, where: isNumberedFrame)
      checks.expect(received.map(\.bytes) == frames, "\(received.map { $0.bytes.prefix(24) })")
    }
    #expect(failures == [])
  }

  /// The kernel takes the tag out, and counts the offsets of a partial checksum from a frame without it.
  @Test func offloadsOfTaggedFramesKeepTheirPlace() throws {
    let failures = try onVeth { checks, _, _, left, right in
      let patch = Patch()
      let frame = datagram(payload: 600, tags: [0x81, 0x00, 0x00, 0x05])
      let offload = Offload(flags: 1, checksumStart: 38, checksumOffset: 6)
      patch.send([(frame, offload)], to: left.io)
      guard let received = patch.await(from: right.io, where: { $0.starts(with: frame.prefix(16)) }).first
      else {
        return checks.fail("nothing came; \(patch.counters[.deviceError]) refused")
      }
      checks.expect(received.bytes == frame, "\(received.bytes.prefix(46))")
      checks.expect(received.offload.needsChecksum && !received.offload.isGSO, "\(received.offload)")
      checks.expect(received.offload.checksumStart == 38, "\(received.offload.checksumStart)")
      checks.expect(received.offload.checksumOffset == 6, "\(received.offload.checksumOffset)")
    }
    #expect(failures == [])
  }

  @Test func refusedFramesAreCountedAndTheOthersSent() throws {
    let failures = try onVeth { checks, _, _, left, right in
      let patch = Patch()
      let contradiction = Offload(
        flags: 1, gsoType: Offload.GSO.tcp4, headerLength: 60_000, gsoSize: 100, checksumStart: 34,
        checksumOffset: 16)
      patch.send(
        [
          (numberedFrame(1), .none), (numberedFrame(2, length: 9000), .none),
          (numberedFrame(3), contradiction),
          (numberedFrame(4), .none),
        ], to: left.io)
      let received = patch.await(2, from: right.io, where: isNumberedFrame)
      checks.expect(
        received.map(\.bytes) == [numberedFrame(1), numberedFrame(4)], "\(received.count) frames came")
      checks.expect(patch.counters[.exceedsMTU] == 1, "exceedsMTU \(patch.counters[.exceedsMTU])")
      checks.expect(patch.counters[.deviceError] == 1, "deviceError \(patch.counters[.deviceError])")
      checks.expect(patch.counters[.transmittedFrames] == 2, "sent \(patch.counters[.transmittedFrames])")
    }
    #expect(failures == [])
  }

  @Test func framesOfVeryManyPiecesAreSent() throws {
    let failures = try onVeth { checks, _, _, left, right in
      let patch = Patch()
      let frames = [
        numberedFrame(1, length: 1400), numberedFrame(2, length: 90), numberedFrame(3, length: 1400),
      ]
      // 1,336 pieces would be refused on receiving; 1,024 are the most a frame has.
      patch.send(Array(frames[0..<1]).map { (Array($0.prefix(1024)), .none) }, to: left.io, piece: 1)
      patch.send(frames[1...].map { ($0, .none) }, to: left.io, piece: 700)
      let received = patch.await(3, from: right.io, where: isNumberedFrame)
      checks.expect(
        received.map(\.bytes) == [Array(frames[0].prefix(1024)), frames[1], frames[2]],
        "\(received.map(\.bytes.count))")
    }
    #expect(failures == [])
  }

  @Test func memoryThatWentAwayIsADrop() throws {
    let failures = try onVeth { checks, _, _, left, right in
      let patch = Patch()
      patch.sendFromTruncatedFile(to: left.io)
      patch.send([(numberedFrame(7), .none)], to: left.io)
      let received = patch.await(1, from: right.io, where: isNumberedFrame)
      checks.expect(received.map(\.bytes) == [numberedFrame(7)], "\(received.count)")
      checks.expect(patch.counters[.deviceError] == 1, "\(patch.counters[.deviceError])")
    }
    #expect(failures == [])
  }

  @Test func aDownInterfaceIsNotReadyAndResumes() throws {
    let failures = try onVeth { checks, namespace, loop, left, right in
      let patch = Patch()
      try namespace.shell("ip link set left down")
      checks.expect(loop.run(atMost: 2000) { !left.status.linkUp }, "the link stays up")
      patch.send([(numberedFrame(1), .none)], to: left.io)
      checks.expect(patch.counters[.notReady] == 1, "\(patch.counters[.notReady])")
      _ = patch.take(from: left.io)
      try namespace.shell("ip link set left up")
      checks.expect(loop.run(atMost: 2000) { left.status.linkUp && right.status.linkUp }, "stays down")
      checks.expect(left.status.linkResets >= 2, "\(left.status.linkResets)")
      patch.send([(numberedFrame(2), .none)], to: left.io)
      checks.expect(patch.await(from: right.io, where: isNumberedFrame).count == 1, "nothing crosses")
      patch.send([(numberedFrame(3), .none)], to: right.io)
      checks.expect(patch.await(from: left.io, where: isNumberedFrame).count == 1, "nothing comes back")
    }
    #expect(failures == [])
  }

  @Test func interfacesComeGoAndAreRenamed() throws {
    let namespace = try NetworkNamespace()
    let failures = namespace.run { checks in
      let loop = try EventLoop()
      let links = try Links(loop)
      let port = try systemPort("left", links)
      let other = try systemPort("right", links)
      let changes = Mutex(0)
      try port.start(.alone { changes.withLock { $0 += 1 } })
      try other.start(.alone())
      defer {
        port.close()
        other.close()
      }
      let patch = Patch()
      checks.expect(port.status.error?.contains("no interface named left exists") == true, "\(port.status)")
      patch.send([(numberedFrame(1), .none)], to: port.io)
      checks.expect(patch.counters[.notReady] == 1, "sent into nothing")

      let add = "ip link add left type veth peer name right; ip link set left up; ip link set right up"
      try namespace.shell(add)
      checks.expect(loop.run(atMost: 2000) { port.status.linkUp && other.status.linkUp }, "not picked up")
      checks.expect(port.status.error == nil, "\(port.status)")
      patch.send([(numberedFrame(2), .none)], to: port.io)
      checks.expect(patch.await(from: other.io, where: isNumberedFrame).count == 1, "nothing crosses")

      try namespace.shell("ip link set left down; ip link set left name elsewhere")
      checks.expect(
        loop.run(atMost: 2000) { port.status.error?.contains("renamed to elsewhere") == true },
        "\(port.status)")
      try namespace.shell("ip link set elsewhere name left; ip link set left up")
      checks.expect(loop.run(atMost: 2000) { port.status.linkUp }, "not picked up under its old name")

      try namespace.shell("ip link del left")
      checks.expect(
        loop.run(atMost: 2000) { port.status.error?.contains("no interface named left") == true },
        "\(port.status)")
      patch.send([(numberedFrame(3), .none)], to: port.io)
      try namespace.shell(add)
      checks.expect(
        loop.run(atMost: 2000) { port.status.linkUp && other.status.linkUp }, "not picked up again")
      patch.send([(numberedFrame(4), .none)], to: port.io)
      checks.expect(
        patch.await(from: other.io, where: isNumberedFrame).map(\.bytes) == [numberedFrame(4)],
        "nothing crosses")
      checks.expect(changes.withLock { $0 } >= 4, "status changes were not told")

      try namespace.shell("ip link add name br0 type bridge; ip link set left master br0")
      checks.expect(
        loop.run(atMost: 2000) { port.status.error?.contains("belongs to br0") == true }, "\(port.status)")
    }
    #expect(failures == [])
  }

  @Test func anMTUIsSet() throws {
    let namespace = try NetworkNamespace()
    try namespace.shell("ip link add left type veth peer name right")
    let failures = namespace.run { checks in
      let loop = try EventLoop()
      let port = try systemPort("left", try Links(loop), mtu: 1300)
      try port.start(.alone())
      defer { port.close() }
      checks.expect(loop.run(atMost: 2000) { port.status.mtu == 1300 }, "\(port.status)")
      let tooLarge = PortConfiguration(
        name: "left", kind: .system, requestedMTU: 1_000_000, runDirectory: "/nowhere")
      checks.expect(try port.reconfigure(tooLarge), "made anew")
      checks.expect(port.status.error?.contains("set the MTU of left to 1000000") == true, "\(port.status)")
    }
    #expect(failures == [])
  }
}
