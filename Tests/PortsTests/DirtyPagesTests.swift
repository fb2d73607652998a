import Glibc
import Linux
import Packet
import Ports
import Seeded
import Testing
import VhostUser
import Virtio
import VirtioTesting

/// A guest that migrates: every page the port changed is in the front-end's log. What the port changed is found by
/// comparing all of the guest's memory from before with that from after.
@Suite struct DirtyPagesTests {
  /// How a guest's buffers look.
  enum Form: CaseIterable {
    case plain, mergeable, chains, indirect, eventIndex

    var features: VirtioFeatures {
      switch self {
      case .plain, .chains: [.version1]
      case .mergeable: [.version1, .mergeableReceiveBuffers]
      case .indirect: [.version1, .indirectDescriptors]
      case .eventIndex: [.version1, .mergeableReceiveBuffers, .eventIndex]
      }
    }

    /// Of a receive chain.
    var sizes: [Int] {
      switch self {
      case .plain: [3000]
      case .mergeable: [700]
      case .chains, .indirect: [5, 100, 3000]
      case .eventIndex: [2048]
      }
    }
  }

  /// A guest with a log, and what it made sure of so far.
  private final class Migration {
    let guest: VhostUserGuest
    let form: Form
    var log: GuestDirtyLog
    var random: SeededRandom
    /// Pages the port changed, each time it did.
    var changes = 0

    init(_ form: Form, _ layout: GuestQueue.Layout, _ iommu: GuestIOMMU.Mode?, seed: UInt64) throws {
      var features = form.features.union([layout.features, .logAll])
      if iommu != nil { features.insert(.accessPlatform) }
      // Without the feature until the log is there, as in life.
      let ram = try GuestRAM(size: 2 << 20, shape: .swappedHalves, start: 1 << 20)
      guest = try VhostUserGuest(
        features.subtracting(.logAll), ram: ram, ringSize: 64,
        protocolFeatures: [.replyAcknowledgement, .logSharing, .backendRequests], iommu: iommu)
      self.form = form
      log = try GuestDirtyLog(ram)
      random = SeededRandom(seed: seed)
      guest.driver.post(20, sizes: form.sizes, indirect: form == .indirect)
      try guest.settle()
    }

    func startLogging() throws {
      log = try GuestDirtyLog(guest.driver.ram)
      try guest.frontEnd.startLogging(log, guest.driver)
      try guest.settle()
    }

    /// The pages `body` changes; what the driver does meanwhile counts too.
    func changed(_ body: () throws -> Void) rethrows -> Set<Int> {
      let ram = guest.driver.ram
      let start = ram.regions[0].guestAddress
      let before = ram.read(start, ram.size)
      try body()
      let after = ram.read(start, ram.size)
      var pages: Set<Int> = []
      before.withUnsafeBytes { before in
        after.withUnsafeBytes { after in
          for page in 0..<ram.size / 4096
          where memcmp(before.baseAddress! + page * 4096, after.baseAddress! + page * 4096, 4096) != 0 {
            pages.insert(Int(start) / 4096 + page)
          }
        }
      }
      return pages
    }

    /// Everything the port changes in `body` is marked.
    func expectMarked(_ what: Comment, _ body: () throws -> Void) rethrows {
      _ = log.take()
      let pages = try changed(body)
      changes += pages.count
      let missing = pages.subtracting(log.take())
      #expect(missing.isEmpty, what)
    }

    func offer() {
      for _ in 0..<Int.random(in: 1...10, using: &random) {
        let cuts =
          form == .plain ? [] : (0..<3).map { _ in Int.random(in: 1...200, using: &random) }
        _ = guest.driver.offer(
          testFrame(Int.random(in: 60...1500, using: &random), seed: Int.random(in: 0...99, using: &random)),
          cuts: cuts, indirect: form == .indirect)
      }
      if guest.driver.transmitQueue.publish() { guest.driver.transmitQueue.kick.signal() }
    }

    func frames() -> [[UInt8]] {
      (0..<Int.random(in: 1...8, using: &random)).map { _ in
        testFrame(Int.random(in: 60...2900, using: &random), seed: Int.random(in: 0...99, using: &random))
      }
    }

    /// Frames in either direction. Returns how many the guest received.
    func exchange() throws -> Int {
      offer()
      try guest.settle()
      try expectMarked("buffers given back") {
        // Behind an IOMMU one wait for each page.
        for _ in 0..<40 {
          while guest.harness.receive() > 0 {}
          guard guest.iommu != nil else { break }
          try guest.settle()
        }
      }
      expectMarked("falling asleep") { _ = guest.port.io.sleep(queue: 0) }
      expectMarked("waking up") { guest.port.io.wake(queue: 0) }
      let frames = frames()
      expectMarked("frames, and buffers used") { guest.harness.transmit(frames) }
      var count = 0
      while guest.driver.receive() != nil { count += 1 }
      try guest.settle()
      return count
    }
  }

