import Packet

/// What a network device tells its driver about itself (`struct virtio_net_config`, virtio 1.3 §5.1.4).
public struct DeviceConfiguration: Equatable, Sendable {
  /// Nil: none of its own, shown as zeroes.
  public var address: MACAddress?
  public var isLinkUp: Bool
  /// The largest packet, in bytes, headers of the link not counted; nil: not advised.
  public var mtu: UInt16?

  public init(address: MACAddress? = nil, isLinkUp: Bool = true, mtu: UInt16? = nil) {
    self.address = address
    self.isLinkUp = isLinkUp
    self.mtu = mtu
  }

  /// Where the address is.
  static let addressRange = 0..<6
  /// Bytes of the structure, up to the supported hash types.
  static let length = 24

  /// The structure as the driver sees it.
  func bytes(queuePairs: Int) -> [UInt8] {
    let unknownSpeed = UInt32.max
    let unknownDuplex = UInt8.max
    return Self.addressBytes(address) + littleEndian(UInt16(isLinkUp ? 1 : 0))
      + littleEndian(UInt16(queuePairs)) + littleEndian(mtu ?? 0) + littleEndian(unknownSpeed)
      + [unknownDuplex] + [UInt8](repeating: 0, count: 7)
  }

  static func addressBytes(_ address: MACAddress?) -> [UInt8] {
    let bits = address?.bits ?? 0
    return stride(from: 40, through: 0, by: -8).map { UInt8(truncatingIfNeeded: bits >> UInt64($0)) }
  }
}

extension MACAddress {
  /// The address whose bytes are the first six of `bytes`, in the order they have on the wire.
  init(wire bytes: some Sequence<UInt8>) {
    self.init(bits: bytes.prefix(6).reduce(0) { $0 << 8 | UInt64($1) })
  }
}
