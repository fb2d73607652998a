import Linux
import VhostUser
import Virtio

// What a real front-end says about rings.

extension ScriptedFrontEnd {
  /// How a front-end tells the beginning of a packed ring: slot 0 and wrap counter 1.
  public enum PackedBase {
    /// QEMU: of the available and of the used ring.
    public static let qemu: UInt32 = 0x8000_8000
    /// DPDK's virtio-user: of the available ring only.
    public static let dpdk: UInt32 = 0x8000
  }

  /// Tells where `queue` is and starts it at `base`; nil: at its beginning.
  public func start(_ queue: GuestQueue, index: UInt32, base: UInt32? = nil, enable: Bool = true) throws {
    let number = VringDescriptorIndex(word: UInt64(index))
    let beginning = queue.layout == .packed ? PackedBase.qemu : 0
    try send(.setVringSize, VringState(index: index, number: UInt32(queue.size)).bytes)
    try send(.setVringBase, VringState(index: index, number: base ?? beginning).bytes)
    try send(.setVringAddress, Self.addresses(queue, index: index).bytes)
    try send(.setVringKick, littleEndian(number.word), [queue.kick.raw])
    try send(.setVringCall, littleEndian(number.word), [queue.call.raw])
    if enable { try self.enable(index) }
  }

  /// The payload of SET_VRING_ADDR: the front-end's virtual addresses or, behind an IOMMU, I/O virtual ones. The log's
  /// is guest-physical.
  public static func addresses(
    _ queue: GuestQueue, index: UInt32, isLogging: Bool = false
  ) -> VringAddresses {
    func told(_ address: UInt64) -> UInt64 {
      queue.iommu == nil ? queue.ram.userAddress(address) : address
    }
    let parts = queue.deviceAddresses
    return VringAddresses(
      index: index, descriptors: told(parts.descriptors), used: told(parts.used),
      available: told(parts.available), flags: isLogging ? 1 : 0, log: queue.used)
  }

  /// Shares the driver's memory and starts all its rings, each at its base or (nil) at its beginning.
  ///
  /// - Parameter enable: how many pairs to enable; nil: all.
  public func start(_ driver: GuestDriver, bases: [UInt32]? = nil, enable: Int? = nil) throws {
    try setMemory(driver.ram)
    try startRings(driver, bases: bases, enable: enable)
  }

  /// The same for a driver whose memory is shared already.
  public func startRings(_ driver: GuestDriver, bases: [UInt32]? = nil, enable: Int? = nil) throws {
    for (index, queue) in driver.queues.enumerated() {
      try start(
        queue, index: UInt32(index), base: bases?[index], enable: index / 2 < enable ?? driver.pairs.count)
    }
  }

  public func start(_ driver: GuestDriver, bases: (UInt32, UInt32)) throws {
    try start(driver, bases: [bases.0, bases.1])
  }

  /// Stops the first `pairs` queue pairs. Returns where their rings stopped.
  public func stop(pairs: Int) throws -> [UInt32] {
    try (0..<UInt32(2 * pairs)).map { index in
      VringState(try ask(.getVringBase, VringState(index: index, number: 0).bytes)).number
    }
  }

  public func stop() throws -> (UInt32, UInt32) {
    let bases = try stop(pairs: 1)
    return (bases[0], bases[1])
  }

  /// Enables or disables one ring.
  public func enable(_ index: UInt32, _ isEnabled: Bool = true) throws {
    try send(.setVringEnable, VringState(index: index, number: isEnabled ? 1 : 0).bytes)
  }

  /// Enables or disables both rings of a pair, as a guest's `ethtool -L` makes QEMU do.
  public func enable(pair: Int, _ isEnabled: Bool = true) throws {
    for index in 2 * pair...2 * pair + 1 { try enable(UInt32(index), isEnabled) }
  }
}
