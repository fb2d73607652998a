/// Feature bits by name, and what depends on what.
extension VirtioFeatures {
  /// Every bit there may be talk of, with the name of QEMU's property for it where there is one (`csum=off`), else the
  /// specification's in lower case.
  public static let names: [(bit: Int, name: String)] = [
    (0, "csum"), (1, "guest_csum"), (3, "mtu"), (7, "guest_tso4"), (8, "guest_tso6"), (9, "guest_ecn"),
    (10, "guest_ufo"), (11, "host_tso4"), (12, "host_tso6"), (13, "host_ecn"), (14, "host_ufo"),
    (15, "mrg_rxbuf"), (16, "status"), (17, "ctrl_vq"), (21, "guest_announce"), (22, "mq"), (26, "log_all"),
    (27, "any_layout"), (28, "indirect_desc"), (29, "event_idx"), (30, "protocol_features"),
    (32, "version_1"),
    (33, "iommu_platform"), (34, "packed"), (35, "in_order"), (54, "guest_uso4"), (55, "guest_uso6"),
    (56, "host_uso"),
  ]

  /// Several at once. Both directions: what the guest may leave to the switch, and what the switch to the guest.
  private static let groups: [(name: String, members: [String])] = [
    ("tso", ["host_tso4", "host_tso6", "host_ecn", "guest_tso4", "guest_tso6", "guest_ecn"]),
    ("ufo", ["host_ufo", "guest_ufo"]),
    ("uso", ["host_uso", "guest_uso4", "guest_uso6"]),
    ("gso", ["tso", "ufo", "uso"]),
    ("offloads", ["csum", "guest_csum"]),
    ("iommu", ["iommu_platform"]),
    ("migration", ["log_all"]),
  ]

  /// Without these no front-end of today gets far.
  private static let indispensable: VirtioFeatures = [.protocolFeatures, .version1]

  /// All names `init(named:)` takes: groups, and then single features.
  public static var selectableNames: [String] {
    groups.map(\.name)
      + names.filter { !indispensable.contains(VirtioFeatures(rawValue: 1 << UInt64($0.bit))) }.map(\.name)
  }

  /// The features a name of `selectableNames` stands for; nil if it is none.
  public init?(named name: String) {
    guard Self.selectableNames.contains(name) else { return nil }
    if let group = Self.groups.first(where: { $0.name == name }) {
      self = group.members.reduce(into: []) { $0.formUnion(VirtioFeatures(named: $1) ?? []) }
    } else {
      rawValue = Self.names.first { $0.name == name }.map { 1 << UInt64($0.bit) } ?? 0
    }
  }

  /// The names of the features in the order of their bits; "bit 61" for one without a name.
  public var names: [String] {
    (0..<64).filter { rawValue >> UInt64($0) & 1 == 1 }.map { bit in
      Self.names.first { $0.bit == bit }?.name ?? "bit \(bit)"
    }
  }

  /// A feature, and those of which it needs one (virtio 1.3 §5.1.3.1).
  private static let requirements: [(feature: VirtioFeatures, anyOf: VirtioFeatures)] = [
    (.guestTSO4, .guestChecksum), (.guestTSO6, .guestChecksum), (.guestUSO4, .guestChecksum),
    (.guestUSO6, .guestChecksum), (VirtioFeatures(rawValue: 1 << 10), .guestChecksum),
    (.guestECN, [.guestTSO4, .guestTSO6]),
    (.hostTSO4, .checksum), (.hostTSO6, .checksum), (.hostUSO, .checksum),
    (VirtioFeatures(rawValue: 1 << 14), .checksum),
    (.hostECN, [.hostTSO4, .hostTSO6]),
    (.guestAnnounce, .controlQueue), (.multiqueue, .controlQueue),
  ]

  /// These, and what makes no sense in a device that has none of these.
  public var withDependents: VirtioFeatures {
    var features = self
    // A requirement stands before what needs it in turn.
    for (feature, anyOf) in Self.requirements where features.isSuperset(of: anyOf) {
      features.formUnion(feature)
    }
    return features
  }
}
