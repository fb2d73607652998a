import Packet
import Ports
import Testing
import VirtioTesting

@testable import Datapath

/// SECURITY: a receiver whose mergeable buffers do not suffice, however many it offers.
@Suite("Row 20: receive buffers that never suffice") struct StarvingReceiverTests {
  struct Offer: CustomTestStringConvertible, Sendable {
    let testDescription: String
    let count: Int
    let size: Int
    let reason: DropReason
  }

  @Test(
    arguments: [
      Offer(
        testDescription: "many too small for a frame of so many parts", count: 1024, size: 13,
        reason: .bufferTooSmall),
      Offer(testDescription: "never enough", count: 20, size: 64, reason: .receiverFull),
      Offer(testDescription: "none", count: 0, size: 64, reason: .receiverFull),
      Offer(testDescription: "smaller than the header", count: 1024, size: 11, reason: .bufferTooSmall),
    ], GuestQueue.Layout.allCases)
  func `Row 20: the frames are dropped by name, with bounded work, and other ports go on`(
    offer: Offer, layout: GuestQueue.Layout
  ) throws {
    let count = 400
    let lab = try GuestLab()
    let features = GuestLab.features.union(layout.features)
    let sender = try lab.addGuest(features: features)
    let starving = try lab.addGuest(features: features, ringSize: 1024)
    let other = try lab.addGuest()
    let receiver = try lab.addGuest()
    try lab.introduce(starving)
    try lab.introduce(receiver)
    // The introduction found no buffers.
    let introduced = lab.statistics(starving).transmitDrops
    let introducedReceiver = lab.statistics(receiver).transmitDrops
    starving.driver.post(offer.count, sizes: [offer.size])
    receiver.driver.post(256, sizes: [2048])

    // The starving guest's flow and another's, side by side: both are taken to the end.
    let (large, offload) = Self.largeFrame(to: starving.address, from: sender.address)
    var flow = NumberedFrames(other, receiver)
    var sent = 0
    flow.run(count) { if sent < count && sender.driver.send(large, offload: offload) { sent += 1 } }
    #expect(
      lab.wait {
        if sent < count && sender.driver.send(large, offload: offload) { sent += 1 }
        sender.driver.reclaim()
        return sent == count && sender.driver.transmitQueue.freeCount == 256
      })
    lab.settle()

    #expect(flow.received == count)
    #expect(flow.faults == [])
    #expect(lab.statistics(receiver).transmitDrops == introducedReceiver)
    #expect(lab.statistics(starving)[.transmittedFrames] == 0)
    #expect(lab.statistics(starving).transmitDrops - introduced == UInt64(count))
    #expect(lab.statistics(starving)[offer.reason] >= UInt64(count))
    // No frame costs more than one buffer that goes back empty, and a frame that finds no room costs none.
    var used = 0
    while starving.driver.receiveQueue.complete() != nil { used += 1 }
    #expect(used <= (offer.size < 12 ? count : 0), "\(used) buffers")
    #expect(starving.port.status.linkUp)

    // The ring is in order: once it has room, it receives.
    if offer.size >= 12 {
      starving.driver.post(256, sizes: [2048])
      let small = frame(to: starving.address, from: sender.address)
      #expect(sender.driver.send(small))
      var arrived: GuestDriver.Received?
      #expect(
        lab.wait {
          arrived = arrived ?? starving.driver.receive()
          return arrived != nil
        })
      #expect(arrived?.bytes == small)
    }
  }

  /// 8 KB of TCP that the receiver would take unsegmented.
  private static func largeFrame(to destination: UInt64, from source: UInt64) -> ([UInt8], Offload) {
    var ip: [UInt8] = [0x45, 0, 0x1F, 0x40, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]
    ip += [0x12, 0x34, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x18, 0xFF, 0xFF, 0, 0, 0, 0]
    ip += [UInt8](repeating: 1, count: 8000 - 40)
    let offload = Offload(
      flags: 1, gsoType: Offload.GSO.tcp4, headerLength: 54, gsoSize: 1448, checksumStart: 34,
      checksumOffset: 16)
    return (frame(to: destination, from: source, type: 0x0800, payload: ip), offload)
  }
}
