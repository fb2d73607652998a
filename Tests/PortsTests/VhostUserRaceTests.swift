import Seeded
import CLinux
import Glibc
import Linux
import Packet
import Synchronization
import Testing
import VhostUser
import Virtio
import VirtioTesting

@testable import Ports

/// A poll thread that forwards what one port receives to another, with the quiescence a datapath gives: front-ends can
/// come and go while frames move.
final class PollThread: @unchecked Sendable {
  private let stopped = Atomic<Bool>(false)
  private let running = Atomic<Bool>(false)
  private let turns = Atomic<Int>(0)
  private let forwarded = Atomic<Int>(0)
  private var thread: Thread?

  var forwardedFrames: Int { forwarded.load(ordering: .relaxed) }

  /// What the ports lend from.
  var environment: PortEnvironment {
    PortEnvironment(
      synchronize: { [self] in synchronize() }, setWaitDescriptor: { _, _, _ in }, wake: {},
      statusChanged: {})
  }

  /// Returns once the thread has begun and finished a turn since.
  private func synchronize() {
    let turn = turns.load(ordering: .sequentiallyConsistent)
    while running.load(ordering: .acquiring) && turns.load(ordering: .acquiring) < turn + 2 { sched_yield() }
  }

  func start(from source: PortIO, to sink: PortIO) throws {
    running.store(true, ordering: .releasing)
    nonisolated(unsafe) let (source, sink) = (source, sink)
    thread = try Thread(name: "poll") { [self] in run(source, sink) }
  }

  func end() {
    stopped.store(true, ordering: .releasing)
    thread.take()?.join()
  }

  private func run(_ source: PortIO, _ sink: PortIO) {
    let counters = PortCounters()
    var batch = Batch()
    while !stopped.load(ordering: .acquiring) {
      batch.clear()
      if source.receive(queue: 0, into: &batch, counters) > 0 {
        forwarded.add(batch.count, ordering: .relaxed)
        sendWhole(batch, to: sink, counters)
        source.release(queue: 0, batch, counters)
      } else if source.sleep(queue: 0) {
        source.wake(queue: 0)
        sched_yield()
      }
      turns.add(1, ordering: .sequentiallyConsistent)
    }
    counters.deallocate()
    running.store(false, ordering: .releasing)
  }
}

/// Transmits all frames of `batch` as they are.
func sendWhole(_ batch: borrowing Batch, to sink: PortIO, _ counters: PortCounters) {
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
  sink.transmit(queue: 0, outgoing, indices, count: outgoing.count, from: batch, counters)
  sink.flush(queue: 0, counters)
}

/// Everything at once: guests, front-ends and poll threads that do not wait for each other.
@Suite struct VhostUserRaceTests {
  private struct Pair {
    let loop: EventLoop
    let poll = PollThread()
    let directory = ScratchDirectory()
    let ports: [VhostUserPort]

    init() throws {
      let loop = try EventLoop()
      self.loop = loop
      let path = directory.path
      ports = try ["a", "b"].map { name in
        try VhostUserPort(PortConfiguration(name: name, kind: .vhostUser, runDirectory: path), loop: loop)
      }
      for port in ports { try port.start(poll.environment) }
      try poll.start(from: ports[0].io, to: ports[1].io)
    }

    func connect(_ index: Int, _ driver: GuestDriver) throws -> ScriptedFrontEnd {
      let frontEnd = try ScriptedFrontEnd(connecting: "\(directory.path)/\(ports[index].name)") { [loop] in
        loop.turn(atMostMilliseconds: 1)
      }
      try frontEnd.negotiate(driver.features)
      try frontEnd.start(driver)
      return frontEnd
    }

    func close() {
      poll.end()
      for port in ports { port.close() }
    }
  }

