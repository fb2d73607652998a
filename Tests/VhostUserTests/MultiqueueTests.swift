import Linux
import Testing
import VhostUser
import Virtio
import VirtioTesting

/// Many rings, of either layout, and how often poll threads stop for what is said about them.
@Suite struct MultiqueueTests {
  /// A session with all queue pairs there can be, and memory.
  private func negotiated(_ features: VirtioFeatures = [.version1]) throws -> (SessionFixture, GuestRAM) {
    let fixture = try SessionFixture(queuePairs: Session.maximumQueuePairs)
    try fixture.frontEnd.negotiate(features, [.multiqueue, .replyAcknowledgement])
    let ram = try GuestRAM()
    try fixture.frontEnd.setMemory(ram)
    return (fixture, ram)
  }

  @Test func `128 queue pairs run, each by itself`() throws {
    let (fixture, ram) = try negotiated()
    #expect(try fixture.frontEnd.askNumber(.getQueueCount) == 128)
    #expect(fixture.session.vrings.count == 256)
    let queues = try (0..<256).map { _ in try GuestQueue(ram, size: 2) }
    for (index, queue) in queues.enumerated() {
      try fixture.frontEnd.start(queue, index: UInt32(index), enable: index % 3 != 0)
      fixture.serve()
    }
    #expect(fixture.settle() == nil)
    for (index, queue) in queues.enumerated() {
      #expect(fixture.session.isUsable(index) == (index % 3 != 0))
      #expect(!fixture.session.discards(index))
      ram.store16(UInt16(index), at: queue.used + 2)
      let layout = try #require(try fixture.session.layout(of: index))
      let position = RingPosition(base: UInt32(index), size: 2, packed: false)
      #expect(RingPosition.reached(layout, packed: false) == position)
    }
    // One is disabled, one enabled, while the rest go on.
    #expect(try fixture.frontEnd.command(.setVringEnable, VringState(index: 255, number: 1).bytes) == 0)
    #expect(try fixture.frontEnd.command(.setVringEnable, VringState(index: 254, number: 0).bytes) == 0)
    #expect(fixture.session.isUsable(255) && fixture.session.discards(254))
  }

  @Test func `more or fewer queue pairs than there can be are not taken`() throws {
    #expect(try SessionFixture(queuePairs: 1000).session.queuePairs == 128)
    #expect(try SessionFixture(queuePairs: -1).session.queuePairs == 1)
  }

  @Test(arguments: [256, 257, 65_536, 0x1_0000, 0x8000_0000, .max] as [UInt32])
  func `Row 3: a ring beyond the last is refused at full width`(_ index: UInt32) throws {
    for request: Request in [.setVringSize, .setVringBase, .getVringBase, .setVringEnable] {
      let (fixture, _) = try negotiated()
      try fixture.frontEnd.send(request, VringState(index: index, number: 1).bytes)
      #expect(fixture.settle()?.kind == .violation, "\(request.name)")
    }
  }

  @Test(arguments: [1, 2, 4, 1024, 32_768] as [UInt32])
  func `rings have 1 to 32768 entries`(_ size: UInt32) throws {
    let (fixture, _) = try negotiated()
    #expect(try fixture.frontEnd.command(.setVringSize, VringState(index: 200, number: size).bytes) == 0)
    #expect(fixture.session.vrings[200].size == size)
  }

  // MARK: packed rings

  private func addresses(_ ram: GuestRAM, driver: UInt64 = 0x4000, device: UInt64 = 0x4004) -> [UInt8] {
    let base = ram.userAddress(0)
    return VringAddresses(index: 0, descriptors: base, used: base + device, available: base + driver).bytes
  }

  @Test func `a packed ring has a descriptor ring and two event suppression areas of four bytes`() throws {
    let (fixture, ram) = try negotiated([.version1, .packedRing])
    let frontEnd = fixture.frontEnd!
    let end = UInt64(ram.size)
    #expect(try frontEnd.command(.setVringSize, VringState(index: 0, number: 1024).bytes) == 0)
    #expect(try frontEnd.command(.setVringAddress, addresses(ram, driver: end - 8, device: end - 4)) == 0)
    let layout = try #require(try fixture.session.layout(of: 0))
    #expect(layout.used - layout.descriptors == ram.size - 4)
    #expect(layout.available - layout.descriptors == ram.size - 8)
    #expect(try frontEnd.command(.setVringAddress, addresses(ram, driver: end - 8, device: end)) == 1)
    #expect(fixture.settle()?.kind == .violation)
  }

