import Linux
import Packet
import Ports
import Testing
import Virtio
import VirtioTesting

/// What a guest sends arrives, whatever its descriptors look like; what it should not have sent does not.
@Suite struct VhostUserReceiveTests {
  @Test(arguments: [14, 15, 31, 32, 33, 59, 60, 63, 64, 65, 127, 128, 200, 256, 257, 1514, 9000, 65_549])
  func everyLength(_ length: Int) throws {
    let guest = try VhostUserGuest()
    let frame = testFrame(length)
    #expect(guest.through(frame)?.bytes == frame)
    #expect(guest.harness.counters[.receivedBytes] == UInt64(length))
    #expect(guest.driver.reclaim() == 1)
  }

  @Test(
    arguments: [
      [12], [10], [1], [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], [12, 14], [12, 1, 1, 1], [5, 40, 100], [1000],
    ], GuestQueue.Layout.allCases)
  func `Row 17: a header in any number of descriptors arrives`(cuts: [Int], layout: GuestQueue.Layout) throws
  {
    for features in [VhostUserGuest.modern, [.checksum, .indirectDescriptors]] {
      let guest = try VhostUserGuest(features.union(layout.features))
      for indirect in [false, true] {
        let frame = testFrame(1400, seed: cuts.count)
        #expect(guest.through(frame, cuts: cuts, indirect: indirect)?.bytes == frame)
      }
      #expect(guest.driver.reclaim() == 1)
    }
  }

  @Test func offloadTravels() throws {
    let guest = try VhostUserGuest()
    let offload = Offload(
      flags: Offload.Flag.needsChecksum, gsoType: Offload.GSO.tcp4, headerLength: 54, gsoSize: 1448,
      checksumStart: 34, checksumOffset: 16)
    for cuts in [[], [12], [3, 5, 9]] {
      let result = guest.through(testFrame(4000), offload: offload, cuts: cuts)
      #expect(result?.offload == offload)
    }
  }

