/// Which VLANs a port carries, and how frames are tagged on its wire: Port.vlan_mode, tag and trunks.
///
/// Frames inside the bridge always belong to one VLAN, 0 to 4095; 0 is "no VLAN" and is what untagged and
/// priority-tagged frames belong to on a trunk.
public struct VLANConfiguration: Equatable, Sendable {
  public enum Mode: String, Sendable, CaseIterable {
    /// One VLAN, untagged on the wire; tagged frames (other than priority tags) are not accepted.
    case access
    /// The VLANs of `trunks`, tagged on the wire; VLAN 0 untagged.
    case trunk
    /// A trunk whose `tag` is its untagged VLAN, and accepted tagged too, and sent tagged.
    case nativeTagged = "native-tagged"
    /// A trunk whose `tag` is its untagged VLAN.
    case nativeUntagged = "native-untagged"
  }

  public let mode: Mode
  /// The access or native VLAN, 0 to 4095.
  public let tag: Int
  /// VLANs carried by a trunk; empty means all.
  public let trunks: Set<Int>

  /// As Open vSwitch defaults: without `mode`, a `tag` makes an access port and anything else a trunk.
  public init(mode: Mode? = nil, tag: Int? = nil, trunks: Set<Int> = []) {
    self.mode = mode ?? (tag == nil ? .trunk : .access)
    self.tag = tag ?? 0
    self.trunks = trunks
  }

  /// Whether frames of `vlan` enter and leave by this port.
  public func carries(_ vlan: Int) -> Bool {
    switch mode {
    case .access: return vlan == tag
    case .trunk: return trunks.isEmpty || trunks.contains(vlan)
    case .nativeTagged, .nativeUntagged: return vlan == tag || trunks.isEmpty || trunks.contains(vlan)
    }
  }

  /// Whether frames of `vlan` carry a tag on this port's wire.
  public func tags(_ vlan: Int) -> Bool {
    switch mode {
    case .access: return false
    case .trunk, .nativeTagged: return vlan != 0
    case .nativeUntagged: return vlan != tag && vlan != 0
    }
  }
}
