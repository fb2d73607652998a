import Glibc
import Linux
import Packet
import Testing
import VhostUser
import Virtio
import VirtioTesting

/// Requests about the device as a whole.
@Suite struct DeviceTests {
  private func negotiated(_ features: ProtocolFeatures, queuePairs: Int = 1) throws -> SessionFixture {
    let fixture = try SessionFixture(queuePairs: queuePairs)
    try fixture.frontEnd.negotiate([.version1], features.union(.replyAcknowledgement))
    return fixture
  }

  // MARK: configuration

  private func get(_ fixture: SessionFixture, _ offset: UInt32, _ size: UInt32) throws -> [UInt8] {
    let range = ConfigurationRange(offset: offset, size: size)
    let reply = try fixture.frontEnd.ask(
      .getConfig, range.bytes + [UInt8](repeating: 0xAA, count: Int(size)))
    guard !reply.payload.isEmpty else { return [] }
    #expect(Array(reply.payload.prefix(12)) == range.bytes)
    return Array(reply.payload.dropFirst(12))
  }

  @Test func `the configuration is address, link, queue pairs and MTU`() throws {
    let fixture = try negotiated([.configuration], queuePairs: 4)
    #expect(try get(fixture, 0, 12) == [0, 0, 0, 0, 0, 0, 1, 0, 4, 0, 0, 0])
    fixture.session.configure(
      DeviceConfiguration(address: MACAddress("02:11:22:33:44:55"), isLinkUp: false, mtu: 9000))
    #expect(try get(fixture, 0, 12) == [2, 0x11, 0x22, 0x33, 0x44, 0x55, 0, 0, 4, 0, 0x28, 0x23])
    #expect(try get(fixture, 10, 2) == [0x28, 0x23])
    #expect(try get(fixture, 12, 12) == [255, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0])
    #expect(try get(fixture, 24, 0) == [])
    // Out of range is an empty answer, as the specification wants it.
    #expect(try get(fixture, 12, 13) == [])
    #expect(try get(fixture, .max, 2) == [])
    #expect(fixture.settle() == nil)
  }

  @Test func `a driver may write the address, and a migration everything`() throws {
    let fixture = try negotiated([.configuration])
    func set(_ offset: UInt32, _ bytes: [UInt8], flags: UInt32 = 0) throws -> UInt64 {
      let range = ConfigurationRange(offset: offset, size: UInt32(bytes.count), flags: flags)
      return try fixture.frontEnd.command(.setConfig, range.bytes + bytes)
    }
    #expect(try set(0, [2, 0, 0, 0, 0, 9]) == 0)
    #expect(fixture.session.configuration.address == MACAddress("02:00:00:00:00:09"))
    #expect(try set(5, [7]) == 0)
    #expect(fixture.session.configuration.address == MACAddress("02:00:00:00:00:07"))
    #expect(try set(6, [1]) == 1)
    #expect(try set(5, [8, 1]) == 1)
    #expect(try set(20, [0, 0, 0, 0, 0]) == 1)
    #expect(try set(.max, [0]) == 1)
    #expect(fixture.session.configuration.address == MACAddress("02:00:00:00:00:07"))
    #expect(try set(0, [2, 1, 1, 1, 1, 1, 0, 0, 9, 9], flags: 1) == 0)
    #expect(fixture.session.configuration.address == MACAddress("02:01:01:01:01:01"))
    #expect(fixture.session.configuration.isLinkUp)
    #expect(fixture.settle() == nil)
    #expect(try set(0, [1], flags: 2) == 1)
    #expect(fixture.settle()?.kind == .violation)
  }

  @Test func `Row 5: a configuration request that is not as long as it says is refused`() throws {
    for (request, size) in [
      (Request.getConfig, 3), (.getConfig, 5), (.setConfig, 0), (.setConfig, UInt32.max),
    ] {
      let fixture = try negotiated([.configuration])
      try fixture.frontEnd.send(request, ConfigurationRange(offset: 0, size: size).bytes + [0, 0, 0, 0])
      #expect(fixture.settle()?.kind == .violation)
    }
  }

  // MARK: the rest

  @Test func `the guest is announced by the first six bytes`() throws {
    let fixture = try negotiated([.announcement])
    #expect(try fixture.frontEnd.command(.sendRARP, [2, 1, 2, 3, 4, 5, 99, 99]) == 0)
    #expect(fixture.announced == [MACAddress("02:01:02:03:04:05")!])
    for bytes in [[3, 1, 2, 3, 4, 5, 0, 0], [0, 0, 0, 0, 0, 0, 1, 1], [UInt8](repeating: 255, count: 8)]
      as [[UInt8]]
    {
      #expect(try fixture.frontEnd.command(.sendRARP, bytes) == 1)
    }
    #expect(fixture.announced.count == 1)
    #expect(fixture.settle() == nil)
  }

