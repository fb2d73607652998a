import Linux

/// Front-end requests (vhost-user, "Front-end message types").
public enum Request: UInt32, Sendable, CaseIterable {
  case getFeatures = 1
  case setFeatures = 2
  case setOwner = 3
  case resetOwner = 4
  case setMemoryTable = 5
  case setLogBase = 6
  case setLogDescriptor = 7
  case setVringSize = 8
  case setVringAddress = 9
  case setVringBase = 10
  case getVringBase = 11
  case setVringKick = 12
  case setVringCall = 13
  case setVringError = 14
  case getProtocolFeatures = 15
  case setProtocolFeatures = 16
  case getQueueCount = 17
  case setVringEnable = 18
  case sendRARP = 19
  case netSetMTU = 20
  case setBackendRequestDescriptor = 21
  case iotlbMessage = 22
  case setVringEndian = 23
  case getConfig = 24
  case setConfig = 25
  case createCryptoSession = 26
  case closeCryptoSession = 27
  case postcopyAdvise = 28
  case postcopyListen = 29
  case postcopyEnd = 30
  case getInflightDescriptor = 31
  case setInflightDescriptor = 32
  case gpuSetSocket = 33
  case resetDevice = 34
  case vringKick = 35
  case getMaximumMemorySlots = 36
  case addMemoryRegion = 37
  case removeMemoryRegion = 38
  case setStatus = 39
  case getStatus = 40
  case getSharedObject = 41
  case setDeviceState = 42
  case checkDeviceState = 43

  /// The name in the specification, without its prefix.
  public var name: String {
    switch self {
    case .getFeatures: "GET_FEATURES"
    case .setFeatures: "SET_FEATURES"
    case .setOwner: "SET_OWNER"
    case .resetOwner: "RESET_OWNER"
    case .setMemoryTable: "SET_MEM_TABLE"
    case .setLogBase: "SET_LOG_BASE"
    case .setLogDescriptor: "SET_LOG_FD"
    case .setVringSize: "SET_VRING_NUM"
    case .setVringAddress: "SET_VRING_ADDR"
    case .setVringBase: "SET_VRING_BASE"
    case .getVringBase: "GET_VRING_BASE"
    case .setVringKick: "SET_VRING_KICK"
    case .setVringCall: "SET_VRING_CALL"
    case .setVringError: "SET_VRING_ERR"
    case .getProtocolFeatures: "GET_PROTOCOL_FEATURES"
    case .setProtocolFeatures: "SET_PROTOCOL_FEATURES"
    case .getQueueCount: "GET_QUEUE_NUM"
    case .setVringEnable: "SET_VRING_ENABLE"
    case .sendRARP: "SEND_RARP"
    case .netSetMTU: "NET_SET_MTU"
    case .setBackendRequestDescriptor: "SET_BACKEND_REQ_FD"
    case .iotlbMessage: "IOTLB_MSG"
    case .setVringEndian: "SET_VRING_ENDIAN"
    case .getConfig: "GET_CONFIG"
    case .setConfig: "SET_CONFIG"
    case .createCryptoSession: "CREATE_CRYPTO_SESSION"
    case .closeCryptoSession: "CLOSE_CRYPTO_SESSION"
    case .postcopyAdvise: "POSTCOPY_ADVISE"
    case .postcopyListen: "POSTCOPY_LISTEN"
    case .postcopyEnd: "POSTCOPY_END"
    case .getInflightDescriptor: "GET_INFLIGHT_FD"
    case .setInflightDescriptor: "SET_INFLIGHT_FD"
    case .gpuSetSocket: "GPU_SET_SOCKET"
    case .resetDevice: "RESET_DEVICE"
    case .vringKick: "VRING_KICK"
    case .getMaximumMemorySlots: "GET_MAX_MEM_SLOTS"
    case .addMemoryRegion: "ADD_MEM_REG"
    case .removeMemoryRegion: "REM_MEM_REG"
    case .setStatus: "SET_STATUS"
    case .getStatus: "GET_STATUS"
    case .getSharedObject: "GET_SHARED_OBJECT"
    case .setDeviceState: "SET_DEVICE_STATE_FD"
    case .checkDeviceState: "CHECK_DEVICE_STATE"
    }
  }
}

/// One message of either direction: a header of 12 bytes (request, flags, payload size: little-endian words), the
/// payload, and the descriptors that came with it.
public struct Message {
  public static let headerLength = 12
  /// No message exceeds this: a table of 64 memory regions takes 2056 bytes.
  public static let maximumPayload = 4096
  /// A table of 64 memory regions.
  public static let maximumDescriptors = 64

  /// Bits of the header's flags.
  public struct Flags: OptionSet, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    public static let version1 = Flags(rawValue: 1)
    public static let reply = Flags(rawValue: 4)
    public static let needReply = Flags(rawValue: 8)
    /// The two bits that hold the version.
    public static let versionMask = Flags(rawValue: 3)
  }

  /// The raw request number, which may be one nobody knows.
  public var request: UInt32
  public var flags: Flags
  public var payload: [UInt8]
  public var descriptors: [OwnedDescriptor]

  public init(
    _ request: UInt32, flags: Flags = .version1, payload: [UInt8] = [], descriptors: [OwnedDescriptor] = []
  ) {
    self.request = request
    self.flags = flags
    self.payload = payload
    self.descriptors = descriptors
  }

  public init(
    _ request: Request, flags: Flags = .version1, payload: [UInt8] = [], descriptors: [OwnedDescriptor] = []
  ) {
    self.init(request.rawValue, flags: flags, payload: payload, descriptors: descriptors)
  }

  /// The request by name, or by number if nobody knows it.
  public var requestName: String { Request(rawValue: request)?.name ?? "request \(request)" }

  /// The message as sent, without its descriptors.
  public var bytes: [UInt8] {
    littleEndian(request) + littleEndian(flags.rawValue) + littleEndian(UInt32(payload.count)) + payload
  }

  /// The little-endian number at byte `offset` of the payload, which the caller knows to be long enough.
  public func word<Word: FixedWidthInteger>(_ offset: Int, as type: Word.Type = Word.self) -> Word {
    payload[offset..<offset + MemoryLayout<Word>.size].reversed().reduce(0) { $0 << 8 | Word($1) }
  }
}

/// A descriptor received from a peer, or to be sent to one; closed with its last reference.
public final class OwnedDescriptor {
  public let raw: Int32
  private let descriptor: FileDescriptor

  public init(_ descriptor: consuming FileDescriptor) {
    raw = descriptor.raw
    self.descriptor = descriptor
  }
}

/// The bytes of `value`, least significant first.
public func littleEndian<Word: FixedWidthInteger>(_ value: Word) -> [UInt8] {
  (0..<MemoryLayout<Word>.size).map { UInt8(truncatingIfNeeded: value >> (Word($0) * 8)) }
}
