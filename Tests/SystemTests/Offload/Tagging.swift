import PacketTesting

/// How frames are tagged where they enter and where they leave.
struct Tagging {
  let name: String
  /// The VLAN they are in; 0 for none.
  let vlan: Int
  /// Their tags, outermost first.
  let entering: [[UInt8]]
  let leaving: [[UInt8]]
  /// Which ports are access ports of the VLAN; all others are trunks.
  enum Access { case none, sources, sinks }
  var access = Access.none
  /// The MTU for which their headers leave room.
  var mtu = 1500

  static let untagged = Tagging(name: "untagged", vlan: 0, entering: [], leaving: [])
  static let trunkToTrunk = Tagging(
    name: "trunk to trunk", vlan: 5, entering: [.tag(5, priority: 3)], leaving: [.tag(5, priority: 3)])

  static let all = [
    untagged, trunkToTrunk,
    Tagging(
      name: "trunk to access", vlan: 5, entering: [.tag(5, priority: 3)], leaving: [], access: .sinks),
    Tagging(name: "access to trunk", vlan: 5, entering: [], leaving: [.tag(5)], access: .sources),
    // A priority tag names no VLAN (IEEE 802.1Q §6.9): it is taken off if it says nothing else, and its priority stays.
    Tagging(name: "priority 0 to untagged", vlan: 0, entering: [.tag(0)], leaving: []),
    Tagging(
      name: "priority to priority", vlan: 0, entering: [.tag(0, priority: 3)], leaving: [.tag(0, priority: 3)]
    ),
    Tagging(
      name: "priority to trunk", vlan: 5, entering: [.tag(0, priority: 3)], leaving: [.tag(5, priority: 3)],
      access: .sources),
    // An MTU leaves room for one 802.1Q tag; Linux does not for an 802.1ad one.
    Tagging(
      name: "double tag", vlan: 5, entering: [.serviceTag(5), .tag(6, priority: 1)],
      leaving: [.serviceTag(5), .tag(6, priority: 1)], mtu: 1492),
  ]
}

extension [UInt8] {
  /// An IEEE 802.1Q tag.
  static func tag(_ vlan: Int, priority: Int = 0) -> [UInt8] {
    [0x81, 0x00, UInt8(priority << 5 | vlan >> 8), UInt8(vlan & 0xFF)]
  }

  /// An IEEE 802.1ad tag.
  static func serviceTag(_ vlan: Int) -> [UInt8] { [0x88, 0xA8, UInt8(vlan >> 8), UInt8(vlan & 0xFF)] }
}
