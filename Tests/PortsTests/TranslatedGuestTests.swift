import Linux
import Packet
import Ports
import Seeded
import Testing
import VhostUser
import Virtio
import VirtioTesting

/// A guest whose rings and buffers lie behind a vIOMMU.
@Suite struct TranslatedGuestTests {
  static let modes: [GuestIOMMU.Mode] = [.fixed(), .fixed(offset: 1 << 40), .perBuffer]
  static let modern = VhostUserGuest.modern

  /// Frames of any form from the guest, waiting for their translations as they must.
  private func send(_ frame: [UInt8], cuts: [Int], indirect: Bool, _ guest: VhostUserGuest) throws
    -> [[UInt8]]
  {
    #expect(guest.driver.send(frame, cuts: cuts, indirect: indirect))
    var frames: [[UInt8]] = []
    // Each wait is for one more page of the chain.
    for _ in 0..<20 where frames.isEmpty {
      guest.harness.receive { bytes, _ in frames.append(bytes) }
      try guest.settle()
    }
    return frames
  }

  @Test(arguments: modes, GuestQueue.Layout.allCases)
  func `Frames go both ways through translations, for good or for each buffer`(
    mode: GuestIOMMU.Mode, layout: GuestQueue.Layout
  ) throws {
    var random = SeededRandom(seed: 5)
    let guest = try VhostUserGuest.translated(mode, Self.modern.union(layout.features))
    guest.driver.post(64, sizes: [2048])
    try guest.settle()
    for round in 0..<40 {
      let frame = testFrame(Int.random(in: 60...9000, using: &random), seed: round)
      let cuts = (0..<Int.random(in: 0...4, using: &random)).map { _ in
        Int.random(in: 1...4000, using: &random)
      }
      #expect(try send(frame, cuts: cuts, indirect: round % 3 == 1, guest) == [frame])
      let answer = testFrame(Int.random(in: 60...5000, using: &random), seed: 1000 + round)
      guest.harness.transmit([answer])
      #expect(guest.driver.receive()?.bytes == answer)
      try guest.settle()
    }
    #expect(guest.harness.counters[.receivedFrames] == 40 && guest.harness.counters[.badDescriptor] == 0)
    #expect(guest.harness.counters[.untranslated] == 0)
    #expect(guest.port.status.details["viommu"] == "true")
  }

  /// The port looks ahead when the guest says that it offers buffers.
  @Test(arguments: GuestQueue.Layout.allCases, [VirtioFeatures(), .eventIndex])
  func `After a kick and a turn no frame is lost for want of a translation`(
    layout: GuestQueue.Layout, event: VirtioFeatures
  ) throws {
    var random = SeededRandom(seed: 6)
    let guest = try VhostUserGuest.translated(.perBuffer, Self.modern.union(layout.features).union(event))
    guest.driver.post(256, sizes: [2048])
    try guest.settle()
    for round in 0..<20 {
      let frames = (0..<Int.random(in: 1...32, using: &random)).map { testFrame(200, seed: 100 * round + $0) }
      guest.harness.transmit(frames)
      for frame in frames { #expect(guest.driver.receive()?.bytes == frame) }
      try guest.settle()
    }
    #expect(guest.harness.counters[.untranslated] == 0)
  }

  @Test(arguments: GuestQueue.Layout.allCases, [VirtioFeatures(), .eventIndex])
  func `The driver is to kick for receive buffers even while there are others`(
    layout: GuestQueue.Layout, event: VirtioFeatures
  ) throws {
    let guest = try VhostUserGuest.translated(.perBuffer, Self.modern.union(layout.features).union(event))
    guest.driver.post(16, sizes: [2048])
    for round in 0..<50 {
      try guest.settle()
      guest.harness.transmit([testFrame(60, seed: round), testFrame(61, seed: round)])
      for _ in 0..<2 { #expect(guest.driver.receive(repost: false) != nil) }
      let buffers = (0..<2).map { _ in guest.driver.ram.allocate(2048) }
      for address in buffers { #expect(guest.driver.post([.init(address, 2048, isWritable: true)])) }
      #expect(guest.driver.receiveQueue.publish())
    }
  }

  @Test(arguments: GuestQueue.Layout.allCases, [VirtioFeatures(), .eventIndex])
  func `A guest whose buffers are mapped for good is not asked to kick for each`(
    layout: GuestQueue.Layout, event: VirtioFeatures
  ) throws {
    let guest = try VhostUserGuest.translated(.fixed(), Self.modern.union(layout.features).union(event))
    guest.driver.post(16, sizes: [2048])
    try guest.settle()
    for round in 0..<50 {
      guest.harness.transmit([testFrame(60, seed: round)])
      #expect(guest.driver.receive(repost: false)?.bytes == testFrame(60, seed: round))
      #expect(guest.driver.post([.init(guest.driver.ram.allocate(2048), 2048, isWritable: true)]))
      let isKicked = guest.driver.receiveQueue.publish()
      #expect(!isKicked || round == 0)
    }
  }

  @Test(arguments: GuestQueue.Layout.allCases)
  func `Frames toward untranslated buffers follow when those are translated, in order`(
    layout: GuestQueue.Layout
  ) throws {
    let guest = try VhostUserGuest.translated(.perBuffer, Self.modern.union(layout.features))
    guest.driver.post(8, sizes: [2048])
    guest.harness.transmit([testFrame(60), testFrame(61), testFrame(62)])
    #expect(guest.driver.receive() == nil)
    try guest.settle()
    guest.harness.transmit([testFrame(63)])
    for length in 60...63 { #expect(guest.driver.receive()?.bytes == testFrame(length)) }
    #expect(guest.harness.drops == 0 && guest.harness.delivered == 4)
    let statistics = Dictionary(uniqueKeysWithValues: guest.port.queueStatistics)
    #expect(statistics["tx_q0_packets"] == 4)
  }
}
