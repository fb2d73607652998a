// Fuzzes what a guest says about its frames, from its ring to another guest's: the input is a net header and a frame, in
// descriptors of any lengths. What one guest sends is received by the switch, resolved toward two others, of which one
// takes offloads and one does not, and read from their rings.
//
// Whatever is asked, the frame is dropped or arrives; the bytes nobody asked to change are the same, a checksum is what
// plain arithmetic says, and segments put together are the payload.

import Glibc
import Linux
import Packet
import Ports
import VhostUser
import Virtio
import VirtioTesting

private final class World {
  let sender: FuzzGuest
  /// Take offloads, and do not.
  let receivers: [FuzzGuest]
  private var batch = Batch()
  private var headers = HeaderArena()

  private static let able: VirtioFeatures = [
    .version1, .mergeableReceiveBuffers, .indirectDescriptors, .checksum, .guestChecksum, .hostTSO4,
    .guestTSO4, .hostTSO6, .guestTSO6, .hostECN, .guestECN, .hostUSO, .guestUSO4, .guestUSO6,
  ]

  init() throws {
    sender = try FuzzGuest("sender", features: Self.able, ringSize: 256, memory: 4 << 20)
    receivers = try [
      FuzzGuest("able", features: Self.able.union(.packedRing), ringSize: 1024, memory: 8 << 20),
      FuzzGuest("plain", features: [.version1, .mergeableReceiveBuffers], ringSize: 1024, memory: 8 << 20),
    ]
    for receiver in receivers { receiver.driver.post(512, sizes: [2048]) }
  }

  /// Sends one frame. Nothing is left in any ring afterwards.
  func send(_ frame: [UInt8], _ offload: Offload, cuts: [Int], indirect: Bool) {
    guard sender.driver.send(frame, offload: offload, cuts: cuts, indirect: indirect) else { return }
    batch.clear()
    var received = 0
    for _ in 0..<2000 where received == 0 {
      received = sender.port.io.receive(queue: 0, into: &batch, sender.counters)
      if sender.driver.reclaim() > 0 { break }
    }
    if received == 1 {
      let accepted = batch.frames[0].offload
      require(batch.frames[0].length == frame.count, "a frame keeps its length")
      if accepted.isNone || SoftwareOffload.isConsistent(batch.frames[0]) {
        for receiver in receivers { forward(frame, accepted, to: receiver) }
      }
      sender.port.io.release(queue: 0, batch, sender.counters)
    }
    sender.driver.reclaim()
    require(sender.driver.transmitQueue.freeCount == 256, "every buffer goes back")
  }

  private func forward(_ frame: [UInt8], _ offload: Offload, to receiver: FuzzGuest) {
    let source = batch.frames[0]
    let whole = Outgoing(
      header: source.header, headerLength: source.headerLength, frame: 0, sourceOffset: source.headerLength,
      sourceLength: source.length - source.headerLength, offload: offload)
    var outgoing: [Outgoing] = []
    headers.reset()
    let outcome = SoftwareOffload.resolve(
      whole, in: batch, toward: receiver.port.io.accepts, headers: &headers
    ) { outgoing.append($0) }
    require(outcome != .arenaFull, "an empty arena holds the segments of one frame")
    var arrived: [GuestDriver.Received] = []
    // No more at once than the receiver has buffers for.
    let step = max(1, 500 / (outgoing.first.map { $0.length / 2048 + 1 } ?? 1))
    for start in stride(from: 0, to: outgoing.count, by: step) {
      let indices = (start..<min(outgoing.count, start + step)).map { UInt16($0) }
      receiver.port.io.transmit(
        queue: 0, outgoing, indices, count: indices.count, from: batch, receiver.counters)
      receiver.port.io.flush(queue: 0, receiver.counters)
      while let next = receiver.driver.receive() { arrived.append(next) }
    }
    require(arrived.count == outgoing.count, "\(arrived.count) of \(outgoing.count) frames arrive")
    if !arrived.isEmpty { OffloadCheck(frame: frame, offload: offload).check(arrived) }
  }
}

/// What a frame may become, by arithmetic of its own.
private struct OffloadCheck {
  let frame: [UInt8]
  let offload: Offload

