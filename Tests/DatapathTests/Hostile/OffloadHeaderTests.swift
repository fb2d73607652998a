import Packet
import Ports
import Seeded
import Testing
import Virtio
import VirtioTesting

@testable import Datapath

/// SECURITY: offload requests that contradict their frames. The frame lies at the very end of the guest's memory, so
/// that looking beyond it is a fault and not a number.
@Suite("Row 19: hostile offload headers") struct OffloadHeaderTests {
  struct Request: CustomTestStringConvertible, Sendable {
    let testDescription: String
    let offload: Offload
    init(_ name: String, _ offload: Offload) {
      testDescription = name
      self.offload = offload
    }
  }

  /// For a TCP frame of 14 + 20 + 20 + 46 bytes.
  static let requests: [Request] = [
    Request("csum_start beyond the frame", Offload(flags: 1, checksumStart: 100, checksumOffset: 16)),
    Request("csum_start far beyond", Offload(flags: 1, checksumStart: .max, checksumOffset: 16)),
    Request("csum_start in the Ethernet header", Offload(flags: 1, checksumStart: 3, checksumOffset: 2)),
    Request("csum_offset beyond the frame", Offload(flags: 1, checksumStart: 34, checksumOffset: 66)),
    Request("csum_offset at the last byte", Offload(flags: 1, checksumStart: 34, checksumOffset: 65)),
    Request("start + offset overflow", Offload(flags: 1, checksumStart: .max, checksumOffset: .max)),
    Request("gso_size 0", gso(size: 0)),
    Request("hdr_len beyond the frame", gso(header: 101)),
    Request("hdr_len of 64 KiB", gso(header: .max)),
    Request("unknown gso_type", gso(type: 2)),
    Request("unknown gso_type with the ECN bit", gso(type: 0xFF)),
    Request("the ECN bit alone", gso(type: 0x80)),
    Request("IPv6 segmentation of IPv4", gso(type: 4)),
    Request("segmentation without a checksum", gso(flags: 0)),
  ]

  private static func gso(flags: UInt8 = 1, type: UInt8 = 1, header: UInt16 = 54, size: UInt16 = 20)
    -> Offload
  {
    Offload(
      flags: flags, gsoType: type, headerLength: header, gsoSize: size, checksumStart: 34, checksumOffset: 16)
  }

  /// Toward a port that would take the request as it is, and one for which the switch does the work.
  @Test(arguments: requests, [true, false])
  func `Row 19: a request that contradicts its frame is dropped by name`(request: Request, able: Bool) throws
  {
    for layout in GuestQueue.Layout.allCases { try send(request, able, layout) }
  }