  @Test func `a device reset leaves features and memory, and nothing else`() throws {
    let (fixture, driver) = try SessionFixture.running([.replyAcknowledgement, .resetDevice, .status])
    #expect(try fixture.frontEnd.command(.setStatus, littleEndian(15 as UInt64)) == 0)
    #expect(fixture.session.isUsable(1))
    fixture.session.vrings[1].base = 7
    #expect(try fixture.frontEnd.command(.resetDevice) == 0)
    #expect(fixture.session.phase == .configured)
    #expect(fixture.session.features != nil && fixture.session.memory != nil)
    #expect(fixture.session.status == [])
    #expect(
      fixture.session.vrings.allSatisfy { $0.size == 0 && $0.base == 0 && $0.kick == nil && !$0.isEnabled })
    #expect(openCopies(driver.transmitQueue.kick.raw) == 1)
    #expect(try fixture.frontEnd.stop() == (0, 0))
    #expect(fixture.settle() == nil)
  }

  /// vhost-user, RESET_OWNER: "recommended that back-ends either ignore this message, or use it to disable all rings".
  @Test(arguments: [[], .multiqueue] as [ProtocolFeatures])
  func `resetting the owner disables all rings and stops none`(_ features: ProtocolFeatures) throws {
    let (fixture, driver) = try SessionFixture.running(features)
    #expect(fixture.session.isUsable(0))
    try fixture.frontEnd.send(.resetOwner)
    #expect(fixture.settle() == nil)
    for index in 0...1 {
      #expect(!fixture.session.isUsable(index))
      #expect(fixture.session.discards(index))
      #expect(fixture.session.vrings[index].isRunnable)
    }
    try fixture.frontEnd.start(driver.receiveQueue.kick, index: 0, features)
    #expect(fixture.settle() == nil)
    #expect(fixture.session.isUsable(0))
    #expect(!fixture.session.isUsable(1))
  }

  // MARK: what needs a feature

  /// Row 10 for every request that belongs to a protocol feature, when that alone was not acknowledged.
  private static let needs: [(ProtocolFeatures, [Request])] = [
    (.multiqueue, [.getQueueCount]), (.logSharing, [.setLogBase, .setLogDescriptor]),
    (.announcement, [.sendRARP]), (.netMTU, [.netSetMTU]),
    (.backendRequests, [.setBackendRequestDescriptor, .iotlbMessage]),
    (.configuration, [.getConfig, .setConfig]),
    (.resetDevice, [.resetDevice]),
    (.memorySlots, [.getMaximumMemorySlots, .addMemoryRegion, .removeMemoryRegion]),
    (.status, [.setStatus, .getStatus]),
  ]

  @Test(arguments: needs)
  func `Row 10: a request of a feature that was not negotiated is refused`(
    _ feature: ProtocolFeatures, _ requests: [Request]
  ) throws {
    let event = try EventFD()
    for request in requests {
      let fixture = try negotiated(ProtocolFeatures.implemented.subtracting(feature))
      let answered: Set<Request> = [.getQueueCount, .getConfig, .getMaximumMemorySlots, .getStatus]
      try fixture.frontEnd.send(request, [1, 2, 3, 4, 5, 6, 7, 8], [event.raw], needReply: true)
      if answered.contains(request) {
        #expect(fixture.settle()?.kind == .violation, "\(request.name)")
      } else {
        #expect(try fixture.frontEnd.receive().word(0) == 1 as UInt64, "\(request.name)")
        #expect(fixture.settle() == nil, "\(request.name)")
      }
      #expect(openCopies(event.raw) == 1, "\(request.name)")
    }
  }

  @Test func `Row 10: only what is implemented is offered`() throws {
    let fixture = try SessionFixture()
    let offered = ProtocolFeatures(rawValue: try fixture.frontEnd.askNumber(.getProtocolFeatures))
    #expect(offered == Self.needs.reduce(.replyAcknowledgement) { $0.union($1.0) })
    // MQ, LOG_SHMFD, RARP, REPLY_ACK, NET_MTU, BACKEND_REQ, CONFIG, RESET_DEVICE, CONFIGURE_MEM_SLOTS, STATUS.
    #expect(offered.rawValue == [0, 1, 2, 3, 4, 5, 9, 13, 15, 16].reduce(0) { $0 | 1 << $1 })
  }
}

extension ScriptedFrontEnd {
  /// Starts ring `index` again by the message that does it: enabling, or the kick where nothing else could.
  fileprivate func start(_ kick: borrowing EventFD, index: UInt32, _ features: ProtocolFeatures) throws {
    if features.isEmpty {
      try send(.setVringKick, littleEndian(UInt64(index)), [kick.raw])
    } else {
      try send(.setVringEnable, VringState(index: index, number: 1).bytes)
    }
  }
}
