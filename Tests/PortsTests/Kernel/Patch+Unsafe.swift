import CLinux
import Glibc
import Linux
import Packet

@testable import Ports

/// The least of a switch: frames between ports, on the calling thread.
final class Patch {
  private var batch = Batch()
  private var headers = HeaderArena()
  private let outgoing = UnsafeMutablePointer<Outgoing>.allocate(capacity: 2048)
  private let indices = UnsafeMutablePointer<UInt16>.allocate(capacity: 2048)
  let counters = PortCounters()
  /// How many of the frames moved were to be segmented.
  private(set) var largeFrames = 0

  deinit {
    outgoing.deallocate()
    indices.deallocate()
    counters.deallocate()
  }

  /// One burst from `source` to `target`, finished for it as needed; says how many frames came.
  // SAFETY: a burst is 32 frames, each of them at most `maximumSegments` segments, sent at once.
  func move(from source: PortIO, to target: PortIO, toward accepts: OffloadCapabilities? = nil) -> Int {
    batch.clear()
    let count = source.receive(queue: 0, into: &batch, counters)
    for index in 0..<count {
      let frame = batch.frames[index]
      if frame.offload.isGSO { largeFrames += 1 }
      guard SoftwareOffload.isConsistent(frame) else {
        counters.drop(.badOffload)
        continue
      }
      let whole = Outgoing(
        header: UnsafeRawPointer(frame.header), headerLength: frame.headerLength, frame: UInt32(index),
        sourceOffset: frame.headerLength, sourceLength: frame.length - frame.headerLength,
        offload: frame.offload)
      var made = 0
      headers.reset()
      _ = SoftwareOffload.resolve(
        whole, in: batch, toward: accepts ?? target.accepts, headers: &headers
      ) {
        outgoing[made] = $0
        indices[made] = UInt16(made)
        made += 1
      }
      target.transmit(queue: 0, outgoing, indices, count: made, from: batch, counters)
    }
    target.flush(queue: 0, counters)
    source.release(queue: 0, batch, counters)
    return count
  }

  /// What `source` received by now: frames as bytes, with their offloads.
  // SAFETY: segments cover the frame; the array has its length.
  func take(from source: PortIO, queue: Int = 0) -> [(bytes: [UInt8], offload: Offload)] {
    batch.clear()
    let count = source.receive(queue: queue, into: &batch, counters)
    let frames = (0..<count).map { index in
      let frame = batch.frames[index]
      let copy = UnsafeMutableRawPointer.allocate(byteCount: Int(frame.length), alignment: 1)
      defer { copy.deallocate() }
      batch.copy(frame, from: 0, count: Int(frame.length), to: copy)
      let bytes = [UInt8](UnsafeRawBufferPointer(start: copy, count: Int(frame.length)))
      precondition(memcmp(copy, frame.header, Int(frame.headerLength)) == 0, "a snapshot unlike its frame")
      return (bytes: bytes, offload: frame.offload)
    }
    source.release(queue: queue, batch, counters)
    return frames
  }

