import Linux
import Ports
import Testing
import VirtioTesting

@testable import Datapath

/// What must not let a poll thread sleep over a frame.
@Suite struct SleepTests {
  /// Kicks are counted by emptying the eventfd a sleeping poll thread waits for: right behind the kick, so that most
  /// often that is before the thread got to look why it was woken.
  @Test(arguments: GuestQueue.Layout.allCases)
  func `A kick that is counted still wakes`(layout: GuestQueue.Layout) throws {
    let lab = try GuestLab()
    let features = GuestLab.features.union(layout.features)
    let sender = try lab.addGuest(features: features)
    let receiver = try lab.addGuest(features: features)
    receiver.driver.post(200, sizes: [2048])
    try lab.introduce(receiver)
    let kicked = kicks(of: sender)
    let bytes = frame(to: receiver.address, from: sender.address)
    var wakes = 0
    for round in 0..<200 {
      let sleeps = lab.datapath.pollThreadStatistics()[0].sleeps
      #expect(sender.driver.offer(bytes))
      if sender.driver.transmitQueue.publish() {
        wakes += 1
        sender.driver.transmitQueue.kick.signal()
      }
      var arrived: GuestDriver.Received?
      try #require(
        lab.wait {
          _ = sender.port.queueStatistics
          arrived = receiver.driver.receive()
          return arrived != nil
        }, "frame \(round) is slept over")
      #expect(arrived?.bytes == bytes)
      try #require(lab.wait { lab.datapath.pollThreadStatistics()[0].sleeps > sleeps })
    }
    #expect(wakes > 0, "the switch was never asleep")
    #expect(kicks(of: sender) == kicked + UInt64(wakes), "each kick is counted once")
  }

  private func kicks(of guest: GuestLab.Guest) -> UInt64 {
    guest.port.queueStatistics.first { $0.name == "rx_q0_kicks" }?.value ?? 0
  }
}
