import CLinux
import Glibc
import Linux
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
  private let receiveQueue: GuestQueue
  private let transmitQueue: GuestQueue
  private let frontEnd: ScriptedFrontEnd
  private var transmitBuffers: [UnsafeMutableRawPointer] = []
  private var receiveBuffers: [UnsafeMutableRawPointer] = []
  private var offeredIndex: UInt16 = 0
  private var takenIndex: UInt16 = 0
  private var receivedIndex: UInt16 = 0
  private let descriptors: UnsafeMutableRawPointer

  private static let headerLength = 12
  private static let bufferSize = 2048
  /// Longest frame.
  public static var capacity: Int { bufferSize - headerLength }

  /// Connects to the vhost-user socket at `path`, and starts both rings.
  // SAFETY: buffers and rings lie in `ram`, which lives as long as this; every index is masked by the ring's size.
  public init(connecting path: String, ringSize: Int = 1024) throws {
    self.ringSize = ringSize
    ram = try GuestRAM(size: (ringSize * 2 * Self.bufferSize + 64 * ringSize + (1 << 16)) & ~0x1FFF)
    receiveQueue = try GuestQueue(ram, size: ringSize)
    transmitQueue = try GuestQueue(ram, size: ringSize)
    descriptors = Self.host(ram, transmitQueue.descriptors)
    frontEnd = try ScriptedFrontEnd(connecting: path)
    try frontEnd.negotiate([.version1])
    fill(receiveQueue, isWritable: true, &receiveBuffers)
    fill(transmitQueue, isWritable: false, &transmitBuffers)
    receiveQueue.setAvailableIndex(UInt16(ringSize))
    try frontEnd.setMemory(ram)
    try frontEnd.start(receiveQueue, index: 0)
    try frontEnd.start(transmitQueue, index: 1)
    receiveQueue.kick.signal()
  }

  private func fill(_ queue: GuestQueue, isWritable: Bool, _ buffers: inout [UnsafeMutableRawPointer]) {
    for index in 0..<UInt16(ringSize) {
      let address = ram.allocate(Self.bufferSize)
      queue.setDescriptor(
        index, address: address, length: UInt32(Self.bufferSize), flags: isWritable ? Descriptor.write : 0,
        next: 0)
      ram.store16(index, at: queue.available + 4 + 2 * UInt64(index))
      buffers.append(Self.host(ram, address))
    }
  }

  private static func host(_ ram: GuestRAM, _ address: UInt64) -> UnsafeMutableRawPointer {
    UnsafeMutableRawPointer(bitPattern: UInt(ram.userAddress(address)))!
  }

  /// Frames offered that the switch has not taken yet.
  public var waiting: Int {
    update()
    return Int(offeredIndex &- takenIndex)
  }

  /// Offers up to `count` frames, as many as the ring has room for; `write` writes each and returns its length. Returns
  /// how many were offered.
  @discardableResult
  public func send(_ count: Int, _ write: (UnsafeMutableRawPointer) -> Int) -> Int {
    let count = min(count, ringSize - waiting)
    for _ in 0..<count {
      let slot = Int(offeredIndex) & (ringSize - 1)
      let length = write(transmitBuffers[slot] + Self.headerLength)
      (descriptors + slot * 16 + 8).storeBytes(of: UInt64(Self.headerLength + length), as: UInt64.self)
      offeredIndex &+= 1
    }
    guard count > 0 else { return 0 }
    transmitQueue.setAvailableIndex(offeredIndex)
    driverFence()
    if ram.load16(transmitQueue.used) & 1 == 0 { transmitQueue.kick.signal() }
    return count
  }

  /// Takes what was delivered and offers the buffers again; `inspect` sees each frame. Returns how many there were.
  @discardableResult
  public func receive(_ inspect: (UnsafeRawBufferPointer) -> Void) -> Int {
    let delivered = receiveQueue.deviceUsedIndex
    let count = Int(delivered &- receivedIndex)
    let elements = Self.host(ram, receiveQueue.used + 4)
    for _ in 0..<count {
      let slot = Int(receivedIndex) & (ringSize - 1)
      let length = Int((elements + slot * 8 + 4).load(as: UInt32.self)) - Self.headerLength
      inspect(
        UnsafeRawBufferPointer(
          start: receiveBuffers[slot] + Self.headerLength, count: min(max(length, 0), Self.capacity)))
      receivedIndex &+= 1
    }
    guard count > 0 else { return 0 }
    received += UInt64(count)
    receiveQueue.setAvailableIndex(receivedIndex &+ UInt16(ringSize))
    return count
  }

  private func update() {
    let used = transmitQueue.deviceUsedIndex
    taken += UInt64(used &- takenIndex)
    takenIndex = used
  }
}
