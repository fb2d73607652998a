import CLinux
import Glibc
import Linux
import Testing
import VhostUser
import Virtio
import VirtioTesting

/// A vIOMMU: rings and buffers at addresses that only the front-end can translate.
@Suite(.serialized) struct TranslationTests {
  /// Added to a guest-physical address, it is what the driver uses.
  private static let shift: UInt64 = 0xFFFF_0000_0000
  private static let protocolFeatures: ProtocolFeatures = [
    .replyAcknowledgement, .backendRequests, .configuration, .multiqueue,
  ]

  /// A session behind a vIOMMU with one ring known, and what the front-end has.
  private struct Guest {
    let fixture: SessionFixture
    let ram: GuestRAM
    let queue: GuestQueue
    /// The front-end's end of the back-end's channel.
    let requests: Connection

    init(channel: Bool = true, ringSize: Int = 256) throws {
      fixture = try SessionFixture()
      ram = try GuestRAM()
      queue = try GuestQueue(ram, size: ringSize)
      try fixture.frontEnd.negotiate([.version1, .accessPlatform], protocolFeatures)
      try fixture.frontEnd.setMemory(ram)
      #expect(fixture.settle() == nil)
      let (ours, theirs) = try makeSocketPair()
      requests = Connection(FileDescriptor(owning: ours))
      let lent = FileDescriptor(owning: theirs)
      if channel { #expect(try fixture.frontEnd.command(.setBackendRequestDescriptor, [], [lent.raw]) == 0) }
      fixture.onResume = { session throws(SessionError) in
        for index in session.vrings.indices where session.isUsable(index) {
          _ = try session.layout(of: index)
        }
      }
    }

    /// Starts ring 1 where the driver says it is.
    func start() throws {
      let frontEnd = fixture.frontEnd!
      let addresses = VringAddresses(
        index: 1, descriptors: shift + queue.descriptors, used: shift + queue.used,
        available: shift + queue.available)
      try frontEnd.send(.setVringSize, VringState(index: 1, number: UInt32(queue.size)).bytes)
      try frontEnd.send(.setVringBase, VringState(index: 1, number: 0).bytes)
      try frontEnd.send(.setVringAddress, addresses.bytes)
      try frontEnd.send(.setVringKick, littleEndian(1 as UInt64), [queue.kick.raw])
      try frontEnd.send(.setVringEnable, VringState(index: 1, number: 1).bytes)
      #expect(fixture.settle() == nil)
    }

    func update(_ address: UInt64, _ size: UInt64, permissions: UInt8 = 3) throws -> UInt64 {
      let update = TranslationMessage(
        .update, address: address, size: size, user: ram.userAddress(address - shift),
        permissions: permissions)
      return try fixture.frontEnd.command(.iotlbMessage, update.bytes)
    }

    func invalidate(_ address: UInt64, _ size: UInt64) throws -> UInt64 {
      let change = TranslationMessage(.invalidate, address: address, size: size)
      return try fixture.frontEnd.command(.iotlbMessage, change.bytes)
    }

    /// What the back-end has asked for and was not read yet.
    func misses() throws -> [TranslationMessage] {
      var misses: [TranslationMessage] = []
      while let message = try requests.receive() {
        #expect(message.flags == .version1)
        guard message.request == 1 else { continue }
        #expect(message.payload.count == 32)
        misses.append(TranslationMessage(message))
      }
      return misses
    }

    /// Answers misses until there are none, as a front-end whose guest maps everything does.
    func answerMisses() throws {
      for _ in 0..<100 {
        let misses = try misses()
        if misses.isEmpty { return }
        for miss in misses { #expect(try update(miss.address, 4096) == 0) }
      }
      Issue.record("the same is asked for again and again")
    }
  }

  private static func makeSocketPair() throws -> (Int32, Int32) {
    var ends: [Int32] = [0, 0]
    let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
    guard socketpair(AF_UNIX, type, 0, &ends) == 0 else { throw SystemError.last("make a socket pair") }
    return (ends[0], ends[1])
  }

  @Test func `without ACCESS_PLATFORM there are no translations`() throws {
    let (fixture, _) = try SessionFixture.running(Self.protocolFeatures)
    #expect(fixture.session.translations == nil)
    let update = TranslationMessage(.update, address: 0, size: 4096, user: 0, permissions: 3)
    #expect(try fixture.frontEnd.command(.iotlbMessage, update.bytes) == 1)
    #expect(fixture.settle() == nil)
  }

  @Test(arguments: [2, 256, 4096])
  func `a ring asks for its own translations, waits, and starts`(_ size: Int) throws {
    let guest = try Guest(ringSize: size)
    try guest.start()
    #expect(guest.fixture.session.isUsable(1))
    #expect(try guest.fixture.session.layout(of: 1) == nil)
    let misses = try guest.misses()
    #expect(misses.allSatisfy { $0.kind == 1 && $0.address & 0xFFF == 0 })
    let pages = Set(misses.map { $0.address - Self.shift })
    #expect(pages.isSuperset(of: [guest.queue.descriptors, guest.queue.available, guest.queue.used]))
    #expect(misses.first { $0.address == Self.shift + guest.queue.used }?.permissions == 2)
    #expect(misses.first { $0.address == Self.shift + guest.queue.descriptors }?.permissions == 1)
    for miss in misses { #expect(try guest.update(miss.address, 4096) == 0) }
    try guest.answerMisses()
    let layout = try #require(try guest.fixture.session.layout(of: 1))
    guest.ram.store16(33, at: guest.queue.used + 2)
    #expect(RingPosition.reached(layout, packed: false) == RingPosition(base: 33, size: 256, packed: false))
  }

  @Test func `poll threads see translations after the messages that came together`() throws {
    let guest = try Guest()
    let session = guest.fixture.session!
    let cache = try #require(session.translations)
    let (quiesces, changes) = (guest.fixture.quiesces, guest.fixture.translationChanges)
    for page in 0..<4 as Range<UInt64> {
      let update = TranslationMessage(
        .update, address: Self.shift + page << 12, size: 4096, user: guest.ram.userAddress(page << 12),
        permissions: 1)
      try guest.fixture.frontEnd.send(.iotlbMessage, update.bytes)
    }
    #expect(cache.readable.pointee.current.translate(Self.shift, 1) == nil)
    guest.fixture.serve()
    #expect(cache.readable.pointee.current.translate(Self.shift, 4 << 12) != nil)
    #expect(cache.writable.pointee.current.translate(Self.shift, 1) == nil)
    #expect(guest.fixture.translationChanges == changes + 1)
    #expect(guest.fixture.quiesces == quiesces, "frames go on")
  }

  @Test func `maps that were replaced do not pile up`() throws {
    let guest = try Guest()
    for page in 0..<200 as Range<UInt64> {
      #expect(try guest.update(Self.shift + page << 12, 4096) == 0)
      #expect(guest.fixture.session.translations!.retiredCount <= 17)
    }
    #expect(guest.fixture.synchronizations > 0)
  }

  @Test func `Row 9: an invalidation is acknowledged when no poll thread can use the range`() throws {
    let guest = try Guest()
    let cache = try #require(guest.fixture.session.translations)
    #expect(try guest.update(Self.shift, 1 << 20) == 0)
    let synchronizations = guest.fixture.synchronizations
    #expect(try guest.invalidate(Self.shift + 0x3000, 0x1000) == 0)
    #expect(guest.fixture.synchronizations == synchronizations + 1)
    #expect(cache.retiredCount == 0)
    let map = cache.readable.pointee.current
    #expect(map.translate(Self.shift + 0x3000, 1) == nil)
    #expect(map.translate(Self.shift + 0x2FFF, 1) != nil)
    #expect(map.translate(Self.shift + 0x4000, 1) != nil)
    // Nothing is there any more, and nothing old is in use: nobody has to be waited for.
    #expect(try guest.invalidate(Self.shift + 0x3000, 0x1000) == 0)
    #expect(guest.fixture.synchronizations == synchronizations + 1)
  }

  /// 2^64 bytes, the last byte there is, and ranges that go on beyond the end.
  @Test(arguments: [(0, 0), (0, .max), (1, .max), (4096, .max)] as [(UInt64, UInt64)])
  func `Row 9: everything may be invalidated`(_ address: UInt64, _ size: UInt64) throws {
    let guest = try Guest()
    #expect(try guest.update(Self.shift, 1 << 20) == 0)
    #expect(try guest.invalidate(address, size) == 0)
    #expect(guest.fixture.session.translations?.count == 0)
  }

  @Test func `Row 9: a ring stops with its translation, and asks for it again`() throws {
    let guest = try Guest()
    try guest.start()
    try guest.answerMisses()
    #expect(try guest.fixture.session.layout(of: 1) != nil)
    let quiesces = guest.fixture.quiesces
    // Beside the ring: frames go on.
    #expect(try guest.invalidate(Self.shift + 0x10_0000, 0x1000) == 0)
    #expect(guest.fixture.quiesces == quiesces)
    #expect(try guest.invalidate(Self.shift + guest.queue.used, 1) == 0)
    #expect(guest.fixture.quiesces == quiesces + 1)
    #expect(try guest.fixture.session.layout(of: 1) == nil)
    let misses = try guest.misses()
    #expect(misses.map(\.address) == [Self.shift + guest.queue.used])
    #expect(try guest.update(misses[0].address, 4096) == 0)
    #expect(try guest.fixture.session.layout(of: 1) != nil)
    #expect(guest.fixture.settle() == nil)
  }

  /// Between two lives of a device its guest may map the same addresses elsewhere, and nobody says so.
  @Test func `translations do not outlive the rings they were asked for by`() throws {
    let guest = try Guest()
    try guest.start()
    try guest.answerMisses()
    #expect(try guest.fixture.session.layout(of: 1) != nil)
    try guest.fixture.frontEnd.send(.getVringBase, VringState(index: 1, number: 0).bytes)
    _ = try guest.fixture.frontEnd.receive()
    // An answer that was under way when the ring stopped.
    #expect(try guest.update(Self.shift + guest.queue.descriptors & ~0xFFF, 4096) == 0)
    try guest.start()
    #expect(try guest.fixture.session.layout(of: 1) == nil)
    let asked = Set(try guest.misses().map(\.address))
    #expect(asked.contains(Self.shift + guest.queue.descriptors & ~0xFFF))
    for address in asked { #expect(try guest.update(address, 4096) == 0) }
    try guest.answerMisses()
    #expect(try guest.fixture.session.layout(of: 1) != nil)
  }

  /// Guests allocate the pages of a large ring one by one.
  @Test func `a ring whose pages are scattered is served, and logged`() throws {
    let guest = try Guest(ringSize: 1024)
    try guest.start()
    // 16 KiB of descriptors: each page where the one before the last is.
    let pages = (0..<4).map { guest.queue.descriptors + UInt64($0) << 12 }
    for (index, page) in pages.enumerated() {
      let update = TranslationMessage(
        .update, address: Self.shift + page, size: 4096, user: guest.ram.userAddress(pages[3 - index]),
        permissions: 3)
      #expect(try guest.fixture.frontEnd.command(.iotlbMessage, update.bytes) == 0)
    }
    #expect(try guest.update(Self.shift + guest.queue.available, 16384) == 0)
    #expect(try guest.update(Self.shift + guest.queue.used, 16384) == 0)
    let layout = try #require(try guest.fixture.session.layout(of: 1))
    guest.ram.store64(0x1234_5678, at: pages[3])
    guest.ram.store64(0x8765_4321, at: pages[0] + 8)
    #expect(layout.descriptors.load(as: UInt64.self) == 0x1234_5678)
    #expect(layout.descriptors.load(fromByteOffset: 3 << 12 + 8, as: UInt64.self) == 0x8765_4321)
    #expect(try guest.fixture.session.layout(of: 1)?.descriptors == layout.descriptors, "mapped once")
    // When it is invalidated, nothing of it stays mapped.
    #expect(try guest.invalidate(Self.shift + pages[0], 4096) == 0)
    #expect(mappedBytes(guest.ram.file.raw) == 2 * UInt64(guest.ram.size))
  }

  @Test func `translations go with the memory they led to`() throws {
    let guest = try Guest()
    try guest.start()
    try guest.answerMisses()
    let cache = guest.fixture.session.translations
    try guest.fixture.frontEnd.setMemory(guest.ram)
    #expect(guest.fixture.settle() == nil)
    #expect(guest.fixture.session.translations !== cache)
    #expect(guest.fixture.session.translations?.count == 0)
    #expect(try guest.fixture.session.layout(of: 1) == nil)
    try guest.answerMisses()
    #expect(try guest.fixture.session.layout(of: 1) != nil)
  }

  @Test func `Row 9: each page is asked for once, and not more than a number of them`() throws {
    let guest = try Guest()
    let session = guest.fixture.session!
    for _ in 0..<1000 { session.requestTranslation(of: 0x1234, forWriting: false) }
    #expect(try guest.misses() == [TranslationMessage(.miss, address: 0x1000, permissions: 1)])
    session.requestTranslation(of: 0x1FFF, forWriting: true)
    #expect(try guest.misses() == [TranslationMessage(.miss, address: 0x1000, permissions: 2)])
    var asked: Set<UInt64> = [0x1000]
    for page in 2..<5000 as Range<UInt64> {
      session.requestTranslation(of: page << 12, forWriting: false)
      if page % 64 == 0 { asked.formUnion(try guest.misses().map(\.address)) }
    }
    asked.formUnion(try guest.misses().map(\.address))
    #expect(asked.count == 1023, "1,024 with the one for writing")
    // What is answered makes room, and may be asked for again.
    let update = TranslationMessage(
      .update, address: 0x1000, size: 4096, user: guest.ram.userAddress(0), permissions: 3)
    #expect(try guest.fixture.frontEnd.command(.iotlbMessage, update.bytes) == 0)
    for address in [0x1000, 0x9999_9000, 0xAAAA_A000] as [UInt64] {
      session.requestTranslation(of: address, forWriting: false)
    }
    #expect(try guest.misses().map(\.address) == [0x1000, 0x9999_9000])
  }

  @Test func `Row 9: a front-end that does not read its channel is not waited for, and loses nothing`() throws
  {
    let guest = try Guest()
    let session = guest.fixture.session!
    for page in 0..<5000 as Range<UInt64> { session.requestTranslation(of: page << 12, forWriting: false) }
    #expect(session.hasUnsentRequests)
    var misses: [TranslationMessage] = []
    for _ in 0..<1000 where session.hasUnsentRequests {
      misses += try guest.misses()
      session.sendRequests()
    }
    misses += try guest.misses()
    #expect(misses.map(\.address) == (0..<1024).map { UInt64($0) << 12 })
    // One that closes it is left alone.
    shutdown(guest.requests.descriptor.raw, Int32(SHUT_RDWR))
    session.requestTranslation(of: 1 << 40, forWriting: true)
    #expect(!session.hasUnsentRequests)
    #expect(guest.fixture.settle() == nil)
  }

  @Test func `without a channel requests wait for one`() throws {
    let guest = try Guest(channel: false)
    guest.fixture.session.requestTranslation(of: 0x5000, forWriting: false)
    #expect(guest.fixture.session.hasUnsentRequests)
    let (ours, theirs) = try Self.makeSocketPair()
    let requests = Connection(FileDescriptor(owning: ours))
    let lent = FileDescriptor(owning: theirs)
    #expect(try guest.fixture.frontEnd.command(.setBackendRequestDescriptor, [], [lent.raw]) == 0)
    #expect(try requests.receive().map(TranslationMessage.init)?.address == 0x5000)
  }

  @Test func `a change of the configuration is told`() throws {
    let guest = try Guest()
    var configuration = guest.fixture.session.configuration
    guest.fixture.session.configure(configuration)
    configuration.isLinkUp = false
    guest.fixture.session.configure(configuration)
    let message = try #require(try guest.requests.receive())
    #expect(message.request == 2 && message.payload.isEmpty && message.flags == .version1)
    #expect(try guest.requests.receive() == nil)
  }

  @Test func `Row 9: translations no front-end should send are refused`() throws {
    func refuse(_ what: String, _ change: TranslationMessage, _ alter: (inout [UInt8]) -> Void = { _ in })
      throws
    {
      let guest = try Guest()
      var bytes = change.bytes
      alter(&bytes)
      #expect(try guest.fixture.frontEnd.command(.iotlbMessage, bytes) == 1, "\(what)")
      #expect(guest.fixture.settle()?.kind == .violation, "\(what)")
      #expect(mappings(guest.ram.file.raw) == 1, "\(what)")
    }
    let ram = try GuestRAM()
    let user = ram.userAddress(0)
    try refuse("outside memory", .init(.update, address: 0, size: 4096, user: 16, permissions: 3))
    try refuse("no size", .init(.update, address: 0, size: 0, user: user, permissions: 3))
    try refuse("overflow", .init(.update, address: .max, size: 4096, user: user, permissions: 3))
    try refuse("unknown permissions", .init(.update, address: 0, size: 4096, user: user, permissions: 4))
    try refuse("a miss", .init(.miss, address: 0, size: 4096))
    try refuse("a failure", .init(.accessFail, address: 0, size: 4096))
    try refuse("no type", .init(.invalidate, address: 0, size: 4096), { $0[25] = 0 })
    try refuse("a type nobody knows", .init(.invalidate, address: 0, size: 4096), { $0[25] = 255 })
    try refuse("an empty invalidation", .init(.invalidate, address: 4096, size: 0))
    try refuse("cut short", .init(.invalidate, address: 0, size: 4096), { $0.removeLast(7) })
    try refuse("too long", .init(.invalidate, address: 0, size: 4096), { $0.append(0) })
  }

  @Test func `Row 4: a channel is a local stream socket, and the last one is kept`() throws {
    let guest = try Guest()
    let (ours, theirs) = try Self.makeSocketPair()
    let near = FileDescriptor(owning: ours)
    let far = FileDescriptor(owning: theirs)
    for _ in 0..<5_000 {
      try guest.fixture.frontEnd.send(.setBackendRequestDescriptor, [], [far.raw])
      guest.fixture.serve()
    }
    #expect(openCopies(far.raw) == 2)
    let event = try EventFD()
    var pipes: [Int32] = [0, 0]
    #expect(pipe(&pipes) == 0)
    defer { for end in pipes { close(end) } }
    let network = FileDescriptor(owning: socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0))
    for wrong in [[], [far.raw, far.raw], [event.raw], [pipes[1]], [guest.ram.file.raw], [network.raw]] {
      let other = try Guest()
      #expect(try other.fixture.frontEnd.command(.setBackendRequestDescriptor, [], wrong) == 1)
      #expect(other.fixture.settle()?.kind == .violation)
    }
    #expect(openCopies(event.raw) == 1)
    #expect(openCopies(far.raw) == 2)
    withExtendedLifetime(guest) {}
    _ = near.raw
  }
}
