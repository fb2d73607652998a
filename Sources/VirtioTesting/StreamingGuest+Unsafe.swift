import CLinux
import Glibc
import Linux
import VhostUser
import Virtio

/// A guest that sends and receives at full rate: every ring entry has its buffer for good, so that a frame costs a few
/// stores. It counts exactly what the switch took of it, and what the switch delivered.
///
/// One thread. The front-end's connection stays open as long as this lives.
public final class StreamingGuest {
  /// Frames the switch has taken out of the transmit ring.
  public private(set) var taken: UInt64 = 0
  /// Frames the switch has put into the receive ring.
  public private(set) var received: UInt64 = 0
  public let ringSize: Int

  private let ram: GuestRAM
  private let iommu: GuestIOMMU?
  private var mappings: [GuestIOMMU.Mapping] = []
  private var receiveRing: StreamingRing
  private var transmitRing: StreamingRing
  private let frontEnd: ScriptedFrontEnd
  private var transmitBuffers: [UnsafeMutableRawPointer] = []
  private var receiveBuffers: [UnsafeMutableRawPointer] = []

  private static let headerLength = 12
  private static let bufferSize = 2048
  /// Longest frame.
  public static var capacity: Int { bufferSize - headerLength }

  /// Connects to the vhost-user socket at `path`, and starts both rings.
  ///
  /// - Parameters:
  ///   - iommu: puts one before the device. Every buffer is mapped for good; with `perBuffer`, each at an address of its
  ///     own.
  ///   - turn: lets the back-end work while an answer is awaited.
  // SAFETY: buffers and rings lie in `ram`, which lives as long as this; every index is masked by the ring's size.
  public init(
    connecting path: String, ringSize: Int = 1024, packed: Bool = false, iommu mode: GuestIOMMU.Mode? = nil,
    turn: @escaping () -> Void = { usleep(200) }
  ) throws {
    self.ringSize = ringSize
    var features: VirtioFeatures = packed ? [.version1, .packedRing] : [.version1]
    if mode != nil { features.insert(.accessPlatform) }
    ram = try GuestRAM(size: (ringSize * 2 * Self.bufferSize + 64 * ringSize + (1 << 16)) & ~0x1FFF)
    iommu = mode.map { [ram] in GuestIOMMU(ram, $0) }
    receiveRing = StreamingRing(
      try GuestQueue(ram, size: ringSize, features: features), isWritable: true)
    transmitRing = StreamingRing(
      try GuestQueue(ram, size: ringSize, features: features), isWritable: false)
    frontEnd = try ScriptedFrontEnd(connecting: path, turn: turn)
    let protocolFeatures: ProtocolFeatures = [.multiqueue, .replyAcknowledgement, .backendRequests]
    guard try frontEnd.negotiate(features, protocolFeatures).isSuperset(of: features) else {
      throw ScriptedFrontEnd.Failure(description: "the back-end does not offer this guest's features")
    }
    try frontEnd.setMemory(ram)
    if let iommu {
      for ring in [receiveRing, transmitRing] { ring.queue.attach(iommu) }
      try frontEnd.attach(iommu)
    }
    receiveBuffers = place(receiveRing)
    transmitBuffers = place(transmitRing)
    for _ in 0..<ringSize { receiveRing.offer(length: Self.bufferSize) }
    _ = receiveRing.publish()
    try frontEnd.start(receiveRing.queue, index: 0)
    try frontEnd.start(transmitRing.queue, index: 1)
    receiveRing.queue.kick.signal()
    if iommu != nil { try translate(turn) }
  }

  /// Tells the switch where all buffers are, and answers the misses the rings begin with: translations from before the
  /// first ring was started count for nothing.
  private func translate(_ turn: () -> Void) throws {
    for mapping in mappings {
      for iova in [mapping.iova, mapping.iova + UInt64(Self.bufferSize - 1)] {
        let miss = GuestIOMMU.Message(.miss, iova: iova, access: .readWrite)
        if let update = iommu?.update(for: miss) { try frontEnd.update(update) }
      }
    }
    var quiet = 0
    while quiet < 50 {
      turn()
      quiet = try frontEnd.serveBackEnd() > 0 ? 0 : quiet + 1
    }
  }

  private func place(_ ring: StreamingRing) -> [UnsafeMutableRawPointer] {
    (0..<ringSize).map { slot in
      let address = ram.allocate(Self.bufferSize)
      ring.place(deviceAddress(address), length: Self.bufferSize, slot: slot)
      return UnsafeMutableRawPointer(bitPattern: UInt(ram.userAddress(address)))!
    }
  }

  /// Where the device finds a buffer.
  private func deviceAddress(_ address: UInt64) -> UInt64 {
    guard let mapping = iommu?.map(address, Self.bufferSize, .readWrite) else { return address }
    mappings.append(mapping)
    return mapping.iova
  }

  /// Frames offered that the switch has not taken yet.
  public var waiting: Int {
    update()
    return transmitRing.offered - transmitRing.done
  }

  /// Offers up to `count` frames, as many as the ring has room for; `write` writes each and returns its length. Returns
  /// how many were offered.
  @discardableResult
  public func send(_ count: Int, _ write: (UnsafeMutableRawPointer) -> Int) -> Int {
    let count = min(count, ringSize - waiting)
    for _ in 0..<count {
      let length = write(transmitBuffers[transmitRing.nextSlot] + Self.headerLength)
      transmitRing.offer(length: Self.headerLength + length)
    }
    guard count > 0 else { return 0 }
    if transmitRing.publish() { transmitRing.queue.kick.signal() }
    return count
  }

  /// Takes what was delivered and offers the buffers again; `inspect` sees each frame. Returns how many there were.
  @discardableResult
  public func receive(_ inspect: (UnsafeRawBufferPointer) -> Void) -> Int {
    let count = receiveRing.pending(atMost: ringSize)
    for _ in 0..<count {
      let (slot, length) = receiveRing.take()
      inspect(
        UnsafeRawBufferPointer(
          start: receiveBuffers[slot] + Self.headerLength,
          count: min(max(length - Self.headerLength, 0), Self.capacity)))
      receiveRing.offer(length: Self.bufferSize)
    }
    guard count > 0 else { return 0 }
    received += UInt64(count)
    if receiveRing.publish() { receiveRing.queue.kick.signal() }
    return count
  }

  private func update() {
    let count = transmitRing.pending(atMost: ringSize)
    transmitRing.take(count)
    taken += UInt64(count)
  }
}
