import Glibc
import Linux
import Testing
import VirtioTesting

@testable import Virtio

/// A driver and a device at one ring.
final class RingFixture {
  /// What a test of both layouts is run with.
  static let layouts: [VirtioFeatures] = [[], .packedRing]
  /// The same, with and without event index.
  static let layoutsAndEvents: [VirtioFeatures] = layouts.flatMap { [$0, $0.union(.eventIndex)] }

  let features: VirtioFeatures
  let ram: GuestRAM
  let driver: GuestQueue
  let memory: GuestMemory
  /// Room for the pieces of a chain.
  let pieces = UnsafeMutablePointer<iovec>.allocate(capacity: RingFixture.capacity)
  static let capacity = 2048

  init(_ features: VirtioFeatures = [], size: Int = 8, ram: GuestRAM? = nil) throws {
    let ram = try ram ?? GuestRAM()
    self.features = features
    self.ram = ram
    driver = try GuestQueue(ram, size: size, features: features)
    memory = try GuestMemory(ram.regions, files: ram.regions.map { [file = ram.file.raw] _ in file })
  }

  deinit { pieces.deallocate() }

  var isPacked: Bool { driver.layout == .packed }
  private var size: UInt32 { UInt32(driver.size) }

  func layout() throws -> VirtqueueLayout {
    let map = memory.map
    return VirtqueueLayout(
      size: size,
      descriptors: try #require(map.translate(driver.descriptors, VirtqueueLayout.descriptorBytes(size))),
      available: try #require(
        map.translate(driver.available, VirtqueueLayout.availableBytes(size, packed: isPacked))),
      used: try #require(map.translate(driver.used, VirtqueueLayout.usedBytes(size, packed: isPacked))))
  }

  /// - Parameter base: as SET_VRING_BASE has it; nil: the beginning.
  func device(base: UInt32? = nil) throws -> RingDevice {
    let start = RingPosition(base: base ?? (isPacked ? 0x8000_8000 : 0), size: size, packed: isPacked)
    return RingDevice(
      Virtqueue(try layout(), position: start, features: features, call: driver.call.raw))
  }

  func buffer(_ length: Int = 64, isWritable: Bool = false) -> GuestQueue.Buffer {
    GuestQueue.Buffer(ram.allocate(length), length, isWritable: isWritable)
  }

  /// Walks a pending buffer's chain.
  func walk(
    _ device: RingDevice, _ offset: Int = 0, writable: Bool = false, capacity: Int = RingFixture.capacity
  ) -> DescriptorChain {
    device.walk(
      device.element(offset), writable: writable, memory.map, into: pieces, capacity: capacity)
  }
}

/// A virtqueue that expectations can hold: they copy what they are given.
final class RingDevice {
  private var queue: Virtqueue
  init(_ queue: consuming Virtqueue) { self.queue = queue }

  /// As GET_VRING_BASE answers it.
  var base: UInt32 { queue.position.base(size: UInt32(queue.size), packed: queue.isPacked) }
  func pending(atMost limit: Int) -> Int { queue.pending(atMost: limit) }
  func element(_ offset: Int) -> Element { queue.element(offset) }
  func pop(_ count: Int) { queue.pop(count) }
  func fill(_ element: Element, length: UInt32 = 0) {
    var element = element
    element.written = length
    queue.fill(&element, count: 1)
  }
  func flush() -> Bool { queue.flush() }
  func notify() -> Bool { queue.notify() }
  func arm() -> Bool { queue.arm() }
  func disarm() { queue.disarm() }
  func walk(
    _ element: Element, writable: Bool, _ memory: GuestMemoryMap, into pieces: UnsafeMutablePointer<iovec>,
    capacity: Int
  ) -> DescriptorChain {
    queue.walk(
      element, writable: writable, memory, tables: memory, into: pieces, capacity: capacity)
  }

  /// Takes up to `limit` pending buffers and gives them back, so many bytes written to each. Returns their ids, or nil
  /// when the driver broke the rules.
  func turn(atMost limit: Int = 64, written: UInt32 = 0) -> [UInt16]? {
    let count = pending(atMost: limit)
    guard count >= 0 else { return nil }
    let elements = (0..<count).map { element($0) }
    pop(count)
    for element in elements { fill(element, length: written) }
    _ = flush()
    return elements.map(\.id)
  }
}

/// Flags of descriptors.
let next = Descriptor.next
let indirect = Descriptor.indirect
