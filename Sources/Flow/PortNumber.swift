/// An OpenFlow port number in 16 bits (OpenFlow 1.0 §5.2.1): what `in_port` and `output` mean.
///
/// OpenFlow 1.1 and later write the reserved ones in 32 bits; they are the same numbers with the upper half set.
@frozen
public struct PortNumber: Hashable, Sendable, Comparable {
  public let value: UInt16

  @inlinable public init(_ value: UInt16) { self.value = value }

  /// The first number that is not an ordinary port.
  public static let firstReserved = PortNumber(0xFF00)
  /// Where a frame came from; the only way to send it back there.
  public static let inPort = PortNumber(0xFFF8)
  /// To the flow table again (from a controller's packet-out only).
  public static let table = PortNumber(0xFFF9)
  /// MAC learning.
  public static let normal = PortNumber(0xFFFA)
  /// Every port but the one a frame came from, except those that do not take part in flooding.
  public static let flood = PortNumber(0xFFFB)
  /// Every port but the one a frame came from.
  public static let all = PortNumber(0xFFFC)
  public static let controller = PortNumber(0xFFFD)
  /// The bridge's own device.
  public static let local = PortNumber(0xFFFE)
  /// No port.
  public static let none = PortNumber(0xFFFF)

  @inlinable
  public static func < (left: PortNumber, right: PortNumber) -> Bool { left.value < right.value }

  /// The reserved ones by the names of `ovs-ofctl`, in upper case.
  public static let names: [(name: String, number: PortNumber)] = [
    ("IN_PORT", .inPort), ("TABLE", .table), ("NORMAL", .normal), ("FLOOD", .flood), ("ALL", .all),
    ("CONTROLLER", .controller), ("LOCAL", .local), ("NONE", .none), ("ANY", .none),
  ]

  /// Whether it is the number of a port a frame can come from: an ordinary one, or LOCAL.
  public var isReal: Bool { self < .firstReserved || self == .local }
}

extension PortNumber: CustomStringConvertible {
  /// The reserved name in upper case, or the number.
  public var description: String {
    Self.names.first { $0.number == self }?.name ?? String(value)
  }
}
