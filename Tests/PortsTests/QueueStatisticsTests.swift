import Linux
import Packet
import Ports
import Seeded
import Testing
import Virtio
import VirtioTesting

/// What the port says of each queue is what happened on it, and all queues together are the port.
@Suite struct QueueStatisticsTests {
  /// Names without the queue: `packets`, of `rx_q0_packets`.
  private struct Model {
    var figures: [String: UInt64] = [:]

    mutating func add(_ name: String, _ amount: Int) { figures[name, default: 0] += UInt64(amount) }

    /// The sum over all queues.
    func sum(_ direction: String, _ name: String) -> UInt64 {
      figures.filter { $0.key.hasPrefix("\(direction)_q") && $0.key.hasSuffix("_\(name)") }
        .reduce(0) { $0 + $1.value }
    }
  }

  private static let shortFrame = 10

  /// The guest sends by pair `number`: some frames, some of them too short to be any.
  private func send(
    _ guest: VhostUserGuest, _ number: Int, _ random: inout SeededRandom, _ model: inout Model
  ) {
    let pair = guest.driver.pairs[number]
    for _ in 0..<Int.random(in: 0...5, using: &random) {
      let isRunt = Int.random(in: 0..<5, using: &random) == 0
      let length = isRunt ? Self.shortFrame : Int.random(in: 60...1500, using: &random)
      guard pair.offer(testFrame(length)) else { continue }
      if isRunt {
        model.add("rx_q\(number)_drop_runt", 1)
      } else {
        model.add("rx_q\(number)_packets", 1)
        model.add("rx_q\(number)_bytes", length)
      }
      if pair.transmitQueue.publish() {
        pair.transmitQueue.kick.signal()
        model.add("rx_q\(number)_kicks", 1)
      }
    }
    while pair.transmitQueue.freeCount < 64 {
      if guest.harness.receive(queue: number) == 0 && pair.reclaim() == 0 { break }
      pair.reclaim()
    }
    if Bool.random(using: &random) {
      _ = guest.port.io.sleep(queue: number)
      if Bool.random(using: &random) { guest.port.io.wake(queue: number) }
    }
    model.add("rx_q\(number)_calls", Int(pair.transmitQueue.call.drain()))
  }

  /// The port sends by queue `number`, sometimes more than there is room for.
  private func deliver(
    _ guest: VhostUserGuest, _ number: Int, _ random: inout SeededRandom, _ model: inout Model
  ) {
    let pair = guest.driver.pairs[number]
    let frames = (0..<Int.random(in: 1...24, using: &random)).map { _ in
      testFrame(Int.random(in: 60...1500, using: &random))
    }
    guest.harness.transmit(frames, queue: number)
    model.add("tx_q\(number)_calls", Int(pair.receiveQueue.call.drain()))
    for frame in frames {
      if let received = pair.receive() {
        #expect(received.bytes == frame)
        model.add("tx_q\(number)_packets", 1)
        model.add("tx_q\(number)_bytes", frame.count)
      } else {
        model.add("tx_q\(number)_drop_receiver_full", 1)
      }
    }
  }

  @Test(arguments: GuestQueue.Layout.allCases)
  func `Frames, bytes, kicks, calls and drops are told by queue, and add up`(layout: GuestQueue.Layout) throws
  {
    var random = SeededRandom(seed: 12)
    let guest = try QueuePairTests.guest(3, layout)
    for queue in guest.driver.queues { queue.call.drain() }
    let before = Dictionary(uniqueKeysWithValues: guest.port.queueStatistics)
    var model = Model()
    for _ in 0..<200 {
      let number = Int.random(in: 0..<3, using: &random)
      if Bool.random(using: &random) {
        send(guest, number, &random, &model)
      } else {
        deliver(guest, number, &random, &model)
      }
    }
    let told = Dictionary(uniqueKeysWithValues: guest.port.queueStatistics)
    for (name, value) in model.figures { #expect(told[name, default: 0] == value, "\(name)") }
    for (name, value) in told where name.contains("drop") {
      #expect(model.figures[name] == value, "\(name), which did not happen")
    }
    for number in 0..<3 {
      // Receive buffers go in without a kick: nobody waits for them.
      #expect(told["tx_q\(number)_kicks"] == before["tx_q\(number)_kicks"])
    }
    let all = Model(figures: told)
    let counters = guest.harness.counters
    #expect(all.sum("rx", "packets") == counters[.receivedFrames])
    #expect(all.sum("rx", "bytes") == counters[.receivedBytes])
    #expect(all.sum("tx", "packets") == counters[.transmittedFrames])
    #expect(all.sum("tx", "bytes") == counters[.transmittedBytes])
    #expect(all.sum("rx", "calls") + all.sum("tx", "calls") == counters[.notificationsSent])
    #expect(
      all.sum("rx", "calls_suppressed") + all.sum("tx", "calls_suppressed")
        == counters[.notificationsSuppressed])
    #expect(all.sum("rx", "drop_runt") == counters[.runt] && counters[.runt] > 0)
    #expect(all.sum("tx", "drop_receiver_full") == counters[.receiverFull] && counters[.receiverFull] > 0)
    #expect(model.sum("rx", "kicks") > 0 && counters[.notificationsSent] > 0)
  }

  @Test(arguments: GuestQueue.Layout.allCases)
  func `Calls a driver does not want are counted as suppressed`(layout: GuestQueue.Layout) throws {
    let guest = try QueuePairTests.guest(2, layout)
    let pair = guest.driver.pairs[1]
    pair.transmitQueue.stayAwake()
    pair.receiveQueue.stayAwake()
    func exchange() {
      #expect(pair.send(testFrame(60)))
      guest.harness.receive(queue: 1)
      guest.harness.transmit([testFrame(61)], queue: 1)
    }
    // A split ring's first call comes in any case: what the driver wished before is not known.
    exchange()
    for queue in guest.driver.queues { queue.call.drain() }
    let before = Dictionary(uniqueKeysWithValues: guest.port.queueStatistics)
    for _ in 0..<5 { exchange() }
    let told = Dictionary(uniqueKeysWithValues: guest.port.queueStatistics)
    for direction in ["rx", "tx"] {
      #expect(told["\(direction)_q1_calls"] == before["\(direction)_q1_calls"])
      let suppressed = "\(direction)_q1_calls_suppressed"
      #expect(told[suppressed, default: 0] - before[suppressed, default: 0] == 5)
      #expect(told["\(direction)_q0_calls_suppressed"] == 0)
    }
    #expect(pair.transmitQueue.call.drain() == 0 && pair.receiveQueue.call.drain() == 0)
  }

  @Test func `What a disabled queue drops is told of that queue`() throws {
    let guest = try QueuePairTests.guest(2, .split)
    try guest.frontEnd.enable(pair: 1, false)
    try QueuePairTests.settle(guest)
    for _ in 0..<3 { #expect(guest.driver.pairs[1].send(testFrame(60))) }
    guest.harness.receive(queue: 1)
    let told = Dictionary(uniqueKeysWithValues: guest.port.queueStatistics)
    #expect(told["rx_q1_drop_ring_disabled"] == 3 && told["rx_q0_drop_ring_disabled"] == nil)
    #expect(guest.harness.counters[.ringDisabled] == 3)
    #expect(told["rx_q1_packets"] == 0)
  }
}
