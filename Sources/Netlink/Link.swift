/// A network interface as RTM_NEWLINK describes it (rtnetlink(7)).
public struct Link: Equatable, Sendable {
  public var index: Int
  public var name: String
  /// IFF_UP: somebody wants it to work.
  public var isUp: Bool
  /// IFF_LOWER_UP: there is a carrier.
  public var hasCarrier: Bool
  /// IFF_RUNNING: up, with a carrier, and operational.
  public var isRunning: Bool
  /// Bytes of payload after the link header.
  public var mtu: Int
  /// Six colon-separated pairs; nil when it is not an Ethernet device.
  public var macAddress: String?
  /// The kind of a virtual device (`veth`, `tun`, `bridge`); nil for hardware.
  public var kind: String?
  /// Index of the bridge, bond or other device that has enslaved it.
  public var master: Int?
  /// Bits per second, where the driver knows.
  public var speed: Int64?
  public var fullDuplex: Bool?
}

/// A request the kernel refused, or a netlink socket that failed: what, on what, why.
public struct NetlinkError: Error, Equatable, CustomStringConvertible {
  public let description: String
  public init(_ description: String) { self.description = description }
}

/// `ifi_flags` (netdevice(7)); the C headers define them twice, as macros and as an enumeration.
enum LinkFlag {
  static let up: UInt32 = 0x1
  static let running: UInt32 = 0x40
  static let lowerUp: UInt32 = 0x1_0000
}