  @Test(arguments: Form.allCases, GuestQueue.Layout.allCases)
  func `Every page the port changes is marked`(form: Form, layout: GuestQueue.Layout) throws {
    for mode in [nil, GuestIOMMU.Mode.fixed(offset: 1 << 40), .perBuffer] {
      let migration = try Migration(form, layout, mode, seed: 7)
      try migration.startLogging()
      #expect(migration.guest.port.status.details["dirty_logging"] == "true")
      var received = 0
      for _ in 0..<6 { received += try migration.exchange() }
      #expect(received > 6 && migration.changes > 12)
      #expect(migration.guest.harness.counters[.receivedFrames] > 6)
      #expect(migration.guest.harness.counters[.untranslated] == 0)
    }
  }

  @Test(arguments: GuestQueue.Layout.allCases)
  func `Rings that are disabled and enabled again are marked as well`(layout: GuestQueue.Layout) throws {
    let migration = try Migration(.eventIndex, layout, nil, seed: 8)
    let guest = migration.guest
    try migration.startLogging()
    for round in 0..<10 {
      _ = try migration.exchange()
      migration.expectMarked("control thread") {
        try? guest.frontEnd.enable(pair: 0, round % 2 == 1)
        _ = try? guest.frontEnd.askNumber(.getFeatures)
      }
      migration.offer()
      migration.expectMarked("thrown away") { while guest.harness.receive() > 0 {} }
      guest.driver.reclaim()
    }
    #expect(guest.harness.counters[.ringDisabled] > 0)
  }

  @Test(arguments: GuestQueue.Layout.allCases)
  func `Without the feature nothing is marked, log or not`(layout: GuestQueue.Layout) throws {
    let migration = try Migration(.mergeable, layout, nil, seed: 9)
    try migration.guest.frontEnd.setLog(migration.log)
    for _ in 0..<10 {
      migration.offer()
      let frames = migration.frames()
      let pages = migration.changed {
        while migration.guest.harness.receive() > 0 {}
        migration.guest.harness.transmit(frames)
      }
      #expect(!pages.isEmpty)
      while migration.guest.driver.receive() != nil {}
      migration.guest.driver.reclaim()
    }
    #expect(migration.log.dirtyPages.isEmpty)
  }

  @Test(arguments: GuestQueue.Layout.allCases, [nil, GuestIOMMU.Mode.perBuffer])
  func `Logging begins and ends while frames move, and none is lost`(
    layout: GuestQueue.Layout, iommu: GuestIOMMU.Mode?
  ) throws {
    let migration = try Migration(.mergeable, layout, iommu, seed: 10)
    let guest = migration.guest
    for round in 0..<12 {
      if round % 2 == 0 { try migration.startLogging() } else { try guest.frontEnd.stopLogging(guest.driver) }
      try guest.settle()
      #expect(guest.port.status.details["dirty_logging"] == (round % 2 == 0 ? "true" : "false"))
      let log = migration.log
      _ = log.take()
      for index in 0..<5 {
        let frame = testFrame(300, seed: 100 * round + index)
        #expect(guest.driver.send(frame))
        var frames: [[UInt8]] = []
        for _ in 0..<4 where frames.isEmpty {
          guest.harness.receive { bytes, _ in frames.append(bytes) }
          try guest.settle()
        }
        #expect(frames == [frame])
        let pages = migration.changed { guest.harness.transmit([frame]) }
        #expect(round % 2 == 1 || pages.isSubset(of: log.dirtyPages))
        #expect(guest.driver.receive()?.bytes == frame)
        try guest.settle()
      }
      #expect(log.dirtyPages.isEmpty == (round % 2 == 1))
    }
  }

  @Test(arguments: GuestQueue.Layout.allCases, [true, false])
  func `A log that was truncated costs its port the front-end, by name, and others nothing`(
    layout: GuestQueue.Layout, sending: Bool
  ) throws {
    let migration = try Migration(.mergeable, layout, nil, seed: 11)
    let guest = migration.guest
    let other = try VhostUserGuest(loop: guest.loop)
    other.driver.post(8, sizes: [2048])
    try migration.startLogging()
    ftruncate(migration.log.file.raw, 0)
    if sending {
      #expect(guest.driver.send(testFrame(60)))
      guest.harness.receive()
    } else {
      guest.harness.transmit([testFrame(60)])
    }
    #expect(guest.harness.wait { guest.port.status.details["status"] == "disconnected" })
    #expect(!guest.port.status.linkUp)
    let error = try #require(guest.port.status.error)
    #expect(error.contains("truncated the log of changed pages"))
    #expect(other.through(testFrame(61))?.bytes == testFrame(61))
    other.harness.transmit([testFrame(62)])
    #expect(other.driver.receive()?.bytes == testFrame(62))
    // Its next front-end begins anew.
    guest.driver = try GuestDriver(features: VhostUserGuest.modern)
    guest.frontEnd = try guest.connect()
    try guest.frontEnd.negotiate(VhostUserGuest.modern)
    try guest.frontEnd.start(guest.driver)
    #expect(guest.harness.wait { guest.port.status.linkUp })
    #expect(guest.through(testFrame(63)) != nil)
  }
}
