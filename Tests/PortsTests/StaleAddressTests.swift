import Linux
import Testing
import VhostUser
import Virtio
import VirtioTesting

@testable import Ports

/// SECURITY: a ring's addresses and descriptors are gone with the ring; a kick does not bring them back.
@Suite struct StaleAddressTests {
  /// What takes a running ring's addresses away.
  enum Ending: CaseIterable {
    case stopped, deviceReset, reconnected

    func end(_ guest: VhostUserGuest) throws {
      switch self {
      case .stopped: _ = try guest.frontEnd.stop()
      case .deviceReset: #expect(try guest.frontEnd.command(.resetDevice) == 0)
      case .reconnected:
        guest.frontEnd = try guest.connect()
        try guest.frontEnd.negotiate(VhostUserGuest.modern, StaleAddressTests.protocolFeatures)
      }
    }
  }

  static let protocolFeatures: ProtocolFeatures = [.replyAcknowledgement, .resetDevice]

  @Test(arguments: Ending.allCases, [true, false])
  func `Row 7: a ring that ended moves nothing until it has been placed again`(ending: Ending, moved: Bool)
    throws
  {
    let guest = try VhostUserGuest(protocolFeatures: Self.protocolFeatures)
    guest.driver.post(8, sizes: [2048])
    #expect(guest.through(testFrame(60)) != nil)
    try ending.end(guest)
    // With other memory, what the old addresses say is in nobody's; with the same, it is a ring the driver has left.
    let old = guest.driver
    let other = try GuestDriver(features: VhostUserGuest.modern)
    try guest.frontEnd.setMemory(moved ? other.ram : old.ram)
    for index: UInt32 in 0...1 {
      try guest.frontEnd.send(.setVringKick, littleEndian(UInt64(index)), [old.queues[Int(index)].kick.raw])
      try guest.frontEnd.enable(index)
    }
    // Everything said has been heard when this is answered.
    _ = try guest.frontEnd.askNumber(.getFeatures)
    #expect(!guest.port.status.linkUp)
    #expect(old.send(testFrame(61)))
    #expect(guest.harness.receive() == 0)
    guest.harness.transmit([testFrame(62)])
    #expect(guest.harness.counters[.notReady] == 1)
    #expect(old.receive() == nil)

    guest.driver = try GuestDriver(features: VhostUserGuest.modern)
    guest.driver.post(8, sizes: [2048])
    _ = try guest.frontEnd.stop()
    try guest.frontEnd.start(guest.driver)
    #expect(guest.harness.wait { guest.port.status.linkUp })
    #expect(guest.through(testFrame(63))?.bytes == testFrame(63))
    guest.harness.transmit([testFrame(64)])
    #expect(guest.driver.receive()?.bytes == testFrame(64))
  }

  @Test func `Row 7: a memory table that leaves a running ring outside ends the session`() throws {
    let guest = try VhostUserGuest()
    let other = try GuestRAM()
    try guest.frontEnd.setMemory(other)
    #expect(guest.frontEnd.isClosedByPeer())
    #expect(!guest.port.status.linkUp)
    #expect(guest.port.status.error?.contains("ring") == true)
    #expect(guest.through(testFrame(60)) == nil)
  }
}