  private func send(_ request: Request, _ able: Bool, _ layout: GuestQueue.Layout) throws {
    let lab = try GuestLab()
    let sender = try lab.addGuest(features: GuestLab.features.union(layout.features))
    let accepted = able ? GuestLab.features : [.version1, .mergeableReceiveBuffers]
    let receiver = try lab.addGuest(features: accepted.union(layout.features))
    receiver.driver.post(64, sizes: [2048])
    try lab.introduce(receiver)
    let bytes = Self.tcp(to: receiver.address, from: sender.address, payload: 46)
    #expect(sender.driver.send(bytes, offload: request.offload, at: Self.end(of: sender, bytes.count)))
    #expect(lab.wait { sender.driver.reclaim() == 1 })
    #expect(lab.statistics(sender)[.badOffload] == 1)
    #expect(receiver.driver.receive() == nil)

    // The same frame with an honest request is served.
    #expect(sender.driver.send(bytes, offload: Self.gso(), at: Self.end(of: sender, bytes.count)))
    var arrived: [GuestDriver.Received] = []
    #expect(
      lab.wait {
        while let next = receiver.driver.receive() { arrived.append(next) }
        return arrived.count == (able ? 1 : 3)
      })
    #expect(arrived.allSatisfy { able || $0.offload.isNone })
    #expect(lab.statistics(sender).receiveDrops == 1)
  }

  /// Any header at all on any frame: forwarded to both kinds of port or dropped by name, and nothing else happens.
  @Test(arguments: GuestQueue.Layout.allCases)
  func `Row 19: random offload headers are forwarded or dropped, and every one is counted`(
    layout: GuestQueue.Layout
  ) throws {
    let lab = try GuestLab()
    let sender = try lab.addGuest(features: GuestLab.features.union(layout.features))
    let able = try lab.addGuest(ringSize: 1024)
    let plain = try lab.addGuest(features: [.version1, .mergeableReceiveBuffers], ringSize: 1024)
    for guest in [able, plain] { guest.driver.post(512, sizes: [2048]) }
    var random = SeededRandom(seed: 19)
    var delivered = 0
    for round in 1...2000 {
      let bytes = Self.randomFrame(from: sender.address, &random)
      let request = Self.randomRequest(bytes.count, &random)
      #expect(sender.driver.send(bytes, offload: request, at: Self.end(of: sender, bytes.count)))
      #expect(lab.wait { sender.driver.reclaim() == 1 }, "round \(round): \(request)")
      while let next = able.driver.receive() {
        delivered += 1
        #expect(next.bytes.count <= bytes.count)
        #expect(next.offload.isNone || Int(next.offload.checksumStart) < next.bytes.count)
      }
      while let next = plain.driver.receive() { #expect(next.offload.isNone) }
    }
    lab.settle()
    let counters = lab.statistics(sender)
    let dropped = counters[.badOffload]
    #expect(counters.receiveDrops == dropped)
    #expect(dropped > 200 && delivered > 200, "\(dropped) dropped, \(delivered) delivered")
    // What went out as it came was counted once by the sender's port, and is counted once here.
    #expect(UInt64(delivered) == lab.statistics(able)[.transmittedFrames])
    #expect(lab.statistics(able).transmitDrops == 0)
    #expect(lab.statistics(plain).transmitDrops == 0)
    #expect(lab.guests.allSatisfy { $0.port.status.linkUp })
  }

  /// Where a frame and its 12-byte header end with the guest's memory.
  private static func end(of guest: GuestLab.Guest, _ length: Int) -> UInt64 {
    UInt64(guest.driver.ram.size - 12 - length)
  }

  private static func tcp(to destination: UInt64, from source: UInt64, payload: Int) -> [UInt8] {
    var ip: [UInt8] = [0x45, 0, 0, UInt8(40 + payload), 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]
    ip += [0x12, 0x34, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x18, 0xFF, 0xFF, 0, 0, 0, 0]
    ip += [UInt8](repeating: 0x5A, count: payload)
    return frame(to: destination, from: source, type: 0x0800, payload: ip)
  }

  /// To everybody; IP or not, whole or cut short.
  private static func randomFrame(from source: UInt64, _ random: inout SeededRandom) -> [UInt8] {
    var bytes = tcp(to: .max >> 16, from: source, payload: Int.random(in: 0..<200, using: &random))
    if Int.random(in: 0..<3, using: &random) == 0 {
      for _ in 0..<4 {
        bytes[Int.random(in: 12..<54, using: &random)] = UInt8.random(in: .min ... .max, using: &random)
      }
    }
    // A tag would be a VLAN's; this is about offloads.
    if bytes[12] == 0x81 || bytes[12] == 0x88 { bytes[12] = 8 }
    if Int.random(in: 0..<4, using: &random) == 0 {
      bytes = Array(bytes.prefix(Int.random(in: 14...60, using: &random)))
    }
    return bytes
  }

  private static func randomRequest(_ length: Int, _ random: inout SeededRandom) -> Offload {
    func number(_ usual: Int) -> UInt16 {
      let choices = [usual, usual, usual, 0, 1, length - 2, length - 1, length, length + 1, 65_535]
      return UInt16(clamping: choices.randomElement(using: &random)!)
    }
    return Offload(
      flags: [0, 1, 1, 1, 2, 3, 0xFF].randomElement(using: &random)!,
      gsoType: [0, 0, 0, 1, 1, 1, 3, 4, 5, 0x81, 0x7F].randomElement(using: &random)!,
      headerLength: number(54), gsoSize: number(40), checksumStart: number(34), checksumOffset: number(16))
  }
}
