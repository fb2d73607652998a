// Fuzzes everything a guest can write: the input becomes descriptors, ring indices, buffers and tables of both rings
// of a vhost-user port, through which frames are then received and transmitted. Whatever it is, work is bounded, no
// byte outside guest memory is touched, and every buffer taken goes back.

import Glibc
import Linux
import Packet
import Ports
import VhostUser
import Virtio
import VirtioTesting

/// A port with a guest on it, whose rings are set up anew for each input.
private final class World {
  let loop: EventLoop
  let port: VhostUserPort
  let driver: GuestDriver
  let path: String
  var frontEnd: ScriptedFrontEnd
  let counters = PortCounters()
  let source = MemoryPort(name: "source", capacity: 8)
  var batch = Batch()

  private static let directory = "/tmp/switchd-fuzz-\(getpid())"

  static let features: VirtioFeatures = [
    .version1, .mergeableReceiveBuffers, .indirectDescriptors, .eventIndex, .checksum, .hostTSO4, .guestTSO4,
  ]

  init() throws {
    let directory = Self.directory
    mkdir(directory, 0o700)
    atexit {
      unlink("\(World.directory)/port")
      rmdir(World.directory)
    }
    path = "\(directory)/port"
    Log.setLevel(.off)
    let loop = try EventLoop()
    self.loop = loop
    port = try VhostUserPort(
      PortConfiguration(name: "port", kind: .vhostUser, runDirectory: directory), loop: loop)
    try port.start(
      PortEnvironment(synchronize: {}, setWaitDescriptor: { _, _, _ in }, wake: {}, statusChanged: {}))
    driver = try GuestDriver(
      ram: try GuestRAM(size: 1 << 20, shape: .swappedHalves), features: Self.features, ringSize: 64)
    frontEnd = try ScriptedFrontEnd(connecting: path) { loop.turn(atMostMilliseconds: 1) }
    try connect()
  }

  func connect() throws {
    try frontEnd.negotiate(Self.features)
    try frontEnd.start(driver)
    guard loop.run(atMost: 1000, until: { port.status.linkUp }) else { fatalError("the port does not start") }
  }

  /// Rings as a driver leaves them after a reset; a new front-end if the last input cost the old one its connection.
  func reset() throws {
    if port.status.linkUp {
      _ = try frontEnd.stop()
    } else {
      frontEnd = try ScriptedFrontEnd(connecting: path) { [loop] in loop.turn(atMostMilliseconds: 1) }
      try frontEnd.negotiate(Self.features)
    }
    driver.receiveQueue.reset()
    driver.transmitQueue.reset()
    try frontEnd.start(driver)
    guard loop.run(atMost: 1000, until: { port.status.linkUp }) else { fatalError("the port does not start") }
  }

  /// Lays 16 bytes for each descriptor, then available entries, then raw memory.
  func write(_ bytes: [UInt8], to queue: GuestQueue) {
    guard let index = bytes.first else { return }
    queue.ram.write(Array(bytes.dropFirst().prefix(16 * 16)), at: queue.descriptors)
    queue.ram.write(Array(bytes.dropFirst(257).prefix(128)), at: queue.available + 4)
    // Buffers and tables at low addresses, where short addresses point.
    queue.ram.write(Array(bytes.dropFirst(385).prefix(512)), at: 0)
    queue.setAvailableIndex(UInt16(index) & 0x7F)
  }

  func run() {
    _ = source.send((0..<2000).map { UInt8(truncatingIfNeeded: $0) })
    _ = source.send([UInt8](repeating: 1, count: 60))
    batch.clear()
    _ = source.io.receive(queue: 0, into: &batch, counters)
    transmit()
    source.io.release(queue: 0, batch, counters)
    for _ in 0..<4 {
      batch.clear()
      if port.io.receive(queue: 0, into: &batch, counters) > 0 {
        check()
        transmit()
        port.io.release(queue: 0, batch, counters)
      }
    }
    _ = port.io.sleep(queue: 0)
    port.io.wake(queue: 0)
    loop.turn(atMostMilliseconds: 0)
    let used = driver.transmitQueue.deviceUsedIndex
    let offered = driver.ram.load16(driver.transmitQueue.available + 2)
    if port.status.linkUp && used > offered { fatalError("more buffers went back than were offered") }
  }

  /// Every segment lies in guest memory, and together they have the frame's length.
  private func check() {
    for index in 0..<batch.count {
      let frame = batch.frames[index]
      var total = 0
      batch.forEachPiece(frame, from: 0, count: Int(frame.length)) { piece, length in
        total += length
        // Reads every byte: the address sanitizer and the mapping judge.
        var sum: UInt8 = 0
        for offset in 0..<length { sum &+= piece.load(fromByteOffset: offset, as: UInt8.self) }
        withExtendedLifetime(sum) {}
      }
      if total != Int(frame.length) { fatalError("segments have \(total) bytes of \(frame.length)") }
    }
  }

  private func transmit() {
    let outgoing = (0..<batch.count).map { index in
      let frame = batch.frames[index]
      return Outgoing(
        header: frame.header, headerLength: frame.headerLength, frame: UInt32(index),
        sourceOffset: frame.headerLength, sourceLength: frame.length - frame.headerLength, offload: .none)
    }
    let indices = (0..<outgoing.count).map { UInt16($0) }
    port.io.transmit(queue: 0, outgoing, indices, count: outgoing.count, from: batch, counters)
    port.io.flush(queue: 0, counters)
  }
}

private nonisolated(unsafe) let world = try? World()

extension FuzzTarget {
  static let virtqueue = FuzzTarget("virtqueue", seeds: { [virtqueueSeed + virtqueueSeed] }) { bytes in
    guard let world else { throw SystemError("make a guest", code: ENOMEM) }
    try world.reset()
    world.write(Array(bytes.prefix(bytes.count / 2)), to: world.driver.receiveQueue)
    world.write(Array(bytes.dropFirst(bytes.count / 2)), to: world.driver.transmitQueue)
    world.run()
  }

  /// Two chains, one of them in a table.
  private static let virtqueueSeed: [UInt8] = {
    func descriptor(_ address: UInt64, _ length: UInt32, _ flags: UInt16, _ next: UInt16) -> [UInt8] {
      littleEndian(address) + littleEndian(length) + littleEndian(flags) + littleEndian(next)
    }
    var bytes: [UInt8] = [2] + descriptor(64, 12, 1, 1) + descriptor(128, 64, 0, 0) + descriptor(0, 32, 4, 0)
    bytes += [UInt8](repeating: 0, count: 257 - bytes.count) + [0, 0, 2, 0]
    bytes += [UInt8](repeating: 0, count: 385 - bytes.count)
    return bytes + descriptor(64, 12, 1, 1) + descriptor(128, 64, 0, 0) + [UInt8](repeating: 0, count: 128)
  }()
}
