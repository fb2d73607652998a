import Linux
import Packet
import Ports
import Testing
import VhostUser
import Virtio
import VirtioTesting

/// A front-end that never answers a miss costs the queue that waits for it, and nobody else.
@Suite struct UnansweredMissTests {
  private typealias Message = GuestIOMMU.Message

  private func expectTraffic(_ guest: VhostUserGuest, pair: Int, seed: Int) {
    let queues = guest.driver.pairs[pair]
    #expect(queues.send(testFrame(100, seed: seed)))
    var frames: [[UInt8]] = []
    guest.harness.receive(queue: pair) { bytes, _ in frames.append(bytes) }
    #expect(frames == [testFrame(100, seed: seed)])
    guest.harness.transmit([testFrame(101, seed: seed)], queue: pair)
    #expect(queues.receive()?.bytes == testFrame(101, seed: seed))
  }

  @Test(arguments: GuestQueue.Layout.allCases)
  func `A miss that is never answered stalls its queue alone, and is repeated`(layout: GuestQueue.Layout)
    throws
  {
    let loop = try EventLoop()
    let guest = try VhostUserGuest.translated(
      .fixed(), VhostUserGuest.modern.union([.multiqueue, layout.features]), loop: loop, pairs: 3,
      protocolFeatures: .multiqueue)
    let other = try VhostUserGuest(loop: loop)
    other.driver.post(64, sizes: [2048])
    for pair in guest.driver.pairs { pair.post(64, sizes: [2048]) }
    try guest.settle()
    let buffer = guest.driver.ram.allocate(4096, alignment: 4096)
    let channel = try #require(guest.frontEnd.backEndChannel)
    channel.answersMisses = false
    let gone = Message(.invalidate, iova: buffer, size: 4096)
    #expect(try guest.frontEnd.command(.iotlbMessage, gone.bytes) == 0)

    let stalled = guest.driver.pairs[1]
    #expect(stalled.send(testFrame(90), at: buffer))
    for round in 0..<10 {
      #expect(guest.harness.receive(queue: 1) == 0)
      #expect(guest.port.io.sleep(queue: 1), "nothing to be done until the translation comes")
      guest.port.io.wake(queue: 1)
      for pair in [0, 2] { expectTraffic(guest, pair: pair, seed: round) }
      expectTraffic(other, pair: 0, seed: round)
      guest.harness.transmit([testFrame(102, seed: round)], queue: 1)
      #expect(stalled.receive()?.bytes == testFrame(102, seed: round), "the other direction")
      guest.harness.turn()
    }
    func isAskedFor(_ times: Int) -> Bool {
      _ = try? guest.frontEnd.serveBackEnd()
      return channel.misses.count { $0.iova == buffer } >= times
    }
    #expect(guest.harness.wait { isAskedFor(1) })
    #expect(channel.misses.count { $0.iova == buffer } == 1, "not again and again")
    #expect(guest.harness.wait { isAskedFor(3) })
    expectTraffic(guest, pair: 0, seed: 99)

    channel.answersMisses = true
    try guest.settle()
    var frames: [[UInt8]] = []
    guest.harness.receive(queue: 1) { bytes, _ in frames.append(bytes) }
    #expect(frames == [testFrame(90)])
  }

  /// Its ring is one the driver has not mapped yet, when the front-end is asked; nobody tells when it is.
  @Test(arguments: GuestQueue.Layout.allCases)
  func `A ring without translation is asked for again too`(layout: GuestQueue.Layout) throws {
    let guest = try VhostUserGuest.translated(.fixed(), VhostUserGuest.modern.union(layout.features))
    let channel = try #require(guest.frontEnd.backEndChannel)
    channel.answersMisses = false
    let used = guest.driver.transmitQueue.used
    let gone = Message(.invalidate, iova: used, size: 4096)
    #expect(try guest.frontEnd.command(.iotlbMessage, gone.bytes) == 0)
    #expect(guest.driver.send(testFrame(90)))
    let asked = guest.harness.wait {
      _ = try? guest.frontEnd.serveBackEnd()
      return channel.misses.count { $0.iova == used } >= 3
    }
    #expect(asked)
    #expect(guest.harness.receive() == 0)
    channel.answersMisses = true
    try guest.settle()
    #expect(guest.harness.receive() == 1)
  }
}
