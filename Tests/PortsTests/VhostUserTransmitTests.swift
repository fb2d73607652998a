import Linux
import Packet
import Ports
import Testing
import Virtio
import VirtioTesting

/// What the switch sends to a guest arrives in whatever buffers the guest offered.
@Suite struct VhostUserTransmitTests {
  static let legacy: VirtioFeatures = [.guestChecksum, .indirectDescriptors]
  static let lengths = [14, 33, 60, 63, 64, 65, 100, 127, 128, 129, 256, 320, 321, 1514]

  @Test(
    arguments: [VhostUserGuest.modern, legacy, [.version1], [.mergeableReceiveBuffers]],
    GuestQueue.Layout.allCases)
  func everyLength(_ features: VirtioFeatures, layout: GuestQueue.Layout) throws {
    let guest = try VhostUserGuest(features.union(layout.features))
    guest.driver.post(64, sizes: [2048])
    let frames = Self.lengths.map { testFrame($0, seed: $0) }
    guest.harness.transmit(frames)
    for frame in frames {
      let received = try #require(guest.driver.receive())
      #expect(received.bytes == frame)
      #expect(received.bufferCount == 1)
    }
    #expect(guest.driver.receive() == nil)
    #expect(guest.harness.counters[.transmittedFrames] == UInt64(frames.count))
  }

