import Glibc
import Linux
import Packet
import Ports
import Synchronization
import Testing
import Virtio
import VirtioTesting

@testable import Datapath

/// SECURITY: guests that ask for more attention than their frames deserve. Shares are measured in frames, by the order
/// in which they arrive at one receiver; never in time.
@Suite("Row 22: kick and interrupt storms") struct StormingGuestTests {
  /// Two guests that never pause, one that sends a little: all to one receiver, whose ring tells who was served when.
  @Test(arguments: [false, true], GuestQueue.Layout.allCases)
  func `Row 22: between two bursts of one guest, every other gets one burst`(
    interrupts: Bool, layout: GuestQueue.Layout
  ) throws {
    let lab = try GuestLab()
    var features = GuestLab.features.union(layout.features)
    if interrupts { features.insert(.eventIndex) }
    let greedy = try (0..<2).map { _ in try lab.addGuest(features: features, ringSize: 1024) }
    let modest = try lab.addGuest()
    let receiver = try lab.addGuest(ringSize: 8192, ram: GuestRAM(size: 64 << 20))
    receiver.driver.post(8192, sizes: [256])
    try lab.introduce(receiver)

    // Everything is offered before the first is published, so that nobody runs dry while the switch looks.
    func offer(_ guest: GuestLab.Guest, _ count: Int) {
      for _ in 0..<count { #expect(guest.driver.offer(frame(to: receiver.address, from: guest.address))) }
    }
    for guest in greedy { offer(guest, 1000) }
    offer(modest, 100)
    let before = lab.datapath.pollThreadStatistics()[0].busyTurns
    for guest in greedy + [modest] {
      guest.driver.transmitQueue.publish()
      guest.driver.transmitQueue.kick.signal()
    }
    var order: [UInt64] = []
    #expect(
      lab.wait {
        while let next = receiver.driver.receive(repost: false) { order.append(Self.source(next.bytes)) }
        return order.count == 2100
      })
    lab.settle()

    // While three bursts of the modest guest were taken, each greedy one got at most as many; one more at either end.
    let positions = order.indices.filter { order[$0] == modest.address }
    #expect(positions.count == 100)
    let others = positions[95] - positions[0] - 95
    #expect(others <= 2 * 5 * Batch.capacity, "\(others) frames of others among 96")
    // Interrupts, where asked for, are one per burst.
    let turns = lab.datapath.pollThreadStatistics()[0].busyTurns - before
    for guest in greedy {
      #expect(lab.statistics(guest)[.notificationsSent] <= turns)
      #expect(lab.statistics(guest)[.notificationsSent] >= 1)
    }
  }

  /// A guest that writes its kick descriptors as fast as it can, and offers nothing most of the time, while two others
  /// exchange frames: none is lost, none late by more than its turn, and the storm is not even counted as work.
  @Test(arguments: [1, 2], GuestQueue.Layout.allCases)
  func `Row 22: a kick storm costs the others no frame`(threads: Int, layout: GuestQueue.Layout) throws {
    let lab = try GuestLab(threads: threads)
    let storming = try lab.addGuest(features: GuestLab.features.union(layout.features))
    let sender = try lab.addGuest()
    let receiver = try lab.addGuest()
    receiver.driver.post(256, sizes: [2048])
    try lab.introduce(receiver)
    let storm = try KickStorm(storming)
    var flow = NumberedFrames(sender, receiver)
    flow.run(2000)
    #expect(flow.received == 2000)
    #expect(flow.faults == [])
    storm.end()
    lab.settle()
    #expect(storm.kicks > 0)
    #expect(lab.statistics(sender)[.receivedFrames] == 2000)
    #expect(lab.statistics(receiver).transmitDrops == 0)
    #expect(lab.statistics(storming)[.receivedFrames] == 0)
    #expect(lab.statistics(storming).receiveDrops == 0)

    // Its own frames are taken all the same.
    #expect(storming.driver.send(frame(to: receiver.address, from: storming.address)))
    #expect(lab.wait { storming.driver.reclaim() == 1 })
  }

  /// A guest asking for an interrupt for each of its frames, and each frame it receives, gets one per burst.
  @Test(arguments: GuestQueue.Layout.allCases)
  func `Row 22: an interrupt per frame is one per burst`(layout: GuestQueue.Layout) throws {
    let lab = try GuestLab()
    let features = GuestLab.features.union(layout.features)
    let sender = try lab.addGuest(features: features, ringSize: 1024)
    let receiver = try lab.addGuest(features: features, ringSize: 1024)
    receiver.driver.post(1024, sizes: [256])
    try lab.introduce(receiver)
    for _ in 0..<640 { #expect(sender.driver.offer(frame(to: receiver.address, from: sender.address))) }
    let introductory = lab.statistics(receiver)[.notificationsSent]
    sender.driver.transmitQueue.publish()
    sender.driver.transmitQueue.kick.signal()
    var received = 0
    #expect(
      lab.wait {
        while receiver.driver.receive(repost: false) != nil { received += 1 }
        return received == 640
      })
    lab.settle()
    let bursts = UInt64(640 / Batch.capacity)
    for (guest, sentBefore) in [(sender, 0), (receiver, introductory)] {
      let sent = lab.statistics(guest)[.notificationsSent] - sentBefore
      #expect(sent >= 1 && sent <= bursts + 2, "\(sent) for \(bursts) bursts")
    }
  }

  private static func source(_ bytes: [UInt8]) -> UInt64 { bytes[6..<12].reduce(0) { $0 << 8 | UInt64($1) } }
}

/// A thread that kicks both queues of a guest without end.
private final class KickStorm: @unchecked Sendable {
  private let ended = Atomic<Bool>(false)
  private let count = Atomic<Int>(0)
  private var join: () -> Void = {}

  init(_ guest: GuestLab.Guest) throws {
    let queues = [guest.driver.transmitQueue, guest.driver.receiveQueue]
    let descriptors = queues.map { $0.kick.raw }
    var thread: Thread? = try Thread(name: "kicks") { [self] in
      while !ended.load(ordering: .acquiring) {
        for descriptor in descriptors { EventFD.signal(descriptor) }
        count.add(1, ordering: .relaxed)
      }
    }
    join = { thread.take()?.join() }
  }

  var kicks: Int { count.load(ordering: .relaxed) }

  func end() {
    ended.store(true, ordering: .releasing)
    join()
  }
}
