/// What the kernel says about a network interface.
public struct LinkState: Equatable, Sendable {
  public var index: Int
  public var name: String
  /// IFF_UP: somebody wants it to work.
  public var isUp: Bool
  /// IFF_RUNNING: it does work; there is a carrier.
  public var isRunning: Bool
  /// Bytes of payload after the Ethernet header.
  public var mtu: Int
  /// Six colon-separated pairs; nil when it is not an Ethernet device.
  public var macAddress: String?
  /// Bits per second, where known.
  public var speed: Int64?
  public var fullDuplex: Bool?
  /// The kind of a virtual device (`veth`, `tun`, `bridge`); nil for hardware.
  public var kind: String?
  /// The bridge, bond or other device that has enslaved it.
  public var master: String?

  public init(
    index: Int, name: String, isUp: Bool, isRunning: Bool, mtu: Int, macAddress: String? = nil,
    speed: Int64? = nil, fullDuplex: Bool? = nil, kind: String? = nil, master: String? = nil
  ) {
    self.index = index
    self.name = name
    self.isUp = isUp
    self.isRunning = isRunning
    self.mtu = mtu
    self.macAddress = macAddress
    self.speed = speed
    self.fullDuplex = fullDuplex
    self.kind = kind
    self.master = master
  }
}

/// Follows the interfaces of this process's network namespace, on the control thread.
public protocol LinkSource: AnyObject {
  func link(named name: String) -> LinkState?
  func link(index: Int) -> LinkState?
  /// Calls `body` after any interface appeared, changed or went, until the result is called.
  func observe(_ body: @escaping () -> Void) -> () -> Void
}