  /// Transmits `frames`, their bytes cut into pieces of `piece`, as one burst per 32.
  // SAFETY: every piece lives until the burst has been sent.
  func send(
    _ frames: [(bytes: [UInt8], offload: Offload)], to target: PortIO, queue: Int = 0, piece: Int = 1000
  ) {
    for start in stride(from: 0, to: frames.count, by: Batch.capacity) {
      batch.clear()
      var memory: [UnsafeMutableRawPointer] = []
      defer { for block in memory { block.deallocate() } }
      for (index, frame) in frames[start..<min(start + Batch.capacity, frames.count)].enumerated() {
        let block = UnsafeMutableRawPointer.allocate(byteCount: max(1, frame.bytes.count), alignment: 1)
        memory.append(block)
        block.copyMemory(from: frame.bytes, byteCount: frame.bytes.count)
        let first = batch.segmentCount
        var offset = 0
        while offset < frame.bytes.count {
          let length = min(piece, frame.bytes.count - offset)
          batch.segments[batch.segmentCount] = iovec(iov_base: block + offset, iov_len: length)
          batch.segmentCount += 1
          offset += length
        }
        let headerLength = min(Frame.snapshotLength, frame.bytes.count)
        batch.snapshot(index).copyMemory(from: frame.bytes, byteCount: headerLength)
        batch.frames[index] = Frame(
          header: batch.snapshot(index), headerLength: UInt32(headerLength),
          length: UInt32(frame.bytes.count),
          firstSegment: UInt32(first), segmentCount: UInt32(batch.segmentCount - first),
          offload: frame.offload)
        outgoing[index] = Outgoing(
          header: UnsafeRawPointer(batch.snapshot(index)), headerLength: UInt32(headerLength),
          frame: UInt32(index), sourceOffset: UInt32(headerLength),
          sourceLength: UInt32(frame.bytes.count - headerLength), offload: frame.offload)
        indices[index] = UInt16(index)
        batch.count += 1
      }
      target.transmit(queue: queue, outgoing, indices, count: batch.count, from: batch, counters)
      target.flush(queue: queue, counters)
    }
  }

  /// Frames taken from `source` until `count` that satisfy `wanted` came, or two seconds passed.
  func await(
    _ count: Int = 1, from source: PortIO, where wanted: ([UInt8]) -> Bool = { _ in true }
  ) -> [(bytes: [UInt8], offload: Offload)] {
    var found: [(bytes: [UInt8], offload: Offload)] = []
    let end = monotonicNanoseconds() + 2_000_000_000
    while found.count < count && monotonicNanoseconds() < end {
      let frames = take(from: source)
      if frames.isEmpty { usleep(500) }
      found += frames.filter { wanted($0.bytes) }
    }
    return found
  }

  /// Takes from all of `queues` until `count` frames that satisfy `wanted` came, or two seconds passed; and then what
  /// else is there. By queue.
  func await(
    _ count: Int, from source: PortIO, queues: Int, where wanted: ([UInt8]) -> Bool
  ) -> [[(bytes: [UInt8], offload: Offload)]] {
    var found = [[(bytes: [UInt8], offload: Offload)]](repeating: [], count: queues)
    let end = monotonicNanoseconds() + 2_000_000_000
    var rest = 3
    while rest > 0 && monotonicNanoseconds() < end {
      var taken = 0
      for queue in 0..<queues {
        let frames = take(from: source, queue: queue)
        taken += frames.count
        found[queue] += frames.filter { wanted($0.bytes) }
      }
      if taken > 0 { continue }
      if found.reduce(0, { $0 + $1.count }) >= count { rest -= 1 }
      usleep(500)
    }
    return found
  }

  /// Transmits a frame whose payload lies in a mapping of a file that was cut off.
  // SAFETY: the mapping is only handed to the kernel, which answers EFAULT.
  func sendFromTruncatedFile(to target: PortIO) {
    let file = cl_memfd_create("truncated", 0)
    defer { close(file) }
    guard ftruncate(file, 4096) == 0,
      let memory = mmap(nil, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0), memory != MAP_FAILED
    else { return }
    defer { munmap(memory, 4096) }
    guard ftruncate(file, 0) == 0 else { return }
    batch.clear()
    batch.segments[0] = iovec(iov_base: memory, iov_len: 500)
    batch.segmentCount = 1
    batch.snapshot(0).copyMemory(from: numberedFrame(0), byteCount: 64)
    batch.frames[0] = Frame(
      header: batch.snapshot(0), headerLength: 64, length: 500, firstSegment: 0, segmentCount: 1,
      offload: .none)
    batch.count = 1
    outgoing[0] = Outgoing(
      header: UnsafeRawPointer(batch.snapshot(0)), headerLength: 64, frame: 0, sourceOffset: 64,
      sourceLength: 436, offload: .none)
    indices[0] = 0
    target.transmit(queue: 0, outgoing, indices, count: 1, from: batch, counters)
  }
}
