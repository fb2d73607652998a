/// An IEEE 802.1Q tag: which protocol announced it, and its control information.
@frozen
public struct VLANTag: Equatable, Hashable, Sendable {
  /// Tag protocol identifiers in EtherType position.
  public enum TPID {
    /// 802.1Q: a customer's tag.
    public static let customer: UInt16 = 0x8100
    /// 802.1ad: a provider's, the outer of two.
    public static let service: UInt16 = 0x88A8
  }

  /// Bytes a tag adds to a frame, between the source address and the EtherType.
  @inlinable public static var length: Int { 4 }

  public var tpid: UInt16
  /// Tag control information: priority (3 bits), drop eligible (1), VLAN (12).
  public var tci: UInt16

  @inlinable
  public init(tpid: UInt16 = TPID.customer, tci: UInt16) {
    self.tpid = tpid
    self.tci = tci
  }

  @inlinable public var vlan: UInt16 { tci & 0xFFF }
  @inlinable public var priority: UInt8 { UInt8(truncatingIfNeeded: tci >> 13) }
  @inlinable public var isDropEligible: Bool { tci & 0x1000 != 0 }

  /// Whether `etherType` announces a tag.
  @inlinable @inline(__always)
  public static func isTag(_ etherType: UInt16) -> Bool {
    etherType == TPID.customer || etherType == TPID.service
  }
}
