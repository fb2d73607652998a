import Linux
import Packet
import Ports
import Testing
import Virtio
import VirtioTesting

/// Random frames in random layouts through two ports: what one guest sent is, byte for byte and in order, what the
/// other receives. The plain model is the list of frames.
@Suite struct VhostUserPropertyTests {
  /// Repeatable chance.
  struct Chance: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return state ^ state >> 29
    }
  }

  private static let optional: [VirtioFeatures] = [
    .version1, .mergeableReceiveBuffers, .indirectDescriptors, .eventIndex, .packedRing, .inOrder,
  ]

  private func features(_ chance: inout Chance) -> VirtioFeatures {
    Self.optional.reduce(into: [.checksum, .guestChecksum]) { features, feature in
      if Bool.random(using: &chance) { features.insert(feature) }
    }
  }

  /// Sizes of a receive chain that can take any frame sent here.
  private func receiveSizes(_ features: VirtioFeatures, _ chance: inout Chance) -> [Int] {
    if features.contains(.mergeableReceiveBuffers) { return [Int.random(in: 64...3000, using: &chance)] }
    var sizes = (0..<Int.random(in: 0...3, using: &chance)).map { _ in Int.random(in: 1...100, using: &chance)
    }
    sizes.append(3100)
    return sizes
  }

  @Test(arguments: 0..<24 as Range<UInt64>)
  func everyFrameArrivesOnceAndWhole(_ seed: UInt64) throws {
    var chance = Chance(state: seed &* 0x9E37_79B9_7F4A_7C15 &+ 1)
    let loop = try EventLoop()
    let (sending, receiving) = (features(&chance), features(&chance))
    let sender = try VhostUserGuest(
      sending, ram: try GuestRAM(size: 16 << 20, shape: .swappedHalves), loop: loop, ringSize: 128)
    let receiver = try VhostUserGuest(receiving, ram: try GuestRAM(size: 32 << 20), loop: loop, ringSize: 512)
    let sizes = receiveSizes(receiving, &chance)
    let isIndirect = receiving.contains(.indirectDescriptors) && Bool.random(using: &chance)
    receiver.driver.post(512 / (isIndirect ? 1 : sizes.count), sizes: sizes, indirect: isIndirect)

    var expected: [([UInt8], Offload)] = []
    var received = 0
    for round in 0..<12 {
      for index in 0..<Int.random(in: 1...40, using: &chance) {
        let frame = testFrame(Int.random(in: 60...3000, using: &chance), seed: round * 100 + index)
        let offload: Offload =
          Bool.random(using: &chance) ? .none : Offload(flags: 1, checksumStart: 34, checksumOffset: 6)
        let cuts = (0..<Int.random(in: 0...5, using: &chance)).map { _ in
          Int.random(in: 1...500, using: &chance)
        }
        let indirect = sending.contains(.indirectDescriptors) && Bool.random(using: &chance)
        if sender.driver.offer(frame, offload: offload, cuts: cuts, indirect: indirect) {
          expected.append((frame, offload))
        }
      }
      sender.driver.transmitQueue.publish()
      while sender.harness.forward(to: receiver.harness) > 0 {
        while let frame = receiver.driver.receive() {
          try #require(received < expected.count)
          #expect(frame.bytes == expected[received].0)
          #expect(frame.offload == expected[received].1)
          received += 1
        }
      }
    }
    #expect(received == expected.count)
    #expect(received > 100)
    #expect(receiver.harness.counters[.transmittedFrames] == UInt64(received))
  }
}
