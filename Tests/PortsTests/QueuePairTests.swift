import Linux
import Packet
import Ports
import Seeded
import Testing
import VhostUser
import Virtio
import VirtioTesting

/// Many queue pairs on one port; which of them are enabled is the guest's affair.
@Suite struct QueuePairTests {
  /// A guest with `count` pairs, of which `enabled` are.
  static func guest(_ count: Int, _ layout: GuestQueue.Layout, enabled: Int? = nil, ringSize: Int = 64) throws
    -> VhostUserGuest
  {
    let features = VhostUserGuest.modern.union([.multiqueue, .eventIndex, layout.features])
    let guest = try VhostUserGuest(
      features, ram: try GuestRAM(size: 64 << 20), ringSize: ringSize, started: false, pairs: count)
    try guest.frontEnd.negotiate(features, [.multiqueue, .replyAcknowledgement])
    try guest.frontEnd.setMemory(guest.driver.ram)
    for (number, pair) in guest.driver.pairs.enumerated() {
      for (index, queue) in [pair.receiveQueue, pair.transmitQueue].enumerated() {
        try guest.frontEnd.start(queue, index: UInt32(2 * number + index), enable: number < enabled ?? count)
      }
      // A socket holds only so many messages.
      guest.harness.turn()
    }
    try #require(guest.harness.wait { guest.port.status.linkUp })
    try settle(guest)
    for pair in guest.driver.pairs { pair.post(16, sizes: [2048]) }
    return guest
  }

  /// Everything the front-end said has been heard.
  static func settle(_ guest: VhostUserGuest) throws { _ = try guest.frontEnd.askNumber(.getFeatures) }

  private func received(_ guest: VhostUserGuest, _ queue: Int) -> [[UInt8]] {
    var frames: [[UInt8]] = []
    guest.harness.receive(queue: queue) { bytes, _ in frames.append(bytes) }
    return frames
  }

  @Test(arguments: [1, 4, 128], GuestQueue.Layout.allCases)
  func `Every pair forwards, and only its own frames`(count: Int, layout: GuestQueue.Layout) throws {
    let guest = try Self.guest(count, layout)
    #expect(guest.port.receiveQueueCount == count && guest.port.transmitQueueCount == count)
    #expect(guest.port.status.details["queue_pairs"] == "\(count)")
    for (queue, pair) in guest.driver.pairs.enumerated() {
      for index in 0...queue % 3 { #expect(pair.send(testFrame(60 + index, seed: queue))) }
    }
    for queue in 0..<count {
      #expect(received(guest, queue) == (0...queue % 3).map { testFrame(60 + $0, seed: queue) })
      guest.harness.transmit([testFrame(70, seed: queue)], queue: queue)
    }
    for (queue, pair) in guest.driver.pairs.enumerated() {
      #expect(pair.receive()?.bytes == testFrame(70, seed: queue))
      #expect(pair.receive() == nil)
      #expect(pair.reclaim() == queue % 3 + 1)
    }
  }

  /// Random changes of what is enabled, against the list of it.
  @Test(arguments: GuestQueue.Layout.allCases, 0..<4 as Range<UInt64>)
  func `Pairs enabled and disabled at run time carry frames, or not`(layout: GuestQueue.Layout, seed: UInt64)
    throws
  {
    var random = SeededRandom(seed: seed)
    let guest = try Self.guest(6, layout)
    var enabled = Set(0..<6)
    var disabledDrops: UInt64 = 0
    for round in 0..<40 {
      let changed = Int.random(in: 1..<6, using: &random)
      if !enabled.insert(changed).inserted { enabled.remove(changed) }
      try guest.frontEnd.enable(pair: changed, enabled.contains(changed))
      try Self.settle(guest)
      #expect(guest.port.receiveQueueCount == 6, "what comes by disabled ones is thrown away")
      #expect(guest.port.transmitQueueCount == enabled.count)
      for (queue, pair) in guest.driver.pairs.enumerated() {
        let frame = testFrame(60, seed: 10 * round + queue)
        #expect(pair.send(frame))
        #expect(received(guest, queue) == (enabled.contains(queue) ? [frame] : []))
        if !enabled.contains(queue) { disabledDrops += 1 }
        #expect(guest.harness.counters[.ringDisabled] == disabledDrops)
      }
      for (queue, number) in enabled.sorted().enumerated() {
        let frame = testFrame(61, seed: 10 * round + queue)
        guest.harness.transmit([frame], queue: queue)
        #expect(guest.driver.pairs[number].receive()?.bytes == frame)
      }
      for pair in guest.driver.pairs {
        #expect(pair.receive() == nil)
        pair.reclaim()
      }
    }
    #expect(guest.harness.counters[.ringDisabled] > 0)
    #expect(guest.harness.counters[.notReady] == 0 && guest.harness.counters[.receiverDisabled] == 0)
  }

  @Test(arguments: GuestQueue.Layout.allCases)
  func `Pairs that were never enabled are no queues yet, and what they hold waits`(layout: GuestQueue.Layout)
    throws
  {
    let guest = try Self.guest(4, layout, enabled: 1)
    #expect(guest.port.receiveQueueCount == 1 && guest.port.transmitQueueCount == 1)
    let late = guest.driver.pairs[2]
    #expect(late.send(testFrame(60)))
    try guest.frontEnd.enable(pair: 2)
    try Self.settle(guest)
    #expect(guest.port.receiveQueueCount == 3 && guest.port.transmitQueueCount == 2)
    #expect(received(guest, 1) == [])
    #expect(received(guest, 2) == [testFrame(60)])
    guest.harness.transmit([testFrame(61)], queue: 1)
    #expect(late.receive()?.bytes == testFrame(61))
    #expect(guest.harness.counters[.ringDisabled] == 0)
  }

  @Test(arguments: GuestQueue.Layout.allCases)
  func `A guest that receives by no pair has its frames dropped by name, and still sends`(
    layout: GuestQueue.Layout
  ) throws {
    let guest = try Self.guest(2, layout)
    for ring: UInt32 in [0, 2] { try guest.frontEnd.enable(ring, false) }
    try Self.settle(guest)
    #expect(guest.port.transmitQueueCount == 1 && !guest.port.status.linkUp)
    guest.harness.transmit([testFrame(60), testFrame(61)])
    #expect(guest.harness.counters[.receiverDisabled] == 2)
    #expect(guest.driver.receive() == nil)
    #expect(guest.driver.pairs[1].send(testFrame(62)))
    #expect(received(guest, 1) == [testFrame(62)])
    try guest.frontEnd.enable(2)
    try Self.settle(guest)
    guest.harness.transmit([testFrame(63)])
    #expect(guest.driver.pairs[1].receive()?.bytes == testFrame(63))
    #expect(guest.harness.counters[.receiverDisabled] == 2)
  }
}
