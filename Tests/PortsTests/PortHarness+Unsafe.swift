import Glibc
import Linux
import Packet
import VirtioTesting

@testable import Ports

/// A port, the environment a datapath would lend it, and a poll thread's batch: everything runs when the test says so.
final class PortHarness {
  let loop: EventLoop
  let port: any Port
  let counters = PortCounters()
  private let lent = Lent()
  var waitDescriptor: Int32? { lent.waitDescriptor }
  var synchronisations: Int { lent.synchronisations }
  var wakes: Int { lent.wakes }

  /// What the port did with what it was lent; it may still do so while the harness goes.
  private final class Lent {
    var waitDescriptor: Int32?
    var synchronisations = 0
    var wakes = 0
  }

  init(_ port: any Port, _ loop: EventLoop) throws {
    self.port = port
    self.loop = loop
    try port.start(
      PortEnvironment(
        synchronize: { [lent] in lent.synchronisations += 1 },
        setWaitDescriptor: { [lent] _, descriptor, _ in lent.waitDescriptor = descriptor },
        wake: { [lent] in lent.wakes += 1 }, statusChanged: {}))
  }

  deinit {
    port.close()
    counters.deallocate()
  }

  /// By poll threads and the control thread.
  private var statistics: PortStatistics {
    var sum = PortStatistics()
    sum.add(counters)
    if let counters = port.controlCounters { sum.add(counters) }
    return sum
  }

  /// Frames the port let go of, for whatever reason, on their way out.
  var drops: UInt64 { statistics.transmitDrops }
  var delivered: UInt64 { statistics[.transmittedFrames] }
  func drops(_ reason: DropReason) -> UInt64 { statistics[reason] }

  /// Turns the control thread once.
  func turn() { loop.turn(atMostMilliseconds: 2) }

  func wait(_ condition: () -> Bool) -> Bool { loop.run(atMost: 5000, until: condition) }

  /// Receives one burst and hands every frame, whole, to `body`; then releases it. Returns how many there were.
  @discardableResult
  func receive(queue: Int = 0, _ body: ([UInt8], Offload) -> Void = { _, _ in }) -> Int {
    var batch = Batch()
    // Bursts may be held back for microseconds while frames come densely.
    for _ in 0..<2000 {
      guard port.io.receive(queue: queue, into: &batch, counters) == 0 else { break }
    }
    for index in 0..<batch.count {
      let frame = batch.frames[index]
      body(Self.bytes(frame, batch), frame.offload)
    }
    if batch.count > 0 { port.io.release(queue: queue, batch, counters) }
    return batch.count
  }

  /// Receives a burst and transmits it, unmodified, to `other`. Returns how many frames there were.
  @discardableResult
  func forward(to other: PortHarness) -> Int {
    var batch = Batch()
    for _ in 0..<2000 {
      guard port.io.receive(queue: 0, into: &batch, counters) == 0 else { break }
    }
    other.transmit(batch)
    if batch.count > 0 { port.io.release(queue: 0, batch, counters) }
    return batch.count
  }

  /// Transmits all frames of `batch` as they are.
  func transmit(_ batch: borrowing Batch, queue: Int = 0) {
    var outgoing: [Outgoing] = []
    var indices: [UInt16] = []
    for index in 0..<batch.count {
      let frame = batch.frames[index]
      outgoing.append(
        Outgoing(
          header: frame.header, headerLength: frame.headerLength, frame: UInt32(index),
          sourceOffset: frame.headerLength, sourceLength: frame.length - frame.headerLength,
          offload: frame.offload))
      indices.append(UInt16(index))
    }
    port.io.transmit(queue: queue, outgoing, indices, count: outgoing.count, from: batch, counters)
    port.io.flush(queue: queue, counters)
  }

  /// Transmits frames out of the program's own memory, through a memory port.
  func transmit(_ frames: [[UInt8]], offload: Offload = .none, queue: Int = 0) {
    let source = MemoryPort(name: "source", capacity: frames.count)
    for frame in frames { _ = source.send(frame, offload: offload) }
    let counters = PortCounters()
    var batch = Batch()
    while source.io.receive(queue: 0, into: &batch, counters) > 0 {
      transmit(batch, queue: queue)
      source.io.release(queue: 0, batch, counters)
      batch.clear()
    }
    counters.deallocate()
    source.close()
  }

  // SAFETY: the frame's header and segments are valid until the burst is released.
  static func bytes(_ frame: Frame, _ batch: borrowing Batch) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: Int(frame.length)) { buffer, count in
      batch.copy(frame, from: 0, count: Int(frame.length), to: buffer.baseAddress!)
      buffer.baseAddress!.update(
        from: frame.header.assumingMemoryBound(to: UInt8.self), count: Int(frame.headerLength))
      count = Int(frame.length)
    }
  }
}

/// A frame of `length` bytes whose every byte depends on `seed`.
func testFrame(_ length: Int, seed: Int = 1) -> [UInt8] {
  var state = UInt64(truncatingIfNeeded: seed) &* 0x9E37_79B9_7F4A_7C15 | 1
  var bytes = (0..<length).map { _ in
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return UInt8(truncatingIfNeeded: state >> 56)
  }
  if length >= 12 {
    bytes[0] &= 0xFE
    bytes[6] &= 0xFE
  }
  return bytes
}

extension ScratchDirectory {
  // SAFETY: the C library's entry is valid until the next readdir.
  static func name(_ entry: UnsafeMutablePointer<dirent>) -> String {
    withUnsafePointer(to: &entry.pointee.d_name) { name in
      name.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
    }
  }
}

extension PortHarness {
  /// Transmits `frame` with `tag` inserted behind its addresses, as the pipeline does: in the snapshot's headroom.
  func transmitTagged(_ frame: [UInt8], tag: [UInt8]) {
    transmit(frame) { header in
      let moved = header - 4
      moved.copyMemory(from: header, byteCount: 12)
      (moved + 12).copyMemory(from: tag, byteCount: 4)
      return (moved, 4)
    }
  }

  /// Transmits `frame` without the four bytes behind its addresses.
  func transmitUntagged(_ frame: [UInt8]) {
    transmit(frame) { header in
      let moved = header + 4
      moved.copyMemory(from: header, byteCount: 12)
      return (moved, -4)
    }
  }

  /// `edit` may move the private header's start; it returns that, and by how much the header has grown.
  // SAFETY: the snapshot has headroom before it, and the source lives until the port is closed.
  private func transmit(_ frame: [UInt8], _ edit: (UnsafeMutableRawPointer) -> (UnsafeMutableRawPointer, Int))
  {
    let source = MemoryPort(name: "source")
    _ = source.send(frame)
    let counters = PortCounters()
    var batch = Batch()
    _ = source.io.receive(queue: 0, into: &batch, counters)
    let received = batch.frames[0]
    let (header, growth) = edit(received.header)
    let outgoing = Outgoing(
      header: header, headerLength: UInt32(Int(received.headerLength) + growth), frame: 0,
      sourceOffset: received.headerLength, sourceLength: received.length - received.headerLength,
      offload: .none)
    port.io.transmit(queue: 0, [outgoing], [0], count: 1, from: batch, self.counters)
    port.io.flush(queue: 0, self.counters)
    counters.deallocate()
    source.close()
  }
}
