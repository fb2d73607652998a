/// What the ports of a soak send to each other. Each kind is made so that every frame has a known number of copies,
/// whatever the switch has learned, forgotten or been told meanwhile.
enum Flow {
  /// Two ports in a VLAN of their own: known, unknown or broadcast, a frame can only go to the other one. Addresses move
  /// between the two.
  case pair
  /// The same, with tags, while the VLANs that the ports carry change: a frame arrives, or is dropped by name.
  case trunks
  /// Four ports, and only frames to groups and to addresses nobody has: three copies.
  case flood

  /// How many ports each frame goes to.
  var copies: Int {
    switch self {
    case .pair, .trunks: 1
    case .flood: 3
    }
  }

  /// The ports of a soak, by name.
  static let ports: [(name: String, flow: Flow)] = [
    ("pair0", .pair), ("pair1", .pair), ("trunk0", .trunks), ("trunk1", .trunks), ("flood0", .flood),
    ("flood1", .flood), ("flood2", .flood), ("flood3", .flood),
  ]

  /// What marks a frame as belonging to this flow; the byte after the EtherType.
  var mark: UInt8 {
    switch self {
    case .pair: 0xA1
    case .trunks: 0xB2
    case .flood: 0xC3
    }
  }
}
