import Packet
import VhostUser

// What a real front-end says about the device as a whole.

extension ScriptedFrontEnd {
  /// GET_QUEUE_NUM: the queue pairs a back-end has.
  public func queuePairs() throws -> UInt64 { try askNumber(.getQueueCount) }

  /// SEND_RARP: a guest with this address has arrived.
  public func announce(_ address: [UInt8]) throws {
    precondition(address.count == 6, "an Ethernet address has 6 bytes")
    try send(.sendRARP, address + [0, 0])
  }

  /// NET_SET_MTU. Returns the acknowledgement: 0 is success.
  @discardableResult
  public func setMTU(_ bytes: UInt64) throws -> UInt64 { try command(.netSetMTU, littleEndian(bytes)) }

  /// SET_STATUS: the device status as the driver wrote it (virtio 1.3 §2.1).
  public func setStatus(_ status: DeviceStatus) throws {
    try send(.setStatus, littleEndian(UInt64(status.rawValue)))
  }

  public func status() throws -> UInt64 { try askNumber(.getStatus) }

  /// RESET_DEVICE.
  public func resetDevice() throws { try send(.resetDevice) }

  /// GET_CONFIG: `count` bytes of the device's configuration (virtio 1.3 §5.1.4) from `offset`; empty when refused.
  public func configuration(_ count: Int, offset: Int = 0) throws -> [UInt8] {
    let request = Self.configuration([UInt8](repeating: 0, count: count), offset: offset)
    return Array(try ask(.getConfig, request).payload.dropFirst(12))
  }

  /// SET_CONFIG. Returns the acknowledgement: 0 is success.
  @discardableResult
  public func setConfiguration(_ bytes: [UInt8], offset: Int = 0) throws -> UInt64 {
    try command(.setConfig, Self.configuration(bytes, offset: offset))
  }

  /// The payload of both: offset, size, flags, then the bytes.
  public static func configuration(_ bytes: [UInt8], offset: Int) -> [UInt8] {
    littleEndian(UInt32(offset)) + littleEndian(UInt32(bytes.count)) + littleEndian(0 as UInt32) + bytes
  }
}