  func check(_ arrived: [GuestDriver.Received]) {
    if offload.isNone || !arrived[0].offload.isNone && arrived.count == 1 {
      require(arrived.count == 1, "nothing was asked for")
      return require(arrived[0].bytes == frame, "an untouched frame is the same")
    }
    if offload.isGSO { checkSegments(arrived) } else { checkChecksum(arrived) }
  }

  /// Only the two bytes of the checksum change: to what makes the ones' complement sum come out.
  private func checkChecksum(_ arrived: [GuestDriver.Received]) {
    require(arrived.count == 1, "a checksum makes one frame")
    let field = Int(offload.checksumStart) + Int(offload.checksumOffset)
    var expected = frame
    let value = ~Self.sum(frame[Int(offload.checksumStart)...])
    let written = value == 0 && offload.checksumOffset == 6 ? 0xFFFF : value
    expected[field] = UInt8(written >> 8)
    expected[field + 1] = UInt8(truncatingIfNeeded: written)
    require(arrived[0].bytes == expected, "the checksum, and nothing else, was completed")
  }

  /// All but the last segment are headers and `gso_size` bytes; together they have the payload.
  private func checkSegments(_ arrived: [GuestDriver.Received]) {
    let size = Int(offload.gsoSize)
    let length = arrived[0].bytes.count
    guard arrived.count > 1 else {
      return require(length == frame.count, "one segment is the whole frame")
    }
    let header = length - size
    require(header >= 14 && header <= frame.count, "headers end inside the frame")
    require(arrived.dropLast().allSatisfy { $0.bytes.count == length }, "segments are of one size")
    require(arrived.last!.bytes.count <= length, "the last is no longer")
    let payload = arrived.flatMap { $0.bytes.dropFirst(header) }
    require(payload == Array(frame.dropFirst(header)), "the payload is the same")
  }

  /// The ones' complement sum of big-endian words.
  private static func sum(_ bytes: ArraySlice<UInt8>) -> UInt16 {
    var total: UInt64 = 0
    for (index, byte) in bytes.enumerated() { total += UInt64(byte) << (index % 2 == 0 ? 8 : 0) }
    while total > 0xFFFF { total = total & 0xFFFF + total >> 16 }
    return UInt16(total)
  }
}

private nonisolated(unsafe) let world = try? World()

extension FuzzTarget {
  /// Net header (10 bytes), how it is cut and whether in a table (1 byte), frame.
  static let netHeader = FuzzTarget("net-header", seeds: netHeaderSeeds) { bytes in
    guard let world else { throw SystemError("make a guest", code: ENOMEM) }
    guard bytes.count > 11 else { return }
    let word = bytes[0..<8].reversed().reduce(0 as UInt64) { $0 << 8 | UInt64($1) }
    let offload = Offload(word: word, checksumOffset: UInt16(bytes[8]) | UInt16(bytes[9]) << 8)
    let cut = Int(bytes[10] & 0x7F)
    let cuts = [[], [12], [12, cut], [1, cut, cut, 100]][Int(bytes[10] & 3)]
    world.send(Array(bytes[11...]), offload, cuts: cuts, indirect: bytes[10] & 0x80 != 0)
  }

  /// The frames of `frame-headers`, longer, with a checksum to complete and to be cut in segments of 8 bytes and of 536.
  private static func netHeaderSeeds() -> [[UInt8]] {
    frameHeaders.seeds().flatMap { frame -> [[UInt8]] in
      let long = frame + [UInt8](repeating: 0x5A, count: 1200)
      return [
        [UInt8](repeating: 0, count: 10) + [1] + frame,
        [1, 0, 0, 0, 0, 0, 34, 0, 16, 0, 2] + frame,
        [1, 1, 54, 0, 8, 0, 34, 0, 16, 0, 0x83] + frame + [1, 2, 3, 4, 5, 6, 7, 8, 9],
        [1, 1, 54, 0, 24, 2, 34, 0, 16, 0, 0x83] + long, [1, 4, 74, 0, 24, 2, 54, 0, 16, 0, 0] + long,
        [1, 5, 62, 0, 24, 2, 34, 0, 6, 0, 3] + long,
      ]
    }
  }
}
