import Linux
import Packet
import Ports
import Testing
import VhostUser
import Virtio
import VirtioTesting

/// What a vIOMMU took away, or never gave, is not touched.
@Suite struct InvalidationTests {
  private typealias Message = GuestIOMMU.Message
  static let shift: UInt64 = 1 << 40
  static let page = 4096

  /// A device behind an IOMMU that answers misses only when it is told to.
  private func guest(_ layout: GuestQueue.Layout) throws -> (guest: VhostUserGuest, channel: BackEndChannel) {
    let guest = try VhostUserGuest.translated(
      .fixed(offset: Self.shift), VhostUserGuest.modern.union(layout.features))
    let channel = try #require(guest.frontEnd.backEndChannel)
    channel.answersMisses = false
    return (guest, channel)
  }

  private func invalidate(_ address: UInt64, _ guest: VhostUserGuest) throws {
    let message = Message(.invalidate, iova: address + Self.shift, size: UInt64(Self.page))
    #expect(try guest.frontEnd.command(.iotlbMessage, message.bytes) == 0)
  }

  private func allow(_ address: UInt64, _ access: GuestIOMMU.Access, _ guest: VhostUserGuest) throws {
    let message = Message(
      .update, iova: address + Self.shift, size: UInt64(Self.page),
      userAddress: guest.driver.ram.userAddress(address), access: access)
    #expect(try guest.frontEnd.update(message) == 0)
  }