  /// SECURITY: front-ends connect, start, stop, hang up and send half messages, while frames are forwarded.
  @Test func `Row 11: front-ends come, go and send half messages while frames are forwarded`() throws {
    let pair = try Pair()
    defer { pair.close() }
    let features = VhostUserGuest.modern.union(.eventIndex)
    var kept: [GuestDriver] = []
    for round in 0..<60 {
      let drivers = try (0..<2).map { _ in try GuestDriver(features: features) }
      kept = drivers
      drivers[1].post(128, sizes: [2048])
      let frontEnds = try (0..<2).map { try pair.connect($0, drivers[$0]) }
      let before = pair.poll.forwardedFrames
      for seed in 0..<40 { _ = drivers[0].send(testFrame(60 + seed * 7, seed: seed)) }
      if round % 3 != 0 {
        #expect(pair.loop.run(atMost: 10_000) { pair.poll.forwardedFrames > before })
      }
      if round % 4 == 1 { _ = try frontEnds[round % 2].stop() }
      if round % 4 == 2 { try frontEnds[round % 2].sendRaw([1, 0, 0]) }
      if round % 4 == 3 { try frontEnds[round % 2].sendRaw([9, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 1, 2, 3]) }
      if round % 5 == 4 { try frontEnds[1].setMemory(drivers[1].ram) }
    }
    // After all that, a frame still crosses.
    let drivers = try (0..<2).map { _ in try GuestDriver(features: features) }
    drivers[1].post(128, sizes: [2048])
    let frontEnds = try (0..<2).map { try pair.connect($0, drivers[$0]) }
    #expect(pair.loop.run(atMost: 10_000) { pair.ports.allSatisfy { $0.status.linkUp } })
    #expect(drivers[0].send(testFrame(777)))
    var received: GuestDriver.Received?
    #expect(
      pair.loop.run(atMost: 10_000) {
        received = received ?? drivers[1].receive()
        return received != nil
      })
    #expect(received?.bytes == testFrame(777))
    withExtendedLifetime((kept, frontEnds)) {}
  }

  /// SECURITY: a guest rewrites its descriptors, tables and buffers at full speed: frames of legal lengths come out, or
  /// none. Whose bytes they are, RewritingGuestTests judge.
  @Test(arguments: GuestQueue.Layout.allCases)
  func `Row 18: a guest that rewrites its ring while it is read costs nobody else anything`(
    layout: GuestQueue.Layout
  ) throws {
    let pair = try Pair()
    defer { pair.close() }
    let features = VhostUserGuest.modern.union(layout.features)
    let sender = try GuestDriver(features: features)
    let receiver = try GuestDriver(features: features)
    receiver.post(256, sizes: [2048])
    let frontEnds = try [pair.connect(0, sender), pair.connect(1, receiver)]
    #expect(pair.loop.run(atMost: 10_000) { pair.ports.allSatisfy { $0.status.linkUp } })

    // Sixteen buffers, each filled with one byte; anything else in a delivered frame comes from elsewhere.
    let queue = sender.transmitQueue
    let buffers = (0..<16).map { _ in sender.ram.allocate(4096) }
    for buffer in buffers {
      sender.ram.write([UInt8](repeating: 0, count: 12) + [UInt8](repeating: 0xA5, count: 4084), at: buffer)
    }
    var random = SeededRandom(seed: 1)
    var received = 0
    for _ in 0..<30_000 {
      let address = [buffers.randomElement(using: &random)!, buffers[0], 1 << 50, queue.descriptors]
        .randomElement(using: &random)!
      let length = [0, 11, 26, 76, 100, 1500, 4096, 1 << 31].randomElement(using: &random)! as UInt32
      let flags = [0, 0, 0, 1, 2, 4, 5, 0x8000].randomElement(using: &random)! as UInt16
      rewrite(queue, RawDescriptor(address, length, flags: flags), &random)
      while let frame = receiver.receive() {
        received += 1
        #expect(frame.bytes.count <= Batch.maximumFrameLength)
      }
    }
    #expect(received > 0)
    #expect(pair.ports.allSatisfy { $0.status.linkUp })
    withExtendedLifetime(frontEnds) {}
  }

  /// Writes a descriptor somewhere near where the device is, and offers it.
  private func rewrite(_ queue: GuestQueue, _ descriptor: RawDescriptor, _ random: inout SeededRandom) {
    if queue.layout == .packed {
      // Only the device says how far it is: what it takes for a chain is not what the driver offered.
      let position = UInt16.random(in: 0..<32, using: &random)
      let (slot, flags) = queue.slot(fromDevice: position)
      queue.setDescriptor(
        slot, address: descriptor.address, length: descriptor.length, flags: descriptor.flags ^ flags,
        next: slot)
      return
    }
    let index = UInt16.random(in: 0..<16, using: &random)
    queue.setDescriptor(
      index, address: descriptor.address, length: descriptor.length, flags: descriptor.flags,
      next: UInt16.random(in: 0..<20, using: &random))
    queue.offer(index)
    // Never further ahead than the ring is long, or the port would rightly be closed.
    if queue.availableIndex &- queue.deviceUsedIndex < 200 { queue.setAvailableIndex(queue.availableIndex) }
    while queue.availableIndex &- queue.deviceUsedIndex >= 200 { sched_yield() }
  }
}
