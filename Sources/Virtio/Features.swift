import Packet

/// Feature bits a virtio network device and its driver negotiate (virtio 1.3 §5.1.3 and §6).
public struct VirtioFeatures: OptionSet, Sendable, Hashable {
  public let rawValue: UInt64
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  private init(bit: Int) { rawValue = 1 << UInt64(bit) }

  /// VIRTIO_NET_F_CSUM: the device completes partial checksums.
  public static let checksum = VirtioFeatures(bit: 0)
  /// VIRTIO_NET_F_GUEST_CSUM: the driver takes frames with partial checksums.
  public static let guestChecksum = VirtioFeatures(bit: 1)
  /// VIRTIO_NET_F_MTU: the device advises a maximum MTU.
  public static let mtu = VirtioFeatures(bit: 3)
  /// VIRTIO_NET_F_GUEST_TSO4, …: the driver takes unsegmented frames.
  public static let guestTSO4 = VirtioFeatures(bit: 7)
  public static let guestTSO6 = VirtioFeatures(bit: 8)
  public static let guestECN = VirtioFeatures(bit: 9)
  /// VIRTIO_NET_F_HOST_TSO4, …: the device takes unsegmented frames.
  public static let hostTSO4 = VirtioFeatures(bit: 11)
  public static let hostTSO6 = VirtioFeatures(bit: 12)
  public static let hostECN = VirtioFeatures(bit: 13)
  /// VIRTIO_NET_F_MRG_RXBUF: one frame may be spread over several receive buffers.
  public static let mergeableReceiveBuffers = VirtioFeatures(bit: 15)
  /// VIRTIO_NET_F_STATUS: the device says whether its link is up.
  public static let linkStatus = VirtioFeatures(bit: 16)
  /// VIRTIO_NET_F_CTRL_VQ: there is a control queue, which the front-end serves itself.
  public static let controlQueue = VirtioFeatures(bit: 17)
  /// VIRTIO_NET_F_GUEST_ANNOUNCE: the driver announces itself when asked to, after migration.
  public static let guestAnnounce = VirtioFeatures(bit: 21)
  /// VIRTIO_NET_F_MQ: several queue pairs.
  public static let multiqueue = VirtioFeatures(bit: 22)
  /// VHOST_F_LOG_ALL: every write to guest memory is logged, for live migration.
  public static let logAll = VirtioFeatures(bit: 26)
  /// VIRTIO_F_ANY_LAYOUT: the header may share a descriptor with the frame (implied by VERSION_1).
  public static let anyLayout = VirtioFeatures(bit: 27)
  /// VIRTIO_F_INDIRECT_DESC: a descriptor may refer to a table of descriptors.
  public static let indirectDescriptors = VirtioFeatures(bit: 28)
  /// VIRTIO_F_EVENT_IDX: either side names the ring index at which it wants the next notification.
  public static let eventIndex = VirtioFeatures(bit: 29)
  /// VHOST_USER_F_PROTOCOL_FEATURES: the front-end knows protocol features; rings then start disabled.
  public static let protocolFeatures = VirtioFeatures(bit: 30)
  /// VIRTIO_F_VERSION_1: not a legacy device.
  public static let version1 = VirtioFeatures(bit: 32)
  /// VIRTIO_F_ACCESS_PLATFORM: addresses go through the platform's IOMMU.
  public static let accessPlatform = VirtioFeatures(bit: 33)
  /// VIRTIO_F_RING_PACKED: virtqueues have the packed layout.
  public static let packedRing = VirtioFeatures(bit: 34)
  /// VIRTIO_F_IN_ORDER: buffers come back in the order they were offered. That is how this device works anyway; said
  /// aloud, it lets a driver leave its descriptors where they are.
  public static let inOrder = VirtioFeatures(bit: 35)
  /// VIRTIO_NET_F_GUEST_USO4, …: the driver takes several UDP datagrams as one frame.
  public static let guestUSO4 = VirtioFeatures(bit: 54)
  public static let guestUSO6 = VirtioFeatures(bit: 55)
  /// VIRTIO_NET_F_HOST_USO: the device takes them.
  public static let hostUSO = VirtioFeatures(bit: 56)

  /// Everything implemented here for a network device behind vhost-user.
  public static let implemented: VirtioFeatures = [
    .checksum, .guestChecksum, .mtu, .guestTSO4, .guestTSO6, .guestECN, .hostTSO4, .hostTSO6, .hostECN,
    .mergeableReceiveBuffers, .linkStatus, .controlQueue, .guestAnnounce, .multiqueue, .logAll, .anyLayout,
    .indirectDescriptors, .eventIndex, .protocolFeatures, .version1, .accessPlatform, .packedRing, .inOrder,
    .guestUSO4, .guestUSO6, .hostUSO,
  ]

  /// What the driver takes unfinished.
  public var driverAccepts: OffloadCapabilities {
    guard contains(.guestChecksum) else { return [] }
    var capabilities: OffloadCapabilities = .checksum
    if contains(.guestTSO4) { capabilities.insert(.tcp4) }
    if contains(.guestTSO6) { capabilities.insert(.tcp6) }
    if contains(.guestECN) { capabilities.insert(.ecn) }
    if contains([.guestUSO4, .guestUSO6]) { capabilities.insert(.udp) }
    return capabilities
  }

  /// What the driver may leave unfinished for the device.
  public var driverMayRequest: OffloadCapabilities {
    guard contains(.checksum) else { return [] }
    var capabilities: OffloadCapabilities = .checksum
    if contains(.hostTSO4) { capabilities.insert(.tcp4) }
    if contains(.hostTSO6) { capabilities.insert(.tcp6) }
    if contains(.hostECN) { capabilities.insert(.ecn) }
    if contains(.hostUSO) { capabilities.insert(.udp) }
    return capabilities
  }
}