  /// Receive buffers in a page of their own each.
  private func post(_ count: Int, _ guest: VhostUserGuest) -> [UInt64] {
    let driver = guest.driver
    let buffers = (0..<count).map { _ in driver.ram.allocate(Self.page, alignment: UInt64(Self.page)) }
    for address in buffers { #expect(driver.post([.init(address, 2048, isWritable: true)])) }
    if driver.receiveQueue.publish() { driver.receiveQueue.kick.signal() }
    return buffers
  }

  private func isAskedFor(_ address: UInt64, _ access: GuestIOMMU.Access, _ channel: BackEndChannel) -> Bool {
    channel.misses.contains { $0.iova == address + Self.shift && $0.access == access }
  }

  @Test(arguments: GuestQueue.Layout.allCases)
  func `A receive buffer that was invalidated is left alone until it is translated again`(
    layout: GuestQueue.Layout
  ) throws {
    let (guest, channel) = try guest(layout)
    let buffers = post(2, guest)
    try guest.settle()
    try invalidate(buffers[0], guest)
    guest.harness.transmit([testFrame(200)])
    for buffer in buffers { #expect(guest.driver.ram.read(buffer, Self.page).allSatisfy { $0 == 0 }) }
    try guest.settle()
    #expect(isAskedFor(buffers[0], .write, channel))
    guest.harness.transmit([testFrame(201)])
    for buffer in buffers { #expect(guest.driver.ram.read(buffer, Self.page).allSatisfy { $0 == 0 }) }
    try allow(buffers[0], .readWrite, guest)
    #expect(guest.driver.receive()?.bytes == testFrame(200), "it has waited")
    #expect(guest.driver.receive()?.bytes == testFrame(201))
    #expect(guest.harness.drops == 0)
  }

  @Test(arguments: GuestQueue.Layout.allCases)
  func `A send buffer that was invalidated is not read, and its frame follows when it is there again`(
    layout: GuestQueue.Layout
  ) throws {
    let (guest, channel) = try guest(layout)
    let buffer = guest.driver.ram.allocate(Self.page, alignment: UInt64(Self.page))
    try invalidate(buffer, guest)
    #expect(guest.driver.send(testFrame(99, seed: 1)), "what comes before it goes")
    #expect(guest.driver.send(testFrame(100, seed: 2), at: buffer))
    #expect(guest.driver.send(testFrame(101, seed: 3)), "and what comes after waits")
    var frames: [[UInt8]] = []
    for _ in 0..<3 { guest.harness.receive { bytes, _ in frames.append(bytes) } }
    #expect(frames == [testFrame(99, seed: 1)])
    #expect(guest.port.io.sleep(queue: 0), "there is nothing to be done")
    guest.port.io.wake(queue: 0)
    try guest.settle()
    #expect(isAskedFor(buffer, .read, channel))
    let wakes = guest.harness.wakes
    try allow(buffer, .read, guest)
    #expect(guest.harness.wakes > wakes)
    guest.harness.receive { bytes, _ in frames.append(bytes) }
    #expect(frames == [testFrame(99, seed: 1), testFrame(100, seed: 2), testFrame(101, seed: 3)])
    #expect(guest.driver.reclaim() == 3)
  }

  @Test(arguments: GuestQueue.Layout.allCases, 0..<3)
  func `A ring that was invalidated rests, the other goes on, and it continues where it was`(
    layout: GuestQueue.Layout, part: Int
  ) throws {
    let (guest, channel) = try guest(layout)
    _ = post(16, guest)
    func address(_ queue: GuestQueue) -> UInt64 { [queue.descriptors, queue.available, queue.used][part] }
    for round in 0..<3 {
      let sending = address(guest.driver.transmitQueue)
      try invalidate(sending, guest)
      let before = guest.driver.ram.read(sending, Self.page)
      guest.harness.transmit([testFrame(80, seed: round)])
      #expect(guest.driver.receive()?.bytes == testFrame(80, seed: round))
      #expect(guest.harness.receive() == 0 && guest.port.io.sleep(queue: 0))
      try guest.settle()
      #expect(guest.driver.ram.read(sending, Self.page) == before)
      #expect(channel.misses.contains { $0.iova == sending + Self.shift })
      #expect(guest.driver.send(testFrame(81, seed: round)))
      #expect(guest.harness.receive() == 0)
      try allow(sending, .readWrite, guest)
      var frames: [[UInt8]] = []
      guest.harness.receive { bytes, _ in frames.append(bytes) }
      #expect(frames == [testFrame(81, seed: round)])

      let receiving = address(guest.driver.receiveQueue)
      try invalidate(receiving, guest)
      let untouched = guest.driver.ram.read(receiving, Self.page)
      guest.harness.transmit([testFrame(82, seed: round)])
      #expect(guest.driver.ram.read(receiving, Self.page) == untouched)
      #expect(guest.through(testFrame(83, seed: round))?.bytes == testFrame(83, seed: round))
      try allow(receiving, .readWrite, guest)
      #expect(guest.driver.receive()?.bytes == testFrame(82, seed: round), "it has waited")
      guest.harness.transmit([testFrame(84, seed: round)])
      #expect(guest.driver.receive()?.bytes == testFrame(84, seed: round))
    }
    #expect(guest.harness.counters[.receivedFrames] == 6)
  }

  @Test(arguments: GuestQueue.Layout.allCases)
  func `What may only be read is never written, and what may only be written never read`(
    layout: GuestQueue.Layout
  ) throws {
    let (guest, channel) = try guest(layout)
    let receive = post(1, guest)[0]
    let send = guest.driver.ram.allocate(Self.page, alignment: UInt64(Self.page))
    try allow(receive, .read, guest)
    try allow(send, .write, guest)
    guest.harness.transmit([testFrame(200)])
    #expect(guest.driver.ram.read(receive, Self.page).allSatisfy { $0 == 0 })
    #expect(guest.driver.send(testFrame(100), at: send))
    #expect(guest.harness.receive() == 0)
    try guest.settle()
    #expect(isAskedFor(receive, .write, channel) && isAskedFor(send, .read, channel))
    try allow(receive, .write, guest)
    try allow(send, .read, guest)
    #expect(guest.driver.receive()?.bytes == testFrame(200))
    var frames: [[UInt8]] = []
    guest.harness.receive { bytes, _ in frames.append(bytes) }
    #expect(frames == [testFrame(100)])
  }

  @Test(arguments: GuestQueue.Layout.allCases)
  func `A ring whose used part may only be read moves nothing`(layout: GuestQueue.Layout) throws {
    let (guest, channel) = try guest(layout)
    let used = guest.driver.transmitQueue.used
    try invalidate(used, guest)
    try allow(used, .read, guest)
    #expect(guest.driver.send(testFrame(100)))
    let before = guest.driver.ram.read(used, Self.page)
    #expect(guest.harness.receive() == 0)
    try guest.settle()
    #expect(guest.driver.ram.read(used, Self.page) == before)
    #expect(channel.misses.contains { $0.iova == used + Self.shift && $0.access.contains(.write) })
    try allow(used, .readWrite, guest)
    #expect(guest.harness.receive() == 1)
  }
}
