/// What front-end and back-end can say to each other (vhost-user, "Protocol features").
public struct ProtocolFeatures: OptionSet, Sendable, Hashable {
  public let rawValue: UInt64
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  private init(bit: Int) { rawValue = 1 << UInt64(bit) }

  /// VHOST_USER_PROTOCOL_F_MQ: GET_QUEUE_NUM.
  public static let multiqueue = ProtocolFeatures(bit: 0)
  /// VHOST_USER_PROTOCOL_F_LOG_SHMFD: SET_LOG_BASE and SET_LOG_FD.
  public static let logSharing = ProtocolFeatures(bit: 1)
  /// VHOST_USER_PROTOCOL_F_RARP: SEND_RARP.
  public static let announcement = ProtocolFeatures(bit: 2)
  /// VHOST_USER_PROTOCOL_F_REPLY_ACK: every request can ask for an acknowledgement.
  public static let replyAcknowledgement = ProtocolFeatures(bit: 3)
  /// VHOST_USER_PROTOCOL_F_NET_MTU: NET_SET_MTU.
  public static let netMTU = ProtocolFeatures(bit: 4)
  /// VHOST_USER_PROTOCOL_F_BACKEND_REQ: SET_BACKEND_REQ_FD, a socket for the back-end's own requests.
  public static let backendRequests = ProtocolFeatures(bit: 5)
  /// VHOST_USER_PROTOCOL_F_CONFIG: GET_CONFIG and SET_CONFIG.
  public static let configuration = ProtocolFeatures(bit: 9)
  /// VHOST_USER_PROTOCOL_F_RESET_DEVICE: RESET_DEVICE.
  public static let resetDevice = ProtocolFeatures(bit: 13)
  /// VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS: memory regions come and go one by one.
  public static let memorySlots = ProtocolFeatures(bit: 15)
  /// VHOST_USER_PROTOCOL_F_STATUS: SET_STATUS and GET_STATUS.
  public static let status = ProtocolFeatures(bit: 16)

  public static let implemented: ProtocolFeatures = [
    .multiqueue, .logSharing, .announcement, .replyAcknowledgement, .netMTU, .backendRequests, .configuration,
    .resetDevice, .memorySlots, .status,
  ]
}

/// Bits of the virtio device status (virtio 1.3 §2.1).
public struct DeviceStatus: OptionSet, Sendable, Hashable {
  public let rawValue: UInt8
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  public static let acknowledge = DeviceStatus(rawValue: 1)
  public static let driver = DeviceStatus(rawValue: 2)
  public static let driverOK = DeviceStatus(rawValue: 4)
  public static let featuresOK = DeviceStatus(rawValue: 8)
  public static let needsReset = DeviceStatus(rawValue: 64)
  public static let failed = DeviceStatus(rawValue: 128)
}