  /// SECURITY: requests that contradict their frame.
  @Test(arguments: [
    // The checksum lies beyond the frame; begins in the Ethernet header.
    Offload(flags: 1, checksumStart: 90, checksumOffset: 16),
    Offload(flags: 1, checksumStart: 65_535, checksumOffset: 65_535),
    Offload(flags: 1, checksumStart: 2, checksumOffset: 2),
    // No segment size; without a checksum; unknown type; headers longer than the frame; not negotiated.
    Offload(flags: 1, gsoType: 1, headerLength: 54, gsoSize: 0, checksumStart: 34, checksumOffset: 16),
    Offload(flags: 0, gsoType: 1, headerLength: 54, gsoSize: 1448),
    Offload(flags: 1, gsoType: 77, headerLength: 54, gsoSize: 1448, checksumStart: 34, checksumOffset: 16),
    Offload(flags: 1, gsoType: 1, headerLength: 101, gsoSize: 1448, checksumStart: 34, checksumOffset: 16),
    Offload(flags: 1, gsoType: 4, headerLength: 54, gsoSize: 1448, checksumStart: 34, checksumOffset: 16),
  ])
  func `Row 19: an offload request that contradicts its frame is dropped by name`(_ offload: Offload) throws {
    let guest = try VhostUserGuest()
    for cuts in [[], [12]] { #expect(guest.through(testFrame(100), offload: offload, cuts: cuts) == nil) }
    #expect(guest.harness.counters[.badOffload] == 2)
    guest.driver.reclaim()
    #expect(guest.driver.transmitQueue.freeCount == 256)
    #expect(guest.through(testFrame(100)) != nil)
  }

  /// A dropped frame does not take its neighbours with it.
  @Test(arguments: GuestQueue.Layout.allCases)
  func badOffloadAmongGood(layout: GuestQueue.Layout) throws {
    let guest = try VhostUserGuest(VhostUserGuest.modern.union(layout.features))
    let bad = Offload(flags: 1, checksumStart: 500, checksumOffset: 16)
    for index in 0..<9 {
      let isBad = index % 3 == 1
      #expect(guest.driver.offer(testFrame(100, seed: index), offload: isBad ? bad : .none))
    }
    guest.driver.transmitQueue.publish()
    var frames: [[UInt8]] = []
    guest.harness.receive { bytes, _ in frames.append(bytes) }
    #expect(frames == [0, 2, 3, 5, 6, 8].map { testFrame(100, seed: $0) })
    #expect(guest.driver.reclaim() == 9)
  }

  @Test(arguments: GuestQueue.Layout.allCases)
  func `Row 17: frames shorter than an Ethernet header are dropped by name`(layout: GuestQueue.Layout) throws
  {
    let guest = try VhostUserGuest(VhostUserGuest.modern.union(layout.features))
    for length in [0, 1, 13] { #expect(guest.through(testFrame(length)) == nil) }
    #expect(guest.through(testFrame(13), cuts: [12]) == nil)
    #expect(guest.harness.counters[.runt] == 4)
    guest.driver.reclaim()
    #expect(guest.driver.transmitQueue.freeCount == 256)
  }

  @Test func oversized() throws {
    let guest = try VhostUserGuest()
    #expect(guest.through(testFrame(Batch.maximumFrameLength + 1)) == nil)
    #expect(guest.harness.counters[.oversized] == 1)
  }

  /// A buffer across two regions is contiguous for the guest only.
  @Test(arguments: GuestQueue.Layout.allCases)
  func `Row 13: a buffer across two regions is sent whole`(layout: GuestQueue.Layout) throws {
    let ram = try GuestRAM(shape: .swappedHalves)
    let guest = try VhostUserGuest(VhostUserGuest.modern.union(layout.features), ram: ram)
    let frame = testFrame(1000)
    for before in [1, 5, 12, 13, 40, 76, 77, 500] {
      let address = ram.border! - UInt64(before)
      #expect(guest.through(frame, at: address)?.bytes == frame)
      #expect(guest.through(frame, cuts: [12, 100], indirect: true, at: address)?.bytes == frame)
    }
    #expect(guest.harness.counters[.badDescriptor] == 0)
  }

  /// The last bytes of memory: the snapshot may not reach past them.
  @Test func atTheEndOfMemory() throws {
    let guest = try VhostUserGuest()
    for length in [14, 20, 60, 64, 100] {
      let frame = testFrame(length)
      let address = UInt64(guest.driver.ram.size - length - 12)
      #expect(guest.through(frame, at: address)?.bytes == frame)
    }
  }

  @Test(arguments: GuestQueue.Layout.allCases)
  func fullBursts(layout: GuestQueue.Layout) throws {
    let guest = try VhostUserGuest(VhostUserGuest.modern.union(layout.features), ringSize: 256)
    for index in 0..<200 { #expect(guest.driver.offer(testFrame(60 + index, seed: index))) }
    guest.driver.transmitQueue.publish()
    var frames: [[UInt8]] = []
    while guest.harness.receive({ bytes, _ in frames.append(bytes) }) > 0 {}
    #expect(frames == (0..<200).map { testFrame(60 + $0, seed: $0) })
    #expect(guest.driver.reclaim() == 200)
  }

  /// Chains of many parts fill the batch's segments; what does not fit waits for the next burst.
  @Test(arguments: GuestQueue.Layout.allCases)
  func manySegments(layout: GuestQueue.Layout) throws {
    let guest = try VhostUserGuest(VhostUserGuest.modern.union(layout.features), ringSize: 1024)
    for index in 0..<40 {
      let cuts = [Int](repeating: 2, count: index % 2 == 0 ? 600 : 1)
      #expect(guest.driver.offer(testFrame(1300, seed: index), cuts: cuts, indirect: true))
    }
    guest.driver.transmitQueue.publish()
    var frames: [[UInt8]] = []
    while guest.harness.receive({ bytes, _ in frames.append(bytes) }) > 0 {}
    #expect(frames == (0..<40).map { testFrame(1300, seed: $0) })
  }

  @Test(arguments: GuestQueue.Layout.allCases)
  func kicksAndSleep(layout: GuestQueue.Layout) throws {
    for features in [VhostUserGuest.modern, VhostUserGuest.modern.union(.eventIndex)] {
      let guest = try VhostUserGuest(features.union(layout.features))
      let io = guest.port.io
      #expect(guest.harness.waitDescriptor != nil)
      #expect(io.sleep(queue: 0))
      #expect(guest.driver.offer(testFrame(60)))
      #expect(guest.driver.transmitQueue.publish(), "armed: the driver has to kick")
      #expect(!io.sleep(queue: 0), "there is work already")
      io.wake(queue: 0)
      guest.harness.receive()
      #expect(guest.driver.offer(testFrame(60)))
      #expect(!guest.driver.transmitQueue.publish(), "polling: no kick wanted")
    }
  }

  /// Completed buffers interrupt the driver only if it asked for it.
  @Test(arguments: GuestQueue.Layout.allCases)
  func interrupts(layout: GuestQueue.Layout) throws {
    let guest = try VhostUserGuest(VhostUserGuest.modern.union([.eventIndex, layout.features]))
    let queue = guest.driver.transmitQueue
    let buffer = guest.driver.ram.allocate(128)
    #expect(queue.sleep())
    queue.call.drain()
    func callsForOne() -> UInt64 {
      queue.add([.init(buffer, 72, isWritable: false)])
      queue.publish()
      guest.harness.receive()
      return queue.call.drain()
    }
    #expect(callsForOne() == 1)
    #expect(callsForOne() == 0, "the driver still asks for the first")
    while queue.complete() != nil {}
    #expect(callsForOne() == 1)
    #expect(guest.harness.counters[.notificationsSuppressed] == 1)
  }
}
