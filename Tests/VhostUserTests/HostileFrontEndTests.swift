import CLinux
import Glibc
import Linux
import Testing
import VhostUser
import Virtio
import VirtioTesting

/// SECURITY: messages no front-end should send. Each ends the session, closes every descriptor that came with it, and
/// leaves nothing mapped.
@Suite(.serialized) struct HostileFrontEndTests {
  /// Sends with `body` in a running session, which ends by it. No copy of any descriptor sent remains.
  private func expectRefusal(
    _ what: String, _ body: (SessionFixture, GuestDriver, Int32) throws -> Void
  ) throws {
    let event = try EventFD()
    let (fixture, driver) = try SessionFixture.running(.implemented)
    try body(fixture, driver, event.raw)
    let end = fixture.settle()
    #expect(end?.kind == .violation, "\(what): \(String(describing: end))")
    let lent = [driver.receiveQueue, driver.transmitQueue].flatMap { [$0.kick.raw, $0.call.raw] }
    for descriptor in lent + [driver.ram.file.raw, event.raw] {
      #expect(openCopies(descriptor) == 1, "\(what)")
    }
  }

  private static let size: UInt64 = 8 << 20

  static let tables: [(String, [GuestRegionDescription])] = [
    ("guest address overflows", [region(.max - 4095)]),
    ("user address overflows", [region(user: .max - 4095)]),
    ("offset overflows", [region(offset: .max - 4095)]),
    ("file too short", [region(offset: 4096)]),
    ("far larger than its file", [region(size: 1 << 50)]),
    ("empty", [region(size: 0)]),
    ("guest address misaligned", [region(8)]),
    ("size misaligned", [region(size: 4097)]),
    ("user address misaligned", [region(user: 1 << 30 | 1)]),
    ("offset misaligned", [region(size: 4096, offset: 17)]),
    ("same guest addresses", [region(), region(user: 1 << 40)]),
    ("overlapping guest addresses", [region(size: 8192), region(4096, user: 1 << 40)]),
    ("overlapping user addresses", [region(size: 8192), region(1 << 40, user: 1 << 30 | 4096)]),
  ]

  private static func region(
    _ guest: UInt64 = 0, size: UInt64 = size, user: UInt64 = 1 << 30, offset: UInt64 = 0
  ) -> GuestRegionDescription {
    GuestRegionDescription(guestAddress: guest, size: size, userAddress: user, fileOffset: offset)
  }

  @Test(arguments: tables)
  func `Row 1: a table whose regions cannot be`(_ name: String, _ regions: [GuestRegionDescription]) throws {
    try expectRefusal(name) { fixture, driver, _ in
      try fixture.frontEnd.send(
        .setMemoryTable, ScriptedFrontEnd.memoryTable(regions), regions.map { _ in driver.ram.file.raw })
    }
  }

  @Test func `Row 1: a table of the wrong shape, or with files that are no memory`() throws {
    let one = Self.region()
    let good = ScriptedFrontEnd.memoryTable([one])
    func refuse(_ what: String, _ payload: [UInt8], _ count: Int) throws {
      try expectRefusal(what) { fixture, driver, _ in
        try fixture.frontEnd.send(
          .setMemoryTable, payload, [Int32](repeating: driver.ram.file.raw, count: count))
      }
    }
    try refuse("no regions", littleEndian(0 as UInt64), 0)
    try refuse("no payload", [], 0)
    try refuse("a truncated region", Array(good.dropLast()), 1)
    try refuse("surplus bytes", good + [0], 1)
    try refuse("a count of 2^32-1", littleEndian(UInt32.max) + good.dropFirst(4), 1)
    try refuse("65 regions", littleEndian(65 as UInt64) + [UInt8](repeating: 0, count: 65 * 32), 8)
    try refuse("missing descriptors", good, 0)
    try refuse("surplus descriptors", good, 3)
    try refuse("very many descriptors", good, 64)
    try expectRefusal("a directory") { fixture, _, event in
      let directory = try FileDescriptor.open("/tmp", O_RDONLY)
      try fixture.frontEnd.send(.setMemoryTable, good, [directory.raw])
    }
    try expectRefusal("an eventfd") { fixture, _, event in
      try fixture.frontEnd.send(.setMemoryTable, good, [event])
    }
    try expectRefusal("a device") { fixture, _, event in
      let zero = try FileDescriptor.open("/dev/zero", O_RDWR)
      try fixture.frontEnd.send(.setMemoryTable, good, [zero.raw])
    }
    try expectRefusal("a file that cannot be written") { fixture, driver, _ in
      let readOnly = try FileDescriptor.open("/proc/self/fd/\(driver.ram.file.raw)", O_RDONLY)
      try fixture.frontEnd.send(.setMemoryTable, good, [readOnly.raw])
    }
  }

