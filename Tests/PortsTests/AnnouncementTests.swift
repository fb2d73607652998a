import Linux
import Packet
import Ports
import Testing
import VhostUser
import Virtio
import VirtioTesting

/// SEND_RARP: after migration the network is told where the guest is now (vhost-user; RFC 903).
@Suite struct AnnouncementTests {
  private static let address: [UInt8] = [0x52, 0x54, 0x00, 0xAB, 0xCD, 0xEF]

  private static func request(_ address: [UInt8]) -> [UInt8] {
    // To all, from the guest; RARP; Ethernet and IPv4 addresses of 6 and 4 bytes; "request reverse".
    let header = [UInt8](repeating: 0xFF, count: 6) + address + [0x80, 0x35]
    let body: [UInt8] = [0x00, 0x01, 0x08, 0x00, 0x06, 0x04, 0x00, 0x03]
    let pairs = address + [0, 0, 0, 0] + address + [0, 0, 0, 0]
    return header + body + pairs + [UInt8](repeating: 0, count: 18)
  }

  private func guest(_ layout: GuestQueue.Layout) throws -> VhostUserGuest {
    try VhostUserGuest(
      VhostUserGuest.modern.union(layout.features),
      protocolFeatures: [.replyAcknowledgement, .announcement])
  }

  private func announce(_ address: [UInt8], _ guest: VhostUserGuest) throws {
    try guest.frontEnd.announce(address)
    _ = try guest.frontEnd.askNumber(.getFeatures)
  }

  private func frames(_ guest: VhostUserGuest) -> [[UInt8]] {
    var frames: [[UInt8]] = []
    while guest.harness.receive({ bytes, _ in frames.append(bytes) }) > 0 {}
    return frames
  }

  @Test(arguments: GuestQueue.Layout.allCases)
  func `The guest is announced once, in its own name`(layout: GuestQueue.Layout) throws {
    let guest = try guest(layout)
    #expect(frames(guest).isEmpty)
    try announce(Self.address, guest)
    #expect(frames(guest) == [Self.request(Self.address)])
    #expect(guest.harness.counters[.receivedFrames] == 1 && guest.harness.counters[.receivedBytes] == 60)
    #expect(guest.through(testFrame(60))?.bytes == testFrame(60))
    let other: [UInt8] = [0x02, 1, 2, 3, 4, 5]
    try announce(other, guest)
    #expect(frames(guest) == [Self.request(other)])
  }

  @Test(arguments: GuestQueue.Layout.allCases)
  func `Frames of the guest that are waiting follow the announcement, each once`(layout: GuestQueue.Layout)
    throws
  {
    let guest = try guest(layout)
    let pending = (0..<200).map { testFrame(60 + $0, seed: $0) }
    for frame in pending { #expect(guest.driver.offer(frame)) }
    guest.driver.transmitQueue.publish()
    try announce(Self.address, guest)
    #expect(frames(guest) == [Self.request(Self.address)] + pending)
    #expect(guest.driver.reclaim() == 200)
  }

  @Test(arguments: GuestQueue.Layout.allCases)
  func `Poll threads that sleep are woken for it`(layout: GuestQueue.Layout) throws {
    let guest = try guest(layout)
    #expect(guest.port.io.sleep(queue: 0))
    let wakes = guest.harness.wakes
    try announce(Self.address, guest)
    #expect(guest.harness.wakes > wakes)
    guest.port.io.wake(queue: 0)
    #expect(frames(guest).count == 1)
  }

  /// QEMU says so as soon as the guest is here, which may be before its driver's rings are.
  @Test func `One that comes before the rings is sent when they are there`() throws {
    let guest = try guest(.split)
    let bases = try guest.frontEnd.stop()
    try announce(Self.address, guest)
    #expect(frames(guest).isEmpty)
    try guest.frontEnd.start(guest.driver, bases: bases)
    #expect(guest.harness.wait { guest.port.status.linkUp })
    #expect(frames(guest) == [Self.request(Self.address)])
  }

  @Test(
    arguments: [[0x01, 0, 0x5E, 0, 0, 1], [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], [0, 0, 0, 0, 0, 0]]
      as [[UInt8]])
  func `Nobody is announced by an address no card has`(address: [UInt8]) throws {
    let guest = try guest(.split)
    #expect(try guest.frontEnd.command(.sendRARP, address + [0, 0]) == 1)
    #expect(frames(guest).isEmpty && guest.port.status.linkUp)
  }

  /// An announcement belongs to the guest that asked for it.
  @Test func `A new front-end does not announce the guest before it`() throws {
    let guest = try guest(.split)
    _ = try guest.frontEnd.stop()
    try announce(Self.address, guest)
    guest.frontEnd = try guest.connect()
    guest.driver = try GuestDriver(features: VhostUserGuest.modern)
    try guest.frontEnd.negotiate(VhostUserGuest.modern)
    try guest.frontEnd.start(guest.driver)
    #expect(guest.harness.wait { guest.port.status.linkUp })
    #expect(frames(guest).isEmpty)
  }
}
