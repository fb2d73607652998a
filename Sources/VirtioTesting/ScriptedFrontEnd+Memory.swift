import Linux
import VhostUser
import Virtio

// What a real front-end says about memory: tables, slots, the log of dirty pages, and the IOMMU.

extension ScriptedFrontEnd {
  public func setMemory(_ ram: GuestRAM) throws {
    try send(
      .setMemoryTable, Self.memoryTable(ram.regions), ram.regions.map { _ in ram.file.raw })
  }

  /// The payload of SET_MEM_TABLE.
  public static func memoryTable(_ regions: [GuestRegionDescription]) -> [UInt8] {
    regions.reduce(littleEndian(UInt32(regions.count)) + littleEndian(0 as UInt32)) { $0 + bytes($1) }
  }

  private static func bytes(_ region: GuestRegionDescription) -> [UInt8] {
    littleEndian(region.guestAddress) + littleEndian(region.size) + littleEndian(region.userAddress)
      + littleEndian(region.fileOffset)
  }

  // MARK: slots

  /// GET_MAX_MEM_SLOTS.
  public func memorySlots() throws -> UInt64 { try askNumber(.getMaximumMemorySlots) }

  /// The payload of ADD_MEM_REG and REM_MEM_REG.
  public static func memorySlot(_ region: GuestRegionDescription) -> [UInt8] {
    littleEndian(0 as UInt64) + bytes(region)
  }

  /// Adds one region, backed by `file`. Returns the acknowledgement: 0 is success.
  @discardableResult
  public func addMemory(_ region: GuestRegionDescription, file: Int32) throws -> UInt64 {
    try command(.addMemoryRegion, Self.memorySlot(region), [file])
  }

  @discardableResult
  public func removeMemory(_ region: GuestRegionDescription) throws -> UInt64 {
    try command(.removeMemoryRegion, Self.memorySlot(region))
  }

  /// All regions of `ram`, slot by slot.
  public func addMemory(_ ram: GuestRAM) throws {
    for region in ram.regions where try addMemory(region, file: ram.file.raw) != 0 {
      throw Failure(description: "ADD_MEM_REG was refused")
    }
  }

  // MARK: the log

  /// SET_LOG_BASE, which is answered when the log is in use.
  public func setLog(_ log: GuestDirtyLog) throws {
    _ = try ask(.setLogBase, log.payload, [log.file.raw])
  }

  /// Starts logging of a running device in the order QEMU does: the log, the feature, then every ring again.
  public func startLogging(_ log: GuestDirtyLog, _ driver: GuestDriver) throws {
    try setLog(log)
    try setLogging(true, driver)
  }

  public func stopLogging(_ driver: GuestDriver) throws { try setLogging(false, driver) }

  private func setLogging(_ isOn: Bool, _ driver: GuestDriver) throws {
    if isOn { features.insert(.logAll) } else { features.remove(.logAll) }
    try send(.setFeatures, littleEndian(features.rawValue))
    for (index, queue) in driver.queues.enumerated() {
      try send(.setVringAddress, Self.addresses(queue, index: UInt32(index), isLogging: isOn).bytes)
    }
  }

  // MARK: the back-end's channel and the IOMMU

  /// SET_BACKEND_REQ_FD. What comes by the channel is served while answers are awaited, and by `serveBackEnd`.
  public func openBackEndChannel() throws {
    let channel = try BackEndChannel()
    backEndChannel = channel
    try send(.setBackendRequestDescriptor, [], [channel.farEnd.raw])
  }

  /// Answers the back-end's misses from `iommu` once there is a channel.
  public func answer(from iommu: GuestIOMMU) { self.iommu = iommu }

  /// The same at once, and tells the back-end what becomes invalid.
  public func attach(_ iommu: GuestIOMMU) throws {
    if backEndChannel == nil { try openBackEndChannel() }
    answer(from: iommu)
    iommu.invalidate = { [weak self] message in
      // A back-end that is gone has nothing to forget.
      _ = try? self?.command(.iotlbMessage, message.bytes)
    }
  }

  /// Tells the back-end one translation. Returns its acknowledgement: 0 is success.
  @discardableResult
  public func update(_ message: GuestIOMMU.Message) throws -> UInt64 {
    try command(.iotlbMessage, message.bytes)
  }

  /// Takes what the back-end asked for, and answers its misses. Returns how many were answered.
  ///
  /// - Parameter acknowledged: each answer waits for its acknowledgement.
  @discardableResult
  public func serveBackEnd(acknowledged: Bool = true) throws -> Int {
    guard let channel = backEndChannel else { return 0 }
    try channel.receive()
    var count = 0
    while let miss = channel.nextMiss() {
      guard let answer = iommu?.update(for: miss) else { continue }
      // Whoever is waiting for an answer must not get this one.
      if isAwaiting || !acknowledged {
        try send(.iotlbMessage, answer.bytes)
      } else {
        try update(answer)
      }
      count += 1
    }
    return count
  }
}