  @Test func `Row 1: a refused table leaves nothing mapped`() throws {
    let ram = try GuestRAM()
    #expect(mappings(ram.file.raw) == 1)
    let regions = [Self.region(size: 4096), Self.region(1 << 40, size: 4096, user: 1 << 40)]
    let event = try EventFD()
    #expect(throws: GuestMemoryError.self) { try GuestMemory(regions, files: [ram.file.raw, event.raw]) }
    #expect(mappings(ram.file.raw) == 1)
    let memory = try GuestMemory(regions, files: [ram.file.raw, ram.file.raw])
    #expect(mappings(ram.file.raw) == 3)
    withExtendedLifetime(memory) {}
  }

  @Test(arguments: [0, 3, 100, 32_769, 65_536, 1 << 31, .max] as [UInt32])
  func `Row 6: a ring size that cannot be`(_ size: UInt32) throws {
    try expectRefusal("\(size) entries") { fixture, _, event in
      _ = try fixture.frontEnd.stop()
      try fixture.frontEnd.send(.setVringSize, VringState(index: 0, number: size).bytes)
    }
  }

  @Test func `Row 6: changes of a started ring`() throws {
    try expectRefusal("size of a started ring") { fixture, _, event in
      try fixture.frontEnd.send(.setVringSize, VringState(index: 0, number: 128).bytes)
    }
    try expectRefusal("base of a started ring") { fixture, _, event in
      try fixture.frontEnd.send(.setVringBase, VringState(index: 0, number: 5).bytes)
    }
    try expectRefusal("features of a started ring") { fixture, _, event in
      try fixture.frontEnd.send(.setFeatures, littleEndian(0 as UInt64))
    }
    try expectRefusal("protocol features of a started ring") { fixture, _, event in
      try fixture.frontEnd.send(.setProtocolFeatures, littleEndian(0 as UInt64))
    }
  }

  /// Indices are compared at full width: 2^32 and 256 are not ring 0.
  @Test(arguments: [2, 3, 255, 256, 65_536, 0x8000_0000, .max] as [UInt32])
  func `Row 3: a ring that is not there`(_ index: UInt32) throws {
    for request: Request in [.setVringSize, .setVringBase, .getVringBase, .setVringEnable] {
      try expectRefusal("\(request.name) of ring \(index)") { fixture, _, event in
        try fixture.frontEnd.send(request, VringState(index: index, number: 1).bytes)
      }
    }
    try expectRefusal("SET_VRING_ADDR of ring \(index)") { fixture, driver, _ in
      let addresses = ScriptedFrontEnd.addresses(driver.receiveQueue, index: index)
      try fixture.frontEnd.send(.setVringAddress, addresses.bytes)
    }
  }

  @Test(arguments: [2, 255, 0x200, 0x1_0000_0000, 0x8000_0000_0000_0000] as [UInt64])
  func `Row 3: an eventfd for a ring that is not there`(_ word: UInt64) throws {
    for request: Request in [.setVringKick, .setVringCall, .setVringError] {
      try expectRefusal("\(request.name) of \(word)") { fixture, _, event in
        try fixture.frontEnd.send(request, littleEndian(word), [event])
      }
    }
  }