  /// Header and frame over descriptors of any size; nothing is written past the frame.
  @Test(
    arguments: [
      [12, 2000], [10, 2000], [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2000], [70, 70, 2000], [700, 700, 700],
    ], GuestQueue.Layout.allCases)
  func `Row 17: a header is written over any number of descriptors`(sizes: [Int], layout: GuestQueue.Layout)
    throws
  {
    for features in [VhostUserGuest.modern, Self.legacy] {
      for indirect in [false, true] {
        let guest = try VhostUserGuest(features.union(layout.features))
        guest.driver.post(16, sizes: sizes, indirect: indirect)
        let frames = Self.lengths.map { testFrame($0, seed: $0) }
        guest.harness.transmit(frames)
        for frame in frames { #expect(guest.driver.receive()?.bytes == frame) }
      }
    }
  }

  @Test(arguments: GuestQueue.Layout.allCases)
  func mergeable(layout: GuestQueue.Layout) throws {
    let guest = try VhostUserGuest(VhostUserGuest.modern.union(layout.features))
    guest.driver.post(200, sizes: [300])
    let frames = [60, 5000, 64, 20_000, 288, 289].map { testFrame($0, seed: $0) }
    guest.harness.transmit(frames)
    let counts = [1, 17, 1, 67, 1, 2]
    for (frame, count) in zip(frames, counts) {
      let received = try #require(guest.driver.receive())
      #expect(received.bytes == frame)
      #expect(received.bufferCount == count)
    }
  }

  /// Bytes beyond the frame in the guest's buffer stay as they were: no other memory leaks into it.
  @Test(arguments: [14, 20, 60, 63, 64, 65, 100, 300])
  func nothingBeyondTheFrame(_ length: Int) throws {
    let guest = try VhostUserGuest()
    let address = guest.driver.ram.allocate(2048)
    guest.driver.ram.write([UInt8](repeating: 0xEE, count: 2048), at: address)
    #expect(guest.driver.post([.init(address, 2048, isWritable: true)]))
    guest.driver.receiveQueue.publish()
    guest.harness.transmit([testFrame(length)])
    #expect(guest.driver.receive()?.bytes == testFrame(length))
    let rest = guest.driver.ram.read(address + UInt64(length + 12), 2048 - length - 12)
    #expect(rest.allSatisfy { $0 == 0xEE })
  }

  @Test(arguments: GuestQueue.Layout.allCases)
  func receiverFull(layout: GuestQueue.Layout) throws {
    let guest = try VhostUserGuest(VhostUserGuest.modern.union(layout.features))
    guest.driver.post(10, sizes: [2048])
    guest.harness.transmit((0..<30).map { testFrame(60, seed: $0) })
    for seed in 0..<10 { #expect(guest.driver.receive(repost: false)?.bytes == testFrame(60, seed: seed)) }
    #expect(guest.driver.receive() == nil)
    #expect(guest.harness.counters[.receiverFull] == 20)
    #expect(guest.harness.counters[.transmittedFrames] == 10)
  }

  /// SECURITY: buffers too small for the frame, or for the header, cost frames and nothing else.
  @Test(arguments: GuestQueue.Layout.allCases)
  func bufferTooSmall(layout: GuestQueue.Layout) throws {
    let guest = try VhostUserGuest(layout.features.union(.version1))
    guest.driver.post(4, sizes: [100])
    guest.harness.transmit([testFrame(60), testFrame(1000), testFrame(88), testFrame(89)])
    #expect(guest.driver.receive()?.bytes == testFrame(60))
    #expect(guest.driver.receive()?.bytes == testFrame(88))
    #expect(guest.driver.receive() == nil)
    #expect(guest.harness.counters[.bufferTooSmall] == 2)
  }

  @Test(arguments: GuestQueue.Layout.allCases)
  func `Row 17: a receive buffer smaller than the header goes back empty`(layout: GuestQueue.Layout) throws {
    let guest = try VhostUserGuest(VhostUserGuest.modern.union(layout.features))
    guest.driver.post(1, sizes: [11])
    guest.driver.post(1, sizes: [2048])
    guest.harness.transmit([testFrame(60), testFrame(61)])
    #expect(guest.driver.receive()?.bytes == testFrame(61))
    #expect(guest.harness.counters[.bufferTooSmall] == 1)
  }

  /// SECURITY: mergeable buffers that never suffice: bounded work, and the ring still serves what fits.
  @Test(arguments: GuestQueue.Layout.allCases)
  func `Row 20: mergeable buffers that never suffice cost the frame, and serve the next`(
    layout: GuestQueue.Layout
  ) throws {
    let guest = try VhostUserGuest(VhostUserGuest.modern.union(layout.features), ringSize: 1024)
    guest.driver.post(1024, sizes: [13])
    guest.harness.transmit([testFrame(65_000)])
    #expect(guest.harness.counters[.bufferTooSmall] == 1)
    guest.harness.transmit([testFrame(14)])
    #expect(guest.driver.receive()?.bytes == testFrame(14))
  }

  /// Readable; outside memory; address overflow; a bad address without bytes; a table that is none.
  @Test(arguments: GuestQueue.Layout.allCases)
  func `Row 14: receive descriptors no driver would write cost frames only`(layout: GuestQueue.Layout)
    throws
  {
    let guest = try VhostUserGuest(VhostUserGuest.modern.union(layout.features))
    let queue = guest.driver.receiveQueue
    let good = guest.driver.ram.allocate(2048)
    let chains: [[RawDescriptor]] = [
      [RawDescriptor(good, 2048)], [RawDescriptor(1 << 40, 2048, flags: 2)],
      [RawDescriptor(.max - 10, 2048, flags: 2)],
      [RawDescriptor(1 << 40, 0, flags: 3), RawDescriptor(good, 2048, flags: 2)],
      [RawDescriptor(good, 33, flags: 4)],
    ]
    let ids = chains.compactMap { queue.offer(raw: $0) }
    queue.publish()
    guest.harness.transmit((0..<5).map { testFrame(60, seed: $0) })
    #expect(guest.harness.counters[.badReceiveDescriptor] == 5)
    for id in ids {
      let done = queue.complete()
      #expect(done?.head == id && done?.length == 0)
    }
    #expect(queue.complete() == nil)
  }

  @Test func `Row 15: a receive chain in a circle costs the frame only`() throws {
    let guest = try VhostUserGuest()
    let queue = guest.driver.receiveQueue
    queue.offer(raw: [RawDescriptor(guest.driver.ram.allocate(64), 1, flags: 3, link: 0)])
    queue.publish()
    guest.harness.transmit([testFrame(60)])
    #expect(guest.harness.counters[.badReceiveDescriptor] == 1)
    #expect(queue.complete()?.length == 0)
  }

  @Test(arguments: GuestQueue.Layout.allCases)
  func `Row 13: a frame received across two regions arrives whole`(layout: GuestQueue.Layout) throws {
    let ram = try GuestRAM(shape: .swappedHalves)
    let guest = try VhostUserGuest(VhostUserGuest.modern.union(layout.features), ram: ram)
    for before in [1, 5, 12, 13, 76, 77, 500] {
      let address = ram.border! - UInt64(before)
      #expect(guest.driver.post([.init(address, 1600, isWritable: true)]))
      guest.driver.receiveQueue.publish()
      guest.harness.transmit([testFrame(1514, seed: before)])
      #expect(guest.driver.receive(repost: false)?.bytes == testFrame(1514, seed: before))
    }
  }

  @Test func offloadTravels() throws {
    let guest = try VhostUserGuest()
    guest.driver.post(8, sizes: [2048])
    let offload = Offload(
      flags: Offload.Flag.needsChecksum, gsoType: Offload.GSO.tcp4, headerLength: 54, gsoSize: 1448,
      checksumStart: 34, checksumOffset: 16)
    #expect(guest.port.io.accepts == [.checksum, .tcp4])
    guest.harness.transmit([testFrame(60), testFrame(4000)], offload: offload)
    for _ in 0..<2 { #expect(guest.driver.receive()?.offload == offload) }
  }

  /// One interrupt for a burst, if the driver wants one.
  @Test(arguments: GuestQueue.Layout.allCases)
  func `Row 22: an interrupt per frame is one per burst`(layout: GuestQueue.Layout) throws {
    let guest = try VhostUserGuest(VhostUserGuest.modern.union(layout.features))
    guest.driver.post(64, sizes: [2048])
    guest.driver.receiveQueue.call.drain()
    guest.harness.transmit((0..<20).map { testFrame(60, seed: $0) })
    #expect(guest.driver.receiveQueue.call.drain() == 1)
  }

  @Test func requestedMTU() throws {
    let guest = try VhostUserGuest()
    guest.driver.post(8, sizes: [4096])
    let wanted = PortConfiguration(
      name: "guest", kind: .vhostUser, requestedMTU: 1000, runDirectory: guest.directory.path)
    #expect(try guest.port.reconfigure(wanted))
    #expect(guest.port.status.mtu == 1000)
    guest.harness.transmit([testFrame(1022), testFrame(1023)])
    #expect(guest.driver.receive()?.bytes.count == 1022)
    #expect(guest.driver.receive() == nil)
    #expect(guest.harness.counters[.exceedsMTU] == 1)
  }

  @Test func withoutGuest() throws {
    let guest = try VhostUserGuest(started: false)
    guest.harness.transmit([testFrame(60)])
    #expect(guest.harness.counters[.notReady] == 1)
    #expect(guest.harness.receive() == 0)
    #expect(guest.port.io.sleep(queue: 0))
  }

  /// A software-pushed tag: a private header longer than the snapshot, the rest from the source.
  @Test(arguments: [60, 64, 65, 100, 1514])
  func pushedTag(_ length: Int) throws {
    let guest = try VhostUserGuest()
    guest.driver.post(8, sizes: [2048])
    let frame = testFrame(length)
    let tag: [UInt8] = [0x81, 0, 0, 5]
    guest.harness.transmitTagged(frame, tag: tag)
    #expect(guest.driver.receive()?.bytes == Array(frame[..<12]) + tag + Array(frame[12...]))
    guest.harness.transmitUntagged(frame)
    #expect(guest.driver.receive()?.bytes == Array(frame[..<12]) + Array(frame[16...]))
  }
}
