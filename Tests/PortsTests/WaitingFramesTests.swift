import Glibc
import Linux
import Packet
import Seeded
import Synchronization
import Testing

@testable import Ports

/// The store of frames that wait, compared with a list.
@Suite struct WaitingFramesTests {
  /// A store, and what keeps frames in it.
  private final class Store: Sendable {
    // SAFETY: the test's threads use either side of it each, as poll threads and the control thread do.
    nonisolated(unsafe) let frames = WaitingFrames.make()
    nonisolated(unsafe) let gate = UnsafeMutablePointer<VhostUserGate>.allocate(capacity: 1)

    init() throws {
      gate.initialize(to: try VhostUserGate())
      frames.pointee.prepare()
    }

    deinit {
      WaitingFrames.free(frames)
      gate.deinitialize(count: 1)
      gate.deallocate()
    }

    /// Half of it as header, half as the rest of a received frame.
    func keep(_ frame: [UInt8], _ batch: inout Batch) -> Bool {
      var frame = frame
      let (offload, head) = (Offload(word: UInt64(frame.count) << 8, checksumOffset: 7), min(60, frame.count))
      return frame.withUnsafeMutableBytes { bytes in
        let start = bytes.baseAddress!
        batch.frames[0] = Frame(
          header: start, headerLength: UInt32(head), length: UInt32(bytes.count), firstSegment: 0,
          segmentCount: 1, offload: offload)
        batch.segments[0] = iovec(iov_base: start, iov_len: bytes.count)
        var outgoing = Outgoing(
          header: start, headerLength: UInt32(head), frame: 0, sourceOffset: UInt32(head),
          sourceLength: UInt32(bytes.count - head), offload: offload)
        var index: UInt16 = 0
        return frames.pointee.keep(&outgoing, &index, 1, from: batch, gate) == 1
      }
    }

    func take() -> [UInt8]? {
      guard let frame = frames.pointee.first(before: frames.pointee.end) else { return nil }
      defer { frames.pointee.remove(frame) }
      guard frame.offload == Offload(word: UInt64(frame.length) << 8, checksumOffset: 7) else { return [] }
      return Array(UnsafeRawBufferPointer(start: frame.header, count: frame.length))
    }
  }

  @Test(arguments: 1...3)
  func `Frames come out whole and in order, and only what finds no room is refused`(seed: Int) throws {
    var random = SeededRandom(seed: UInt64(seed))
    let store = try Store()
    var batch = Batch()
    var model: [[UInt8]] = []
    var refused = 0
    for round in 0..<4000 {
      if Int.random(in: 0..<10, using: &random) < (round / 500 % 2 == 0 ? 7 : 3) {
        let frame = testFrame(Int.random(in: 14...6000, using: &random), seed: round)
        if store.keep(frame, &batch) {
          model.append(frame)
        } else {
          refused += 1
          #expect(model.reduce(0) { $0 + $1.count } > 400_000)
        }
      } else {
        #expect(store.take() == (model.isEmpty ? nil : model.removeFirst()))
      }
      #expect(store.frames.pointee.isEmpty == model.isEmpty)
    }
    #expect(refused > 0)
    #expect(store.frames.pointee.removeAll() == model.count)
    #expect(store.keep(testFrame(65_000), &batch) && store.take() == testFrame(65_000))
  }

  @Test func `One thread keeps frames while another takes them`() throws {
    let store = try Store()
    let count = 3000
    let producer = try Thread(name: "keeps") {
      var batch = Batch()
      for seed in 0..<count {
        while !store.keep(testFrame(60 + seed % 1500, seed: seed), &batch) { sched_yield() }
      }
    }
    for seed in 0..<count {
      var frame = store.take()
      while frame == nil {
        sched_yield()
        frame = store.take()
      }
      #expect(frame == testFrame(60 + seed % 1500, seed: seed))
    }
    producer.join()
  }
}