  @Test func `Row 4: missing, surplus and wrong descriptors`() throws {
    for request: Request in [.setVringKick, .setVringCall, .setVringError] {
      try expectRefusal("\(request.name) without a descriptor") { fixture, _, event in
        try fixture.frontEnd.send(request, littleEndian(0 as UInt64))
      }
      try expectRefusal("\(request.name) with two descriptors") { fixture, _, event in
        try fixture.frontEnd.send(request, littleEndian(0 as UInt64), [event, event])
      }
      try expectRefusal("\(request.name) with one it says is not there") { fixture, _, event in
        try fixture.frontEnd.send(request, littleEndian(0x100 as UInt64), [event])
      }
      try expectRefusal("\(request.name) with a file") { fixture, driver, _ in
        try fixture.frontEnd.send(request, littleEndian(0 as UInt64), [driver.ram.file.raw])
      }
      try expectRefusal("\(request.name) with a pipe") { fixture, _, event in
        var ends: [Int32] = [0, 0]
        #expect(pipe(&ends) == 0)
        defer { for end in ends { close(end) } }
        try fixture.frontEnd.send(request, littleEndian(0 as UInt64), [ends[1]])
      }
    }
    try expectRefusal("a descriptor with a request that takes none") { fixture, _, event in
      try fixture.frontEnd.send(.getFeatures, [], [event])
    }
  }

  @Test func `Row 6: ring addresses misaligned or outside memory`() throws {
    func refuse(_ what: String, _ change: (inout VringAddresses, GuestRAM) -> Void) throws {
      try expectRefusal(what) { fixture, driver, _ in
        var addresses = ScriptedFrontEnd.addresses(driver.transmitQueue, index: 1)
        change(&addresses, driver.ram)
        try fixture.frontEnd.send(.setVringAddress, addresses.bytes)
      }
    }
    try refuse("descriptors misaligned") { addresses, _ in addresses.descriptors += 8 }
    try refuse("available misaligned") { addresses, _ in addresses.available += 1 }
    try refuse("used misaligned") { addresses, _ in addresses.used += 2 }
    try refuse("descriptors outside") { addresses, _ in addresses.descriptors = 4096 }
    try refuse("available outside") { addresses, _ in addresses.available = .max - 1 }
    try refuse("used outside") { addresses, ram in addresses.used += UInt64(ram.size) }
    try refuse("descriptors cross the end") { addresses, ram in
      addresses.descriptors = ram.userAddress(UInt64(ram.size) - 16)
    }
    try refuse("used crosses the end") { addresses, ram in
      addresses.used = ram.userAddress(UInt64(ram.size) - 8)
    }
    try refuse("available crosses the end") { addresses, ram in
      addresses.available = ram.userAddress(UInt64(ram.size) - 4)
    }
  }

  /// A ring across two regions: adjacent for the front-end, not for us.
  @Test func `Row 6: a ring across two regions`() throws {
    let fixture = try SessionFixture()
    let ram = try GuestRAM()
    let base = ram.userAddress(0)
    let half = UInt64(ram.size / 2)
    let regions = [
      GuestRegionDescription(guestAddress: 0, size: half, userAddress: base, fileOffset: half),
      GuestRegionDescription(guestAddress: half, size: half, userAddress: base + half, fileOffset: 0),
    ]
    try fixture.frontEnd.negotiate([.version1])
    try fixture.frontEnd.send(
      .setMemoryTable, ScriptedFrontEnd.memoryTable(regions), [ram.file.raw, ram.file.raw])
    try fixture.frontEnd.send(.setVringSize, VringState(index: 0, number: 256).bytes)
    #expect(fixture.settle() == nil)
    let addresses = VringAddresses(
      index: 0, descriptors: base + half - 2048, used: base, available: base + 8192)
    try fixture.frontEnd.send(.setVringAddress, addresses.bytes)
    #expect(fixture.settle()?.kind == .violation)
  }

  @Test func `Row 5: versions, flags and sizes no message has`() throws {
    func refuse(_ what: String, _ request: UInt32, _ flags: UInt32, _ size: UInt32, _ payload: Int) throws {
      try expectRefusal(what) { fixture, _, event in
        let header = littleEndian(request) + littleEndian(flags) + littleEndian(size)
        try fixture.frontEnd.sendRaw(header + [UInt8](repeating: 0, count: payload), [event])
      }
    }
    try refuse("version 0", 1, 0, 0, 0)
    try refuse("version 2", 1, 2, 0, 0)
    try refuse("version 3", 1, 3, 0, 0)
    try refuse("a reply", 1, 5, 0, 0)
    try refuse("unknown flags", 1, 0x8000_0001, 0, 0)
    try refuse("4 GiB of payload", 1, 1, .max, 0)
    try refuse("more than any message has", 5, 1, 4097, 100)
    for request in Array(1...22) + [24, 25, 34, 36, 37, 38, 39, 40] as [UInt32] {
      try refuse("request \(request) with 3 bytes", request, 1, 3, 3)
      try refuse("request \(request) with 4096 bytes", request, 1, 4096, 4096)
    }
  }