  @Test func `Row 6: the event suppression areas of a packed ring are aligned to four bytes`() throws {
    for (driver, device) in [(0x4002, 0x4004), (0x4000, 0x4006)] as [(UInt64, UInt64)] {
      let (fixture, ram) = try negotiated([.version1, .packedRing])
      #expect(
        try fixture.frontEnd.command(.setVringAddress, addresses(ram, driver: driver, device: device)) == 1)
      #expect(fixture.settle()?.kind == .violation)
    }
    // What is right for a split ring is not for a packed one.
    let (fixture, ram) = try negotiated()
    let frontEnd = fixture.frontEnd!
    #expect(try frontEnd.command(.setVringSize, VringState(index: 0, number: 4).bytes) == 0)
    #expect(try frontEnd.command(.setVringAddress, addresses(ram, driver: 0x4002)) == 0)
    let packed: VirtioFeatures = [.version1, .packedRing, .protocolFeatures]
    #expect(try frontEnd.command(.setFeatures, littleEndian(packed.rawValue)) == 0)
    let kick = try EventFD()
    #expect(try frontEnd.command(.setVringKick, littleEndian(0 as UInt64), [kick.raw]) == 1)
    #expect(fixture.settle()?.kind == .violation)
  }

  /// Two positions of 15 bits with a wrap counter each.
  @Test func `the position of a packed ring comes and goes with 32 bits`() throws {
    let (fixture, ram) = try negotiated([.version1, .packedRing])
    let frontEnd = fixture.frontEnd!
    let base: UInt32 = 0x8000_8000 | 255 << 16 | 254
    let kick = try EventFD()
    for (request, payload) in [
      (Request.setVringSize, VringState(index: 0, number: 256).bytes),
      (.setVringBase, VringState(index: 0, number: base).bytes), (.setVringAddress, addresses(ram)),
    ] { #expect(try frontEnd.command(request, payload) == 0) }
    #expect(try frontEnd.command(.setVringKick, littleEndian(0 as UInt64), [kick.raw]) == 0)
    #expect(fixture.session.vrings[0].base == base)
    #expect(VringState(try frontEnd.ask(.getVringBase, VringState(index: 0, number: 0).bytes)).number == base)
    // It may be stopped at another size than it is started with next.
    #expect(try frontEnd.command(.setVringSize, VringState(index: 0, number: 4).bytes) == 0)
    #expect(try frontEnd.command(.setVringKick, littleEndian(0 as UInt64), [kick.raw]) == 1)
    #expect(fixture.settle()?.kind == .violation)
  }

  @Test func `Row 3: a position that does not fit the ring is refused`() throws {
    for (features, base) in [
      ([], 65_536), ([], .max), (.packedRing, 256), (.packedRing, 256 << 16), (.packedRing, .max),
    ] as [(VirtioFeatures, UInt32)] {
      let (fixture, _) = try negotiated(features.union(.version1))
      let kick = try EventFD()
      try fixture.frontEnd.send(.setVringSize, VringState(index: 0, number: 256).bytes)
      try fixture.frontEnd.send(.setVringBase, VringState(index: 0, number: base).bytes)
      try fixture.frontEnd.send(.setVringKick, littleEndian(0 as UInt64), [kick.raw])
      #expect(fixture.settle()?.kind == .violation, "\(base)")
    }
  }

  // MARK: poll threads

  @Test func `messages that arrive together stop poll threads once`() throws {
    let (fixture, driver) = try SessionFixture.running()
    let (quiesces, resumes) = (fixture.quiesces, fixture.resumes)
    for index: UInt32 in [0, 1, 0, 1] {
      try fixture.frontEnd.send(.setVringEnable, VringState(index: index, number: 0).bytes)
    }
    try fixture.frontEnd.send(.getFeatures)
    try fixture.frontEnd.send(.getVringBase, VringState(index: 0, number: 0).bytes)
    fixture.serve()
    #expect(fixture.quiesces == quiesces + 1)
    #expect(fixture.resumes == resumes + 1)
    #expect(!fixture.session.vrings[0].isStarted)
    withExtendedLifetime(driver) {}
  }

  @Test func `the position answered is the one reached when poll threads had stopped`() throws {
    let (fixture, _) = try SessionFixture.running()
    fixture.onQuiesce = { $0.vrings[1].base = 77 }
    #expect(try fixture.frontEnd.stop() == (0, 77))
  }

  @Test func `questions and announcements stop nothing`() throws {
    let (fixture, _) = try SessionFixture.running(ProtocolFeatures.implemented.subtracting(.status))
    let quiesces = fixture.quiesces
    _ = try fixture.frontEnd.askNumber(.getFeatures)
    _ = try fixture.frontEnd.askNumber(.getQueueCount)
    _ = try fixture.frontEnd.askNumber(.getMaximumMemorySlots)
    #expect(try fixture.frontEnd.command(.sendRARP, [2, 0, 0, 0, 0, 1, 0, 0]) == 0)
    #expect(fixture.quiesces == quiesces)
  }

  @Test func `what resuming finds wrong ends the session`() throws {
    let (fixture, _) = try SessionFixture.running()
    fixture.onResume = { _ throws(SessionError) in throw .violation("a ring is broken") }
    try fixture.frontEnd.send(.setVringEnable, VringState(index: 0, number: 1).bytes)
    #expect(fixture.settle() == .violation("a ring is broken"))
  }

  @Test func `Row 7: a memory table without the memory of a started ring is refused`() throws {
    let (fixture, driver) = try SessionFixture.running()
    var region = driver.ram.regions[0]
    region.userAddress += 1 << 40
    let table = ScriptedFrontEnd.memoryTable([region])
    #expect(try fixture.frontEnd.command(.setMemoryTable, table, [driver.ram.file.raw]) == 1)
    #expect(fixture.settle()?.kind == .violation)
    #expect(mappings(driver.ram.file.raw) == 1)
  }
}
