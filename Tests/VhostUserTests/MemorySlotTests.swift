import Linux
import Testing
import VhostUser
import Virtio
import VirtioTesting

/// Memory regions that come and go one by one.
@Suite(.serialized) struct MemorySlotTests {
  private static let features: ProtocolFeatures = [.replyAcknowledgement, .memorySlots]

  /// The payload of ADD_MEM_REG and REM_MEM_REG.
  private func region(_ region: GuestRegionDescription) -> [UInt8] {
    littleEndian(0 as UInt64) + region.bytes
  }

  /// A running session whose memory came by slots, in two halves.
  private func running() throws -> (SessionFixture, GuestDriver) {
    let fixture = try SessionFixture()
    let driver = try GuestDriver(ram: GuestRAM(shape: .swappedHalves))
    try fixture.frontEnd.negotiate(driver.features, Self.features)
    for half in driver.ram.regions {
      #expect(try fixture.frontEnd.command(.addMemoryRegion, region(half), [driver.ram.file.raw]) == 0)
    }
    try fixture.frontEnd.start(driver.receiveQueue, index: 0)
    try fixture.frontEnd.start(driver.transmitQueue, index: 1)
    #expect(fixture.settle() == nil)
    #expect(fixture.session.isUsable(0) && fixture.session.isUsable(1))
    return (fixture, driver)
  }

  @Test func `a front-end may have at least as many slots as QEMU can use`() throws {
    let fixture = try SessionFixture()
    try fixture.frontEnd.negotiate([.version1], Self.features)
    #expect(try fixture.frontEnd.askNumber(.getMaximumMemorySlots) == 512)
  }

  @Test func `a ring stops with its region and goes on when that is back`() throws {
    let (fixture, driver) = try running()
    let frontEnd = fixture.frontEnd!
    let lower = driver.ram.regions[0]
    let quiesces = fixture.quiesces
    // Some front-ends send the descriptor along; it is closed.
    #expect(try frontEnd.command(.removeMemoryRegion, region(lower), [driver.ram.file.raw]) == 0)
    #expect(fixture.quiesces == quiesces + 1)
    #expect(fixture.session.memory?.descriptions == [driver.ram.regions[1]])
    for index in 0...1 {
      #expect(!fixture.session.isUsable(index))
      #expect(!fixture.session.discards(index))
      #expect(try fixture.session.layout(of: index) == nil)
    }
    #expect(try frontEnd.command(.addMemoryRegion, region(lower), [driver.ram.file.raw]) == 0)
    #expect(fixture.session.isUsable(0) && fixture.session.isUsable(1))
    #expect(try fixture.session.layout(of: 0) != nil)
    #expect(openCopies(driver.ram.file.raw) == 1)
    #expect(mappedBytes(driver.ram.file.raw) == 2 * UInt64(driver.ram.size))
  }

  @Test func `without an acknowledgement asked for there is none`() throws {
    let (fixture, driver) = try running()
    try fixture.frontEnd.send(.removeMemoryRegion, region(driver.ram.regions[1]))
    try fixture.frontEnd.send(.addMemoryRegion, region(driver.ram.regions[1]), [driver.ram.file.raw])
    #expect(try fixture.frontEnd.askNumber(.getMaximumMemorySlots) == 512)
  }

  @Test func `all memory may go`() throws {
    let (fixture, driver) = try running()
    for half in driver.ram.regions {
      #expect(try fixture.frontEnd.command(.removeMemoryRegion, region(half)) == 0)
    }
    #expect(fixture.session.memory == nil)
    #expect(!fixture.session.isUsable(0))
    #expect(mappings(driver.ram.file.raw) == 1)
    #expect(fixture.settle() == nil)
  }

  /// As QEMU before 8.0 does for each queue pair.
  @Test func `a change of memory that is said again changes nothing`() throws {
    let (fixture, driver) = try running()
    let frontEnd = fixture.frontEnd!
    let upper = driver.ram.regions[1]
    #expect(try frontEnd.command(.addMemoryRegion, region(upper), [driver.ram.file.raw]) == 0)
    #expect(fixture.session.memory?.descriptions == driver.ram.regions)
    #expect(mappedBytes(driver.ram.file.raw) == 2 * UInt64(driver.ram.size))
    // Half of it takes its place, and the whole is taken away once more.
    var half = upper
    half.size /= 2
    #expect(try frontEnd.command(.removeMemoryRegion, region(upper)) == 0)
    #expect(try frontEnd.command(.addMemoryRegion, region(half), [driver.ram.file.raw]) == 0)
    #expect(try frontEnd.command(.removeMemoryRegion, region(upper)) == 0)
    #expect(fixture.session.memory?.descriptions == [driver.ram.regions[0], half])
    #expect(openCopies(driver.ram.file.raw) == 1)
    #expect(fixture.settle() == nil)
  }

  @Test func `Row 1: slots that contradict each other or their descriptors are refused`() throws {
    func refuse(
      _ what: String, _ request: Request, _ change: (inout GuestRegionDescription) -> Void,
      descriptors: Int = 1
    ) throws {
      let event = try EventFD()
      let (fixture, driver) = try running()
      var changed = driver.ram.regions[1]
      change(&changed)
      try fixture.frontEnd.send(
        request, region(changed), [Int32](repeating: driver.ram.file.raw, count: descriptors), needReply: true
      )
      #expect(try fixture.frontEnd.receive().word(0) == 1 as UInt64, "\(what)")
      #expect(fixture.settle()?.kind == .violation, "\(what)")
      #expect(openCopies(driver.ram.file.raw) == 1, "\(what)")
      #expect(mappings(driver.ram.file.raw) == 1, "\(what)")
      withExtendedLifetime(event) {}
    }
    func elsewhere(_ region: inout GuestRegionDescription) {
      region.guestAddress = 1 << 40
      region.userAddress = 1 << 40
    }
    try refuse("the same guest address", .addMemoryRegion, { $0.userAddress = 1 << 40 })
    try refuse("the same user address", .addMemoryRegion, { $0.guestAddress = 1 << 40 })
    try refuse("no descriptor", .addMemoryRegion, elsewhere, descriptors: 0)
    try refuse("two descriptors", .addMemoryRegion, elsewhere, descriptors: 2)
    try refuse(
      "beyond the file", .addMemoryRegion,
      {
        elsewhere(&$0)
        $0.fileOffset += 8 << 20
      })
    try refuse(
      "an offset that overflows", .addMemoryRegion,
      {
        elsewhere(&$0)
        $0.fileOffset = .max - 4095
      })
    try refuse(
      "empty", .addMemoryRegion,
      {
        elsewhere(&$0)
        $0.size = 0
      })
    try refuse("two descriptors to remove by", .removeMemoryRegion, { _ in }, descriptors: 2)
  }

  /// Two million calls of mmap would take minutes; what leaks once leaks in thousands.
  @Test func `Row 4: regions that come and go for ever leave nothing behind`() throws {
    let (fixture, driver) = try running()
    let lower = driver.ram.regions[0]
    for _ in 0..<5_000 {
      try fixture.frontEnd.send(.removeMemoryRegion, region(lower), [driver.ram.file.raw])
      try fixture.frontEnd.send(.addMemoryRegion, region(lower), [driver.ram.file.raw])
      fixture.serve()
    }
    #expect(fixture.settle() == nil)
    #expect(openCopies(driver.ram.file.raw) == 1)
    #expect(mappedBytes(driver.ram.file.raw) == 2 * UInt64(driver.ram.size))
    #expect(fixture.session.isUsable(1))
  }
}