  @Test func `Row 3: values beyond their range`() throws {
    func refuse(_ request: Request, _ payload: [UInt8]) throws {
      try expectRefusal("\(request.name) \(payload)") { fixture, _, event in
        _ = try fixture.frontEnd.stop()
        try fixture.frontEnd.send(request, payload)
      }
    }
    try refuse(.setFeatures, littleEndian(1 << 40 as UInt64))
    try refuse(.setFeatures, littleEndian(UInt64.max))
    try refuse(.setProtocolFeatures, littleEndian(1 << 6 as UInt64))
    try refuse(.setVringBase, VringState(index: 0, number: 65_536).bytes)
    try refuse(.setVringEnable, VringState(index: 0, number: 2).bytes)
    try refuse(.setStatus, littleEndian(256 as UInt64))
    let fixture = try SessionFixture()
    let kick = try EventFD()
    try fixture.frontEnd.send(.setVringKick, littleEndian(0 as UInt64), [kick.raw])
    #expect(fixture.settle()?.kind == .violation, "a ring is started before features are known")
  }

  /// Closed in the middle of a message, with descriptors already received.
  @Test func `Row 11: closed in the middle of a message`() throws {
    let event = try EventFD()
    for length in 1..<20 {
      let fixture = try SessionFixture()
      let bytes = Message(.setVringCall, payload: littleEndian(0 as UInt64)).bytes
      try fixture.frontEnd.sendRaw(Array(bytes.prefix(length)), [event.raw])
      fixture.serve()
      shutdown(fixture.frontEnd.connection.descriptor.raw, Int32(SHUT_WR))
      #expect(fixture.settle() == .closed)
    }
    #expect(openCopies(event.raw) == 1)
  }

  /// A front-end that never reads its answers is not waited for.
  @Test func `Row 5: answers nobody reads are not kept`() throws {
    let fixture = try SessionFixture()
    let requests = (0..<100).flatMap { _ in Message(.getFeatures).bytes }
    for _ in 0..<1000 where fixture.end == nil {
      try? fixture.frontEnd.sendRaw(requests)
      _ = fixture.settle()
    }
    #expect(fixture.end?.kind == .violation)
  }

  @Test func `Row 4: very many messages of each kind leave no descriptor and no mapping behind`() throws {
    let (fixture, driver) = try SessionFixture.running()
    let table = ScriptedFrontEnd.memoryTable(driver.ram.regions)
    for round in 0..<20_000 {
      let ring = UInt64(round & 1)
      let queue = ring == 0 ? driver.receiveQueue : driver.transmitQueue
      try fixture.frontEnd.send(.setVringCall, littleEndian(ring), [queue.call.raw])
      try fixture.frontEnd.send(.setVringKick, littleEndian(ring), [queue.kick.raw])
      try fixture.frontEnd.send(.setVringError, littleEndian(ring), [queue.kick.raw])
      if round % 10 == 0 { try fixture.frontEnd.send(.setMemoryTable, table, [driver.ram.file.raw]) }
      try fixture.frontEnd.send(999, [], [queue.call.raw])
      fixture.serve()
    }
    #expect(fixture.settle() == nil)
    for queue in [driver.receiveQueue, driver.transmitQueue] {
      #expect(openCopies(queue.call.raw) == 2, "ours, and the session's")
      #expect(openCopies(queue.kick.raw) == 3, "ours, and the session's for kicks and for errors")
    }
    #expect(openCopies(driver.ram.file.raw) == 1)
    #expect(mappings(driver.ram.file.raw) == 2, "the guest's and the session's")
  }
}
