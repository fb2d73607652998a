import Linux
import Testing
import VhostUser
import Virtio
import VirtioTesting

/// The log of a migration, as a front-end shares it.
@Suite(.serialized) struct DirtyLogTests {
  private static let protocolFeatures: ProtocolFeatures = [.replyAcknowledgement, .logSharing, .memorySlots]
  /// Bytes for 8 MiB of guest memory from address 0 on.
  private static let size: UInt64 = 256

  private func running() throws -> (SessionFixture, GuestDriver) {
    try SessionFixture.running(Self.protocolFeatures)
  }

  private func description(_ size: UInt64, _ offset: UInt64 = 0) -> [UInt8] {
    littleEndian(size) + littleEndian(offset)
  }

  private func setLogging(_ fixture: SessionFixture, _ isOn: Bool) throws {
    var features = try #require(fixture.session.features)
    if isOn { features.insert(.logAll) } else { features.remove(.logAll) }
    #expect(try fixture.frontEnd.command(.setFeatures, littleEndian(features.rawValue)) == 0)
  }

  @Test func `logging begins and ends while rings run, as QEMU does it`() throws {
    let (fixture, driver) = try running()
    let frontEnd = fixture.frontEnd!
    let file = try makeMemoryFile(name: "log", size: 8192)
    #expect(fixture.session.dirtyLog == nil)
    try frontEnd.send(.setLogBase, description(Self.size, 4096), [file.raw])
    let reply = try frontEnd.receive()
    #expect(reply.request == Request.setLogBase.rawValue)
    #expect(reply.flags == [.version1, .reply])
    #expect(reply.word(0) == 0 as UInt64)
    #expect(fixture.session.dirtyLog == nil, "not before it is asked for")
    try setLogging(fixture, true)
    // The rings are named again, with the wish that they be logged, and keep their places.
    for (index, queue) in [driver.receiveQueue, driver.transmitQueue].enumerated() {
      var addresses = ScriptedFrontEnd.addresses(queue, index: UInt32(index))
      addresses.flags = 1
      #expect(try frontEnd.command(.setVringAddress, addresses.bytes) == 0)
      #expect(fixture.session.isUsable(index))
    }
    let log = try #require(fixture.session.dirtyLog)
    let memory = try #require(fixture.session.memory)
    log.mark(try #require(memory.map.translate(5 << 12, 1)), 1)
    let view = try Mapping(shared: file.raw, length: 8192)
    #expect(view.base.load(fromByteOffset: 4096, as: UInt8.self) == 1 << 5)
    #expect(openCopies(file.raw) == 1)
    #expect(mappings(file.raw) == 2)
    // A larger log takes its place; the old one is unmapped.
    #expect(try frontEnd.command(.setLogBase, description(2 * Self.size), [file.raw]) == 0)
    #expect(mappings(file.raw) == 2)
    try setLogging(fixture, false)
    #expect(fixture.session.dirtyLog == nil)
    #expect(mappings(file.raw) == 1)
  }

  @Test func `an eventfd for changes is taken, and not kept`() throws {
    let (fixture, driver) = try running()
    let event = try EventFD()
    #expect(try fixture.frontEnd.command(.setLogDescriptor, [], [event.raw]) == 0)
    #expect(openCopies(event.raw) == 1)
    #expect(try fixture.frontEnd.command(.setLogDescriptor, [], [driver.ram.file.raw]) == 1)
    #expect(fixture.settle()?.kind == .violation)
  }

  @Test func `Row 8: a log that is too small, or not in its file, is refused`() throws {
    func refuse(_ what: String, _ payload: [UInt8], descriptors: Int = 1) throws {
      let (fixture, _) = try running()
      let file = try makeMemoryFile(name: "log", size: 4096)
      try fixture.frontEnd.send(
        .setLogBase, payload, [Int32](repeating: file.raw, count: descriptors), needReply: true)
      #expect(try fixture.frontEnd.receive().word(0) == 1 as UInt64, "\(what)")
      #expect(fixture.settle()?.kind == .violation, "\(what)")
      #expect(openCopies(file.raw) == 1, "\(what)")
      #expect(mappings(file.raw) == 0, "\(what)")
    }
    try refuse("a page too few", description(Self.size - 1))
    try refuse("empty", description(0))
    try refuse("beyond the file", description(Self.size, 4096 - Self.size + 1))
    try refuse("all beyond the file", description(Self.size, 4096))
    try refuse("an offset that overflows", description(Self.size, .max - 10))
    try refuse("a size that overflows", description(.max, 1))
    try refuse("no descriptor", description(Self.size), descriptors: 0)
    try refuse("two descriptors", description(Self.size), descriptors: 2)
    try refuse("the legacy form", littleEndian(0 as UInt64))
  }

  @Test func `Row 8: memory that outgrows a log in use is refused`() throws {
    let (fixture, driver) = try running()
    let file = try makeMemoryFile(name: "log", size: 4096)
    #expect(try fixture.frontEnd.command(.setLogBase, description(Self.size), [file.raw]) == 0)
    try setLogging(fixture, true)
    var region = driver.ram.regions[0]
    region.guestAddress = 8 << 20
    region.userAddress = 1 << 40
    let payload = littleEndian(0 as UInt64) + region.bytes
    #expect(try fixture.frontEnd.command(.addMemoryRegion, payload, [driver.ram.file.raw]) == 1)
    #expect(fixture.settle()?.kind == .violation)
  }

  @Test func `memory may outgrow a log nobody uses`() throws {
    let (fixture, driver) = try running()
    let file = try makeMemoryFile(name: "log", size: 4096)
    #expect(try fixture.frontEnd.command(.setLogBase, description(Self.size), [file.raw]) == 0)
    var region = driver.ram.regions[0]
    region.guestAddress = 8 << 20
    region.userAddress = 1 << 40
    let payload = littleEndian(0 as UInt64) + region.bytes
    #expect(try fixture.frontEnd.command(.addMemoryRegion, payload, [driver.ram.file.raw]) == 0)
    #expect(mappings(file.raw) == 0)
    try setLogging(fixture, true)
    #expect(fixture.session.dirtyLog == nil)
    #expect(try fixture.frontEnd.command(.setLogBase, description(2 * Self.size), [file.raw]) == 0)
    #expect(fixture.session.dirtyLog != nil)
  }

  @Test func `Row 4: logs set for ever leave nothing behind`() throws {
    let (fixture, _) = try running()
    let file = try makeMemoryFile(name: "log", size: 4096)
    let event = try EventFD()
    for _ in 0..<5_000 {
      #expect(try fixture.frontEnd.command(.setLogBase, description(Self.size), [file.raw]) == 0)
      try fixture.frontEnd.send(.setLogDescriptor, [], [event.raw])
    }
    #expect(fixture.settle() == nil)
    #expect(openCopies(file.raw) == 1)
    #expect(openCopies(event.raw) == 1)
    #expect(mappings(file.raw) == 1)
  }
}
