import Glibc
import Linux
import Packet
import Synchronization
import Testing

@testable import Ports

/// TCP with the offloads interfaces have by default, through two ports and the least of a switch between them.
@Suite(.enabled(if: isRoot, "needs root: makes network namespaces"), .serialized)
struct TCPTests {
  enum Peer: CaseIterable, Sendable { case veth, tap }
  private static let bytes = 8_000_000

  /// Gives `namespace` an interface "eth" whose other end is the port that is returned.
  private func attach(
    _ peer: Peer, _ name: String, _ address: Int, in namespace: NetworkNamespace, of own: NetworkNamespace,
    _ loop: EventLoop, _ links: Links
  ) throws -> any Port {
    let port: any Port
    switch peer {
    case .veth:
      try own.shell(
        "ip link add \(name) type veth peer name eth netns \(namespace.path); ip link set \(name) up")
      guard loop.run(atMost: 2000, until: { links.link(named: name) != nil }) else {
        throw Failure("no veth")
      }
      port = try systemPort(name, links)
      try port.start(.alone())
    case .tap:
      port = try TAPPort(
        PortConfiguration(name: name, kind: .tap, runDirectory: "/nowhere"), loop: loop, links: links)
      try port.start(.alone())
      try own.shell("ip link set \(name) netns \(namespace.path) name eth")
    }
    try namespace.shell(
      "ip addr add 192.0.2.\(address)/24 dev eth; ip addr add fd00::\(address)/64 dev eth nodad;"
        + "ip link set eth up; ip link set lo up")
    return port
  }

  private func transfer(_ left: Peer, _ right: Peer, to address: String, accepts: OffloadCapabilities?) throws
  {
    let (own, client, server) = (try NetworkNamespace(), try NetworkNamespace(), try NetworkNamespace())
    let failures = own.run { checks in
      let loop = try EventLoop()
      let links = try Links(loop)
      let a = try attach(left, "left", 1, in: client, of: own, loop, links)
      let b = try attach(right, "right", 2, in: server, of: own, loop, links)
      defer {
        a.close()
        b.close()
      }
      let (first, second) = (a.io, b.io)
      checks.expect(loop.run(atMost: 2000) { a.status.linkUp && b.status.linkUp }, "\(a.status) \(b.status)")
      let isDone = Mutex(false)
      let large = Mutex(0)
      nonisolated(unsafe) let ends = (first, second)
      let mover = try Thread(name: "mover") {
        let patch = Patch()
        while !isDone.withLock({ $0 }) {
          let there = patch.move(from: ends.0, to: ends.1, toward: accepts)
          let back = patch.move(from: ends.1, to: ends.0, toward: accepts)
          if there + back == 0 { usleep(20) }
        }
        if patch.counters[.badOffload] + patch.counters[.deviceError] > 0 {
          checks.fail("refused \(patch.counters[.badOffload]) + \(patch.counters[.deviceError])")
        }
        large.withLock { $0 = patch.largeFrames }
      }
      for failure in TCPTransfer.run(from: client, to: server, address, count: Self.bytes) {
        checks.fail(failure)
      }
      isDone.withLock { $0 = true }
      mover.join()
      checks.expect(large.withLock { $0 } > 10, "no large frames: offloads were not in use")
    }
    #expect(failures == [])
  }

  @Test(arguments: Peer.allCases, Peer.allCases)
  func largeFramesArePassedOn(_ left: Peer, _ right: Peer) throws {
    try transfer(left, right, to: "192.0.2.2", accepts: nil)
    try transfer(left, right, to: "fd00::2", accepts: nil)
  }

  /// The kernel verifies what software finished.
  @Test(arguments: [[], .checksum, [.checksum, .tcp6]] as [OffloadCapabilities])
  func largeFramesAreSegmentedInSoftware(_ accepts: OffloadCapabilities) throws {
    try transfer(.veth, .tap, to: "192.0.2.2", accepts: accepts)
    try transfer(.tap, .veth, to: "fd00::2", accepts: accepts)
  }
}
