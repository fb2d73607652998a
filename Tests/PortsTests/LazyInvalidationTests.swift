import Linux
import Packet
import Ports
import Seeded
import Testing
import VhostUser
import Virtio
import VirtioTesting

/// A guest whose kernel takes its IOMMU's mappings back in bulk, those of its rings among them, as Linux does with
/// `iommu.strict=0`. What comes for it meanwhile waits.
@Suite struct LazyInvalidationTests {
  private typealias Message = GuestIOMMU.Message

  private func guest(
    _ layout: GuestQueue.Layout, ringSize: Int = 256, pairs: Int = 1
  ) throws -> (guest: VhostUserGuest, channel: BackEndChannel) {
    let features = VhostUserGuest.modern.union(layout.features).union(pairs > 1 ? .multiqueue : [])
    let guest = try VhostUserGuest.translated(
      .perBuffer, features, ringSize: ringSize, pairs: pairs,
      protocolFeatures: pairs > 1 ? .multiqueue : [])
    return (guest, try #require(guest.frontEnd.backEndChannel))
  }

  private func invalidateAll(_ guest: VhostUserGuest) throws {
    #expect(try guest.frontEnd.command(.iotlbMessage, Message(.invalidate, iova: 0).bytes) == 0)
  }

  /// Whether it is of a ring of 256 entries, each of whose parts is in a page.
  private func isRing(_ miss: GuestIOMMU.Message, _ queue: GuestQueue) -> Bool {
    let parts = queue.deviceAddresses
    return [parts.descriptors, parts.available, parts.used].contains(miss.iova)
  }

  /// Compared with lists of what was sent, whenever what happens in between.
  @Test(arguments: GuestQueue.Layout.allCases, 1...4)
  func `No frame is lost or overtaken, whatever is invalidated when`(layout: GuestQueue.Layout, seed: Int)
    throws
  {
    var random = SeededRandom(seed: UInt64(seed))
    let (guest, channel) = try guest(layout)
    guest.driver.post(200, sizes: [2048])
    try guest.settle()
    var (toGuest, fromGuest): ([[UInt8]], [[UInt8]]) = ([], [])
    var (received, sent): ([[UInt8]], [[UInt8]]) = ([], [])
    func take() {
      while let frame = guest.driver.receive() { received.append(frame.bytes) }
      while guest.harness.receive({ bytes, _ in sent.append(bytes) }) > 0 {}
    }
    for round in 0..<300 {
      switch Int.random(in: 0..<10, using: &random) {
      case 0...2:
        let frames = (0..<Int.random(in: 1...8, using: &random)).map {
          testFrame(Int.random(in: 60...3000, using: &random), seed: 100 * round + $0)
        }
        toGuest += frames
        guest.harness.transmit(frames)
      case 3...4:
        let frame = testFrame(Int.random(in: 60...9000, using: &random), seed: -round)
        if guest.driver.send(frame, cuts: [12, 700, 5000], indirect: round % 2 == 0) {
          fromGuest.append(frame)
        }
      case 5: try invalidateAll(guest)
      case 6: channel.answersMisses.toggle()
      case 7: guest.harness.turn()
      case 8: _ = try guest.frontEnd.serveBackEnd()
      default: take()
      }
      // As long as nothing is answered what waits only becomes more.
      if toGuest.count - received.count > 100 {
        channel.answersMisses = true
        try guest.settle()
        take()
      }
    }
    channel.answersMisses = true
    for _ in 0..<100 where received.count < toGuest.count || sent.count < fromGuest.count {
      try guest.settle()
      take()
    }
    #expect(received == toGuest)
    #expect(sent == fromGuest)
    #expect(guest.harness.drops == 0 && guest.harness.delivered == UInt64(toGuest.count))
    let statistics = Dictionary(uniqueKeysWithValues: guest.port.queueStatistics)
    #expect(statistics["tx_q0_packets"] == UInt64(toGuest.count))
  }

  @Test(arguments: GuestQueue.Layout.allCases)
  func `What waits is bounded, and what finds no room is dropped by name`(layout: GuestQueue.Layout) throws {
    let (guest, channel) = try guest(layout, ringSize: 1024)
    guest.driver.post(1000, sizes: [2048])
    try guest.settle()
    channel.answersMisses = false
    try invalidateAll(guest)
    let frames = (0..<900).map { testFrame(1500, seed: $0) }
    for start in stride(from: 0, to: 900, by: 30) {
      guest.harness.transmit(Array(frames[start..<start + 30]))
    }
    let dropped = Int(guest.harness.drops(.untranslated))
    #expect(dropped > 400 && dropped < 800 && guest.harness.drops == UInt64(dropped))
    channel.answersMisses = true
    try guest.settle()
    var received: [[UInt8]] = []
    while let frame = guest.driver.receive() { received.append(frame.bytes) }
    #expect(received == Array(frames.prefix(900 - dropped)))
    guest.harness.transmit([testFrame(77)])
    #expect(guest.driver.receive()?.bytes == testFrame(77), "and then all is as before")
  }

  @Test(arguments: GuestQueue.Layout.allCases)
  func `What has waited in vain is dropped by name, and what comes later arrives`(layout: GuestQueue.Layout)
    throws
  {
    let (guest, channel) = try guest(layout)
    guest.driver.post(16, sizes: [2048])
    try guest.settle()
    channel.answersMisses = false
    try invalidateAll(guest)
    guest.harness.transmit([testFrame(80), testFrame(81), testFrame(82)])
    #expect(guest.harness.wait { guest.harness.drops(.untranslated) == 3 })
    let statistics = Dictionary(uniqueKeysWithValues: guest.port.queueStatistics)
    #expect(statistics["tx_q0_drop_untranslated"] == 3)
    channel.answersMisses = true
    try guest.settle()
    #expect(guest.driver.receive() == nil)
    guest.harness.transmit([testFrame(83)])
    #expect(guest.driver.receive()?.bytes == testFrame(83))
  }

  @Test(arguments: GuestQueue.Layout.allCases)
  func `Frames that wait go with their port's front-end, by name`(layout: GuestQueue.Layout) throws {
    let (guest, channel) = try guest(layout)
    guest.driver.post(16, sizes: [2048])
    try guest.settle()
    channel.answersMisses = false
    try invalidateAll(guest)
    guest.harness.transmit([testFrame(80), testFrame(81)])
    _ = try guest.frontEnd.stop()
    try guest.settle()
    #expect(guest.harness.drops(.untranslated) == 2)
  }

  @Test func `A frame that waited has its offload still`() throws {
    let (guest, _) = try guest(.split)
    guest.driver.post(64, sizes: [2048])
    try guest.settle()
    let offload = Offload(
      flags: Offload.Flag.needsChecksum, gsoType: Offload.GSO.tcp4, headerLength: 54, gsoSize: 1448,
      checksumStart: 34, checksumOffset: 16)
    try invalidateAll(guest)
    guest.harness.transmit([testFrame(30_000)], offload: offload)
    try guest.settle()
    let received = try #require(guest.driver.receive())
    #expect(received.bytes == testFrame(30_000) && received.offload == offload)
  }

  @Test(arguments: GuestQueue.Layout.allCases)
  func `One pair's frames wait, and those of another pass`(layout: GuestQueue.Layout) throws {
    let (guest, channel) = try guest(layout, pairs: 2)
    for pair in guest.driver.pairs { pair.post(16, sizes: [2048]) }
    try guest.settle()
    channel.answersMisses = false
    let first = guest.driver.pairs[0].receiveQueue
    let ring = try #require(channel.misses.first { isRing($0, first) })
    #expect(
      try guest.frontEnd.command(
        .iotlbMessage, Message(.invalidate, iova: ring.iova, size: 4096).bytes) == 0)
    for round in 0..<5 {
      guest.harness.transmit([testFrame(90, seed: round)], queue: 0)
      guest.harness.transmit([testFrame(91, seed: round)], queue: 1)
      #expect(guest.driver.pairs[1].receive()?.bytes == testFrame(91, seed: round))
      #expect(guest.driver.pairs[0].receive() == nil)
      guest.harness.turn()
    }
    channel.answersMisses = true
    try guest.settle()
    for round in 0..<5 { #expect(guest.driver.pairs[0].receive()?.bytes == testFrame(90, seed: round)) }
    #expect(guest.harness.drops == 0)
  }

  @Test(arguments: GuestQueue.Layout.allCases)
  func `Every page of what the guest sends is asked for at once`(layout: GuestQueue.Layout) throws {
    let (guest, channel) = try guest(layout)
    channel.answersMisses = false
    let before = channel.misses.count
    #expect(guest.driver.send(testFrame(40_000), cuts: [12, 10_000, 20_000]))
    #expect(guest.harness.receive() == 0)
    guest.harness.turn()
    _ = try guest.frontEnd.serveBackEnd()
    let asked = Set(channel.misses.dropFirst(before).map(\.iova))
    #expect(asked.count >= 10, "\(asked.count) pages")
    channel.answersMisses = true
    try guest.settle()
    #expect(guest.harness.receive() == 1)
  }

  @Test(arguments: GuestQueue.Layout.allCases)
  func `Few translations are asked for ahead, and those of rings do not wait for them`(
    layout: GuestQueue.Layout
  ) throws {
    let (guest, channel) = try guest(layout)
    channel.answersMisses = false
    let before = channel.misses.count
    guest.driver.post(200, sizes: [2048])
    guest.harness.turn()
    _ = try guest.frontEnd.serveBackEnd()
    let ahead = channel.misses.count - before
    #expect(ahead > 8 && ahead <= 64)
    try invalidateAll(guest)
    _ = try guest.frontEnd.serveBackEnd()
    let asked = channel.misses.dropFirst(before + ahead)
    #expect(!asked.isEmpty)
    for miss in asked { #expect(guest.driver.queues.contains { isRing(miss, $0) }) }
    channel.answersMisses = true
    try guest.settle()
    guest.harness.transmit((0..<32).map { testFrame(100, seed: $0) })
    for seed in 0..<32 { #expect(guest.driver.receive()?.bytes == testFrame(100, seed: seed)) }
    #expect(guest.harness.drops == 0)
  }
}
