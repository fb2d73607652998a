// Fuzzes everything a guest can write: the input becomes descriptors, ring indices, buffers and tables of both rings
// of a vhost-user port, through which frames are then received and transmitted. Whatever it is, work is bounded, no
// byte outside guest memory is touched, and no buffer is taken that was not offered.

import Glibc
import Linux
import Packet
import Ports
import VhostUser
import Virtio
import VirtioTesting

/// A guest, and two frames for it to receive.
private final class World {
  let guest: FuzzGuest
  private let source = MemoryPort(name: "source", capacity: 8)
  private let sourceCounters = PortCounters()
  var batch = Batch()

  private static let features: VirtioFeatures = [
    .version1, .mergeableReceiveBuffers, .indirectDescriptors, .eventIndex, .checksum, .hostTSO4, .guestTSO4,
  ]

  init(_ layout: GuestQueue.Layout) throws {
    // A packed ring is as long as the input has descriptors, so that it is soon gone round.
    let (name, size) = layout == .packed ? ("packed", 16) : ("split", 64)
    guest = try FuzzGuest(name, features: Self.features.union(layout.features), ringSize: size)
  }

  /// Lays 16 bytes for each descriptor, then the driver's part of the ring, then raw memory. Returns how many buffers
  /// are offered at most: a packed ring's slots may be so for this lap and, behind a chain, for the next.
  func write(_ bytes: [UInt8], to queue: GuestQueue) -> Int {
    guard let first = bytes.first else { return 0 }
    queue.ram.write(Array(bytes.dropFirst().prefix(16 * 16)), at: queue.descriptors)
    if queue.layout == .packed {
      // What is zero in the input is made available, as far as its first byte says.
      for count in 0..<UInt16(first & 0x1F) {
        let (slot, flags) = queue.slot(fromDevice: count)
        let place = queue.descriptors + 16 * UInt64(slot) + 14
        queue.ram.store16(queue.ram.load16(place) ^ flags, at: place)
      }
      queue.ram.write(Array(bytes.dropFirst(257).prefix(4)), at: queue.available)
    } else {
      queue.ram.write(Array(bytes.dropFirst(257).prefix(128)), at: queue.available + 4)
      queue.setAvailableIndex(UInt16(first) & 0x7F)
    }
    // Buffers and tables at low addresses, where short addresses point.
    queue.ram.write(Array(bytes.dropFirst(385).prefix(512)), at: 0)
    return queue.layout == .packed ? 2 * queue.size : Int(first & 0x7F)
  }

  /// Both rings full of `bytes`, then frames in both directions.
  func turn(_ bytes: [UInt8]) {
    _ = write(Array(bytes.prefix(bytes.count / 2)), to: guest.driver.receiveQueue)
    let offered = write(Array(bytes.dropFirst(bytes.count / 2)), to: guest.driver.transmitQueue)
    let before = guest.taken
    move()
    require(guest.taken - before <= UInt64(offered), "no more buffers are taken than were offered")
  }

  private func move() {
    let (io, counters) = (guest.port.io, guest.counters)
    _ = source.send((0..<2000).map { UInt8(truncatingIfNeeded: $0) })
    _ = source.send([UInt8](repeating: 1, count: 60))
    batch.clear()
    _ = source.io.receive(queue: 0, into: &batch, sourceCounters)
    transmit()
    source.io.release(queue: 0, batch, sourceCounters)
    for _ in 0..<4 {
      batch.clear()
      if io.receive(queue: 0, into: &batch, counters) > 0 {
        check()
        transmit()
        io.release(queue: 0, batch, counters)
      }
    }
    _ = io.sleep(queue: 0)
    io.wake(queue: 0)
    guest.loop.turn(atMostMilliseconds: 0)
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
      require(total == Int(frame.length), "segments have \(total) bytes of \(frame.length)")
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
    guest.port.io.transmit(
      queue: 0, outgoing, indices, count: outgoing.count, from: batch, guest.counters)
    guest.port.io.flush(queue: 0, guest.counters)
  }
}

private nonisolated(unsafe) let split = try? World(.split)
private nonisolated(unsafe) let packed = try? World(.packed)

extension FuzzTarget {
  static let virtqueue = FuzzTarget("virtqueue", seeds: { [splitSeed + splitSeed] }) { bytes in
    guard let split else { throw SystemError("make a guest", code: ENOMEM) }
    try split.guest.reset()
    split.turn(bytes)
  }

  /// Two turns and a half through the ring, so that wrap counters change.
  static let packedRing = FuzzTarget("packed-ring", seeds: { [packedSeed + packedSeed] }) { bytes in
    guard let packed else { throw SystemError("make a guest", code: ENOMEM) }
    try packed.guest.reset()
    // Where the device is before it has noted anything, which `slot(fromDevice:)` goes by.
    for queue in packed.guest.driver.queues { queue.ram.store16(0x8000, at: queue.used) }
    for _ in 0..<5 where packed.guest.port.status.linkUp { packed.turn(bytes) }
  }

  /// Two chains, one of them in a table.
  private static let splitSeed: [UInt8] = {
    var bytes: [UInt8] = [2] + splitDescriptor(64, 12, 1, 1) + splitDescriptor(128, 64, 0, 0)
    bytes += splitDescriptor(0, 32, 4, 0)
    bytes += [UInt8](repeating: 0, count: 257 - bytes.count) + [0, 0, 2, 0]
    bytes += [UInt8](repeating: 0, count: 385 - bytes.count)
    return bytes + splitDescriptor(64, 12, 1, 1) + splitDescriptor(128, 64, 0, 0)
      + [UInt8](repeating: 0, count: 128)
  }()

  /// The same, and two more buffers; then asked for a call at slot 2 of the first lap.
  private static let packedSeed: [UInt8] = {
    func descriptor(_ address: UInt64, _ length: UInt32, _ id: UInt16, _ flags: UInt16) -> [UInt8] {
      splitDescriptor(address, length, id, flags)
    }
    var bytes: [UInt8] = [5] + descriptor(64, 12, 0, 1) + descriptor(128, 64, 7, 0)
    bytes += descriptor(0, 32, 3, 4) + descriptor(256, 2000, 4, 2) + descriptor(512, 100, 5, 0)
    bytes += [UInt8](repeating: 0, count: 257 - bytes.count) + [2, 0x80, 2, 0]
    bytes += [UInt8](repeating: 0, count: 385 - bytes.count)
    return bytes + descriptor(64, 12, 0, 0) + descriptor(128, 64, 0, 0) + [UInt8](repeating: 0, count: 128)
  }()

  /// Address, length and the two halves of the last word.
  private static func splitDescriptor(_ address: UInt64, _ length: UInt32, _ low: UInt16, _ high: UInt16)
    -> [UInt8]
  { littleEndian(address) + littleEndian(length) + littleEndian(low) + littleEndian(high) }
}
