import CLinux
import Glibc
import Linux
import Testing
import VhostUser
import Virtio
import VirtioTesting

/// What a correct front-end says is understood.
@Suite struct SessionTests {
  @Test func negotiation() throws {
    let fixture = try SessionFixture()
    let frontEnd = fixture.frontEnd!
    #expect(try frontEnd.askNumber(.getFeatures) == VirtioFeatures.implemented.rawValue)
    #expect(try frontEnd.askNumber(.getProtocolFeatures) == 0x1A23F)
    #expect(fixture.session.phase == .negotiating)
    try frontEnd.negotiate([.version1, .eventIndex])
    #expect(fixture.settle() == nil)
    #expect(fixture.session.phase == .configured)
    #expect(fixture.session.features == [.version1, .eventIndex, .protocolFeatures])
    #expect(fixture.session.protocolFeatures == [.multiqueue, .replyAcknowledgement])
    #expect(try frontEnd.askNumber(.getQueueCount) == 1)
  }

  @Test func rings() throws {
    let (fixture, driver) = try SessionFixture.running()
    #expect(fixture.session.phase == .running)
    #expect(fixture.session.isUsable(0))
    #expect(fixture.session.isUsable(1))
    let layout = try #require(try fixture.session.layout(of: 1))
    driver.transmitQueue.ram.store16(77, at: driver.transmitQueue.used + 2)
    #expect(RingPosition.reached(layout, packed: false) == RingPosition(base: 77, size: 256, packed: false))
  }

  /// SECURITY: GET_VRING_BASE stops the ring and forgets its addresses and descriptors.
  @Test func `Row 7: GET_VRING_BASE stops a ring and forgets its addresses and descriptors`() throws {
    let (fixture, _) = try SessionFixture.running()
    fixture.session.vrings[1].base = 41
    #expect(try fixture.frontEnd.stop() == (0, 41))
    for vring in fixture.session.vrings {
      #expect(vring.addresses == nil)
      #expect(vring.kick == nil)
      #expect(vring.call == nil)
      #expect(!vring.isRunnable)
    }
    // A kick alone does not bring the old addresses back.
    let kick = try EventFD()
    try fixture.frontEnd.send(.setVringKick, littleEndian(1 as UInt64), [kick.raw])
    #expect(fixture.settle() == nil)
    #expect(!fixture.session.isUsable(1))
  }

  @Test func acknowledgements() throws {
    let fixture = try SessionFixture()
    try fixture.frontEnd.negotiate([.version1])
    let driver = try GuestDriver()
    let table = ScriptedFrontEnd.memoryTable(driver.ram.regions)
    #expect(try fixture.frontEnd.command(.setMemoryTable, table, [driver.ram.file.raw]) == 0)
    #expect(try fixture.frontEnd.command(.setVringSize, VringState(index: 0, number: 256).bytes) == 0)
    // Refused, told, and closed.
    #expect(try fixture.frontEnd.command(.setVringSize, VringState(index: 0, number: 3).bytes) == 1)
    #expect(fixture.frontEnd.isClosedByPeer())
  }

  /// Whatever a poll thread uses is changed only while none is inside.
  @Test func quiescesBeforeEveryChange() throws {
    let (fixture, driver) = try SessionFixture.running()
    let frontEnd = fixture.frontEnd!
    let table = ScriptedFrontEnd.memoryTable(driver.ram.regions)
    let changes: [() throws -> Void] = [
      { try frontEnd.send(.setMemoryTable, table, [driver.ram.file.raw]) },
      { try frontEnd.send(.setVringCall, littleEndian(0 as UInt64), [driver.receiveQueue.call.raw]) },
      { try frontEnd.send(.setVringKick, littleEndian(0 as UInt64), [driver.receiveQueue.kick.raw]) },
      {
        try frontEnd.send(
          .setVringAddress, ScriptedFrontEnd.addresses(driver.receiveQueue, index: 0).bytes)
      },
      { try frontEnd.send(.setVringEnable, VringState(index: 0, number: 0).bytes) },
      { try frontEnd.send(.resetOwner) },
    ]
    for change in changes {
      let before = fixture.quiesces
      try change()
      #expect(fixture.settle() == nil)
      #expect(fixture.quiesces == before + 1)
      #expect(fixture.resumes == fixture.quiesces)
    }
  }

  /// SECURITY: messages in pieces, and several at once.
  @Test func `Row 5: messages in pieces, and several at once`() throws {
    let fixture = try SessionFixture()
    let message = Message(.getFeatures).bytes
    for byte in message {
      try fixture.frontEnd.sendRaw([byte])
      fixture.serve()
    }
    #expect(try fixture.frontEnd.receive().word(0) == VirtioFeatures.implemented.rawValue)
    try fixture.frontEnd.sendRaw(message + message + Message(.getProtocolFeatures).bytes + message.prefix(5))
    for request: Request in [.getFeatures, .getFeatures, .getProtocolFeatures] {
      #expect(try fixture.frontEnd.receive().request == request.rawValue)
    }
    try fixture.frontEnd.sendRaw(Array(message.dropFirst(5)))
    #expect(try fixture.frontEnd.receive().request == Request.getFeatures.rawValue)
    // A payload in pieces, with its descriptor on the first byte.
    try fixture.frontEnd.negotiate([.version1])
    let driver = try GuestDriver()
    let table = Message(.setMemoryTable, payload: ScriptedFrontEnd.memoryTable(driver.ram.regions)).bytes
    try fixture.frontEnd.sendRaw([table[0]], [driver.ram.file.raw])
    for byte in table.dropFirst() {
      try fixture.frontEnd.sendRaw([byte])
      fixture.serve()
    }
    #expect(fixture.settle() == nil)
    #expect(fixture.session.memory?.descriptions == driver.ram.regions)
  }

  /// SECURITY: requests of features nobody offered.
  @Test func `Row 10: requests of features nobody offered are ignored`() throws {
    let fixture = try SessionFixture()
    try fixture.frontEnd.negotiate([.version1])
    let event = try EventFD()
    let harmless: [UInt32] = [
      0, 6, 7, 19, 21, 22, 23, 25, 27, 29, 30, 32, 33, 34, 35, 37, 38, 44, 1000, .max,
    ]
    for request in harmless {
      try fixture.frontEnd.send(request, [1, 2, 3, 4, 5, 6, 7, 8], [event.raw], needReply: true)
      #expect(try fixture.frontEnd.receive().word(0) == 1 as UInt64)
      try fixture.frontEnd.send(request, [], [event.raw])
    }
    #expect(fixture.settle() == nil)
    #expect(openCopies(event.raw) == 1)
    #expect(try fixture.frontEnd.askNumber(.getQueueCount) == 1)
  }

  /// Requests that would wait for an answer nobody can give end the session.
  @Test(arguments: [24, 26, 28, 31, 36, 41, 42, 43] as [UInt32])
  func `Row 10: a request that would wait for ever ends the session`(_ request: UInt32) throws {
    let fixture = try SessionFixture()
    try fixture.frontEnd.send(request, [])
    #expect(fixture.frontEnd.isClosedByPeer())
    #expect(fixture.end?.kind == .violation)
  }
}
