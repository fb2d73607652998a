import Linux
import Virtio

/// The driver's side of a virtqueue, split (virtio 1.3 §2.7) or packed (§2.8). Correct by default; every field can also
/// be written as a hostile driver would (GuestQueue+Hostile.swift).
///
/// One thread; only what lies in guest memory may be written by others at the same time.
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

  public enum Layout: Sendable, CaseIterable {
    case split, packed

    /// What is negotiated for it.
    public var features: VirtioFeatures { self == .packed ? .packedRing : [] }
  }

  public let layout: Layout
  public let ram: GuestRAM
  public let size: Int
  /// Guest-physical addresses of the three parts. Of a packed ring, `available` is the driver's event suppression
  /// structure and `used` the device's.
  public let descriptors: UInt64
  public let available: UInt64
  public let used: UInt64
  /// The driver kicks this, the device calls that.
  public let kick: EventFD
  public let call: EventFD
  /// VIRTIO_F_EVENT_IDX was negotiated.
  public var hasEventIndex: Bool
  /// VIRTIO_F_IN_ORDER was negotiated: descriptors are used, and come back, one after the other.
  public let isInOrder: Bool
  /// Translates what the device is told, if it is behind an IOMMU.
  public private(set) var iommu: GuestIOMMU?
  /// Where the device finds the three parts.
  public private(set) var deviceAddresses: (descriptors: UInt64, available: UInt64, used: UInt64)

  private struct Chain {
    /// Entries of the descriptor table it occupies.
    var indices: [UInt16]
    /// Slots of a packed ring it occupies.
    var slots: Int
    /// Bytes the device may write.
    var writable: UInt32
    var mappings: [GuestIOMMU.Mapping]
    var table: Table?
  }

  /// An indirect table: where it is, and the entries there is room for.
  private struct Table {
    let address: UInt64
    let capacity: Int
  }

  let place: GuestRingPlace
  var ring: any GuestRing
  private var pool: DescriptorPool
  private var freeSlots: Int
  private var chains: [UInt16: Chain] = [:]
  /// With in-order only: buffers at the device, oldest first.
  private var outstanding: [UInt16] = []
  /// Completed, but not asked for yet.
  private var ready: ArraySlice<(head: UInt16, length: UInt32)> = []
  /// Tables not in use, by capacity.
  private var tables: [Int: [Table]] = [:]
  private var isPolling = false

  /// - Parameters:
  ///   - size: a power of two.
  ///   - features: what counts are `packedRing`, `eventIndex` and `inOrder`.
  public init(_ ram: GuestRAM, size: Int, features: VirtioFeatures = []) throws {
    self.ram = ram
    self.size = size
    layout = features.contains(.packedRing) ? .packed : .split
    hasEventIndex = features.contains(.eventIndex)
    isInOrder = features.contains(.inOrder)
    let isPacked = layout == .packed
    descriptors = ram.allocate(16 * size, alignment: 4096)
    available = ram.allocate(isPacked ? 4 : 6 + 2 * size, alignment: 4096)
    used = ram.allocate(isPacked ? 4 : 6 + 8 * size, alignment: 4096)
    deviceAddresses = (descriptors, available, used)
    kick = try EventFD()
    call = try EventFD()
    place = GuestRingPlace(
      ram: ram, size: size, descriptors: descriptors, available: available, used: used)
    ring = isPacked ? PackedGuestRing(place) : SplitGuestRing(place)
    pool = DescriptorPool(size: size, isInOrder: isInOrder)
    freeSlots = size
  }

  /// Tells the device I/O virtual addresses from now on. Before the first buffer.
  public func attach(_ iommu: GuestIOMMU) {
    self.iommu = iommu
    func map(_ address: UInt64, _ length: Int, _ access: GuestIOMMU.Access) -> UInt64 {
      iommu.map(address, length, access).iova
    }
    let isPacked = layout == .packed
    deviceAddresses = (
      map(descriptors, 16 * size, isPacked ? .readWrite : .read),
      map(available, isPacked ? 4 : 6 + 2 * size, .read), map(used, isPacked ? 4 : 6 + 8 * size, .readWrite)
    )
  }

  // MARK: a correct driver

  /// Descriptors that can be offered.
  public var freeCount: Int { freeSlots }

  /// What a front-end tells the back-end to start at (vhost-user, SET_VRING_BASE), everything at the device having come
  /// back: the index of a split ring; of a packed one, next slots and wrap counters of both sides.
  public var base: UInt32 { ring.base }

  /// Offers a chain, visible to the device after `publish`. Nil when there are not enough free descriptors.
  ///
  /// - Returns: the split ring's head, or the packed ring's buffer id.
  @discardableResult
  public func add(_ buffers: [Buffer], indirect: Bool = false) -> UInt16? {
    precondition(!buffers.isEmpty, "a chain has a buffer")
    guard freeSlots >= (indirect ? 1 : buffers.count) else { return nil }
    let mappings = buffers.compactMap { buffer in
      iommu?.map(buffer.address, Int(buffer.length), buffer.isWritable ? .write : .read)
    }
    let chain = buffers.indices.map { index in
      RawDescriptor(
        mappings.isEmpty ? buffers[index].address : mappings[index].iova, buffers[index].length,
        flags: (buffers[index].isWritable ? Descriptor.write : 0)
          | (index < buffers.count - 1 ? Descriptor.next : 0))
    }
    let writable = buffers.reduce(0) { $1.isWritable ? $0 + $1.length : $0 }
    guard indirect else { return offer(chain, writable: writable, mappings) }
    let table = takeTable(chain.count)
    writeTable(chain, at: table.address)
    let tableMapping = iommu?.map(table.address, 16 * chain.count, .read)
    let entry = RawDescriptor(
      tableMapping?.iova ?? table.address, UInt32(16 * chain.count), flags: Descriptor.indirect)
    let head = offer([entry], writable: writable, mappings + (tableMapping.map { [$0] } ?? []))
    if let head { chains[head]?.table = table }
    return head
  }

  /// Offers descriptors as they are. Nil when there are not enough free ones.
  func offer(_ chain: [RawDescriptor], writable: UInt32, _ mappings: [GuestIOMMU.Mapping]) -> UInt16? {
    guard freeSlots >= chain.count else { return nil }
    let indices = ring.lay(chain, &pool)
    freeSlots -= chain.count
    // A hostile driver may have written another buffer id than its own.
    let head = layout == .packed ? chain[chain.count - 1].link ?? indices[0] : indices[0]
    chains[head] = Chain(indices: indices, slots: chain.count, writable: writable, mappings: mappings)
    if isInOrder { outstanding.append(head) }
    return head
  }

  /// Makes offered chains visible. Returns whether the device wants a kick for them.
  @discardableResult
  public func publish() -> Bool { ring.publish(hasEventIndex: hasEventIndex) }

  /// The next chain the device completed, with the bytes it says it wrote; its descriptors are free again.
  public func complete() -> (head: UInt16, length: UInt32)? {
    if ready.isEmpty { collect() }
    return ready.popFirst()
  }

  private func collect() {
    guard let (id, length) = ring.nextUsed() else { return }
    var slots = 0
    let batch = finished(by: id)
    for buffer in batch {
      let chain = chains.removeValue(forKey: buffer)
      pool.giveBack(chain?.indices ?? [])
      for mapping in chain?.mappings ?? [] { iommu?.unmap(mapping) }
      if let table = chain?.table { tables[table.capacity, default: []].append(table) }
      slots += chain?.slots ?? 0
      ready.append((buffer, buffer == id ? length : chain?.writable ?? 0))
    }
    freeSlots += slots
    ring.advance(buffers: batch.count, slots: max(slots, 1))
    if !isPolling { ring.requestCall(after: 1, hasEventIndex: hasEventIndex) }
  }

  /// Which buffers are done when the device says that `id` is: with in-order, all before it too; those have been used
  /// to their ends (virtio 1.3 §2.7.9, §2.8.9).
  private func finished(by id: UInt16) -> [UInt16] {
    guard isInOrder, let position = outstanding.firstIndex(of: id) else { return [id] }
    defer { outstanding.removeFirst(position + 1) }
    return Array(outstanding[...position])
  }

  // MARK: calls

  /// Asks not to be called: the driver polls.
  public func stayAwake() {
    isPolling = true
    ring.refuseCalls(hasEventIndex: hasEventIndex)
  }

  /// Asks to be called when the device has completed as much as fills `count` slots of the ring (one, without event
  /// index); false if something is complete already, and the driver should go on.
  public func sleep(after count: Int = 1) -> Bool {
    isPolling = false
    ring.requestCall(after: count, hasEventIndex: hasEventIndex)
    driverFence()
    return ready.isEmpty && ring.nextUsed() == nil
  }

  // MARK: reset

  /// Forgets everything, as a driver does after a device reset: the rings are zero again.
  public func reset() {
    ring.reset()
    for chain in chains.values {
      for mapping in chain.mappings { iommu?.unmap(mapping) }
      if let table = chain.table { tables[table.capacity, default: []].append(table) }
    }
    chains = [:]
    outstanding = []
    ready = []
    isPolling = false
    freeSlots = size
    pool = DescriptorPool(size: size, isInOrder: isInOrder)
  }

  /// Room for a table of `count` entries: one that came back, or a new one.
  private func takeTable(_ count: Int) -> Table {
    var capacity = 1
    while capacity < count { capacity *= 2 }
    return tables[capacity]?.popLast()
      ?? Table(address: ram.allocate(16 * capacity), capacity: capacity)
  }
}
