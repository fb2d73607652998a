import Linux
import Virtio

/// The driver's side of a split virtqueue (virtio 1.3 §2.7). Correct by default; every field can also be written as a
/// hostile driver would.
public final class GuestQueue {
  /// One element of a chain.
  public struct Buffer: Equatable, Sendable {
    public var address: UInt64
    public var length: UInt32
    public var isWritable: Bool

    public init(_ address: UInt64, _ length: Int, isWritable: Bool) {
      self.address = address
      self.length = UInt32(length)
      self.isWritable = isWritable
    }
  }

  public let ram: GuestRAM
  public let size: Int
  /// Guest-physical addresses of the three parts.
  public let descriptors: UInt64
  public let available: UInt64
  public let used: UInt64
  /// The driver kicks this, the device calls that.
  public let kick: EventFD
  public let call: EventFD
  /// VIRTIO_F_EVENT_IDX was negotiated.
  public var hasEventIndex = false

  /// The next available index to publish, and the next used index to look at.
  public private(set) var availableIndex: UInt16 = 0
  public private(set) var usedIndex: UInt16 = 0
  private var publishedIndex: UInt16 = 0
  private var free: [UInt16]
  private var chains: [UInt16: [UInt16]] = [:]
  private var tables: [UInt16: UInt64] = [:]

  /// - Parameter size: a power of two.
  public init(_ ram: GuestRAM, size: Int) throws {
    self.ram = ram
    self.size = size
    descriptors = ram.allocate(16 * size, alignment: 4096)
    available = ram.allocate(6 + 2 * size, alignment: 4096)
    used = ram.allocate(6 + 8 * size, alignment: 4096)
    kick = try EventFD()
    call = try EventFD()
    free = (0..<size).map { UInt16($0) }.reversed()
  }

  // MARK: a correct driver

  public var freeCount: Int { free.count }

  /// Offers a chain, visible to the device after `publish`. Nil when there are not enough free descriptors.
  @discardableResult
  public func add(_ buffers: [Buffer], indirect: Bool = false) -> UInt16? {
    precondition(!buffers.isEmpty, "a chain has a buffer")
    let count = indirect ? 1 : buffers.count
    guard free.count >= count else { return nil }
    let indices = (0..<count).map { _ in free.removeLast() }
    if indirect {
      let table = tableAddress(indices[0])
      writeChain(buffers, at: table, indices: (0..<buffers.count).map { UInt16($0) })
      setDescriptor(
        indices[0], address: table, length: UInt32(16 * buffers.count), flags: Descriptor.indirect, next: 0)
    } else {
      writeChain(buffers, at: descriptors, indices: indices)
    }
    chains[indices[0]] = indices
    offer(indices[0])
    return indices[0]
  }

  /// Makes offered chains visible. Returns whether the device wants a kick for them.
  @discardableResult
  public func publish() -> Bool {
    let old = publishedIndex
    publishedIndex = availableIndex
    ram.store16(availableIndex, at: available + 2)
    driverFence()
    if hasEventIndex {
      let event = ram.load16(used + 4 + 8 * UInt64(size))
      return availableIndex &- event &- 1 < availableIndex &- old
    }
    return ram.load16(used) & 1 == 0
  }

  /// The next chain the device completed, with the bytes it says it wrote; its descriptors are free again.
  public func complete() -> (head: UInt16, length: UInt32)? {
    guard ram.load16(used + 2) != usedIndex else { return nil }
    let element = usedElement(Int(usedIndex) % size)
    usedIndex &+= 1
    if hasEventIndex { ram.store16(usedIndex, at: available + 4 + 2 * UInt64(size)) }
    let head = UInt16(truncatingIfNeeded: element.head)
    free += chains.removeValue(forKey: head) ?? []
    return (head, element.length)
  }

  /// Forgets everything, as a driver does after a device reset: the rings are zero again.
  public func reset() {
    ram.write([UInt8](repeating: 0, count: 6 + 2 * size), at: available)
    ram.write([UInt8](repeating: 0, count: 6 + 8 * size), at: used)
    availableIndex = 0
    publishedIndex = 0
    usedIndex = 0
    chains = [:]
    free = (0..<size).map { UInt16($0) }.reversed()
  }

  // MARK: anything a driver could write

  public func setDescriptor(_ index: UInt16, address: UInt64, length: UInt32, flags: UInt16, next: UInt16) {
    writeDescriptor(
      descriptors + 16 * UInt64(index), address: address, length: length, flags: flags, next: next)
  }

  /// Puts `head`, whatever it is, into the available ring.
  public func offer(_ head: UInt16) {
    ram.store16(head, at: available + 4 + 2 * UInt64(Int(availableIndex) % size))
    availableIndex &+= 1
  }

  public func setAvailableIndex(_ index: UInt16) { ram.store16(index, at: available + 2) }

  /// The used index the device has published.
  public var deviceUsedIndex: UInt16 { ram.load16(used + 2) }

  public func usedElement(_ slot: Int) -> (head: UInt32, length: UInt32) {
    let bytes = ram.read(used + 4 + 8 * UInt64(slot), 8)
    func word(_ start: Int) -> UInt32 {
      bytes[start..<start + 4].reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }
    return (word(0), word(4))
  }

  /// Writes one descriptor anywhere, a table for instance.
  public func writeDescriptor(_ at: UInt64, address: UInt64, length: UInt32, flags: UInt16, next: UInt16) {
    ram.store64(address, at: at)
    ram.store64(UInt64(length) | UInt64(flags) << 32 | UInt64(next) << 48, at: at + 8)
  }

  private func writeChain(_ buffers: [Buffer], at table: UInt64, indices: [UInt16]) {
    for (position, buffer) in buffers.enumerated() {
      let isLast = position == buffers.count - 1
      var flags: UInt16 = buffer.isWritable ? Descriptor.write : 0
      if !isLast { flags |= Descriptor.next }
      writeDescriptor(
        table + 16 * UInt64(indices[position]), address: buffer.address, length: buffer.length, flags: flags,
        next: isLast ? 0 : indices[position + 1])
    }
  }

  /// Room for a table of `size` entries for each head, made when first needed.
  private func tableAddress(_ head: UInt16) -> UInt64 {
    if let table = tables[head] { return table }
    let table = ram.allocate(16 * size)
    tables[head] = table
    return table
  }
}
