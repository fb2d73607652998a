import Linux
import Packet
import Ports
import Testing
import VhostUser
import Virtio
import VirtioTesting

/// The options of a port, as its front-end and its guest's driver see them.
@Suite struct OfferTests {
  private func offered(_ options: [String: String]) throws -> VirtioFeatures {
    let guest = try VhostUserGuest(started: false, options: options)
    return VirtioFeatures(rawValue: try guest.frontEnd.askNumber(.getFeatures))
  }

  @Test(arguments: GuestQueue.Layout.allCases, [VirtioFeatures(), .eventIndex])
  func `A port that is always polled lets no thread sleep, and wants no kicks`(
    layout: GuestQueue.Layout, event: VirtioFeatures
  ) throws {
    let guest = try VhostUserGuest(
      VhostUserGuest.modern.union(layout.features).union(event), ringSize: 64, options: ["polling": "always"])
    #expect(guest.port.status.details["polling"] == "always")
    let queue = guest.driver.transmitQueue
    if event.isEmpty {
      #expect(guest.driver.offer(testFrame(60)))
      #expect(!queue.publish(), "not even the first")
      #expect(guest.harness.receive() == 1)
    }
    for round in 0..<100 {
      #expect(!guest.port.io.sleep(queue: 0))
      #expect(guest.driver.offer(testFrame(60, seed: round)))
      // With the event index a split ring's driver cannot be told before the first.
      let isKicked = queue.publish()
      #expect(!isKicked || round == 0 && !event.isEmpty)
      #expect(guest.harness.receive() == 1)
    }
  }

  @Test func `Without the option threads may sleep, and are kicked`() throws {
    let guest = try VhostUserGuest()
    #expect(guest.port.io.sleep(queue: 0))
    #expect(guest.driver.offer(testFrame(60)))
    #expect(guest.driver.transmitQueue.publish())
  }

  @Test func `Disabled features are not offered, and to take one ends the session`() throws {
    let everything = try offered([:])
    #expect(everything == .implemented)
    let some = try offered(["disable-features": "tso,csum,packed"])
    let missing: VirtioFeatures = [
      .checksum, .hostTSO4, .hostTSO6, .hostECN, .guestTSO4, .guestTSO6, .guestECN, .packedRing, .hostUSO,
    ]
    #expect(everything.subtracting(some) == missing)
    let guest = try VhostUserGuest(started: false, options: ["disable-features": "packed"])
    try guest.frontEnd.send(.setOwner)
    try guest.frontEnd.send(
      .setFeatures, littleEndian(VirtioFeatures([.version1, .packedRing]).rawValue))
    #expect(guest.frontEnd.isClosedByPeer())
    #expect(guest.port.status.error?.contains("not offered") == true)
  }

  @Test func `Protocol features go with them`() throws {
    func protocolFeatures(_ names: String) throws -> ProtocolFeatures {
      let guest = try VhostUserGuest(started: false, options: ["disable-features": names])
      return ProtocolFeatures(rawValue: try guest.frontEnd.askNumber(.getProtocolFeatures))
    }
    #expect(try protocolFeatures("") == .implemented)
    #expect(
      try protocolFeatures("mq,mtu,migration")
        == ProtocolFeatures.implemented.subtracting([.multiqueue, .netMTU, .logSharing]))
  }

  @Test(arguments: [("", 128), ("1", 1), ("4", 4), ("128", 128)] as [(String, UInt64)])
  func `A front-end is told the pairs there are, and may use no more`(text: String, pairs: UInt64) throws {
    let guest = try VhostUserGuest(started: false, options: ["queues": text])
    try guest.frontEnd.negotiate(
      VhostUserGuest.modern.union(.multiqueue), [.multiqueue, .replyAcknowledgement])
    #expect(try guest.frontEnd.queuePairs() == pairs)
    let last = UInt32(2 * pairs - 1)
    #expect(try guest.frontEnd.command(.setVringSize, VringState(index: last, number: 64).bytes) == 0)
    try guest.frontEnd.send(.setVringSize, VringState(index: last + 1, number: 64).bytes)
    #expect(guest.frontEnd.isClosedByPeer())
    #expect(guest.port.status.error?.contains("names ring \(last + 1)") == true)
  }
}
