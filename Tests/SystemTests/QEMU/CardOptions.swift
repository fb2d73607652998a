import Virtio

/// One way to set up the card of a QEMU guest: a row of the option matrix.
struct CardOptions: CustomStringConvertible {
  /// The ring layout and the generation of the device; the legacy one has no packed rings.
  enum Layout: String, CaseIterable { case split, packed, legacy }

  var layout = Layout.split
  var queues = 1
  var mergeable = true
  var offloads = true
  var indirect = true
  var eventIndex = true
  var ringSize = 256
  var role = Guest.Role.connects

  private static let levels = [Layout.allCases.count, 2, 2, 2, 2, 2, 2, 2]

  /// Rows in which any two options meet in all combinations.
  static let rows = Pairwise.rows(levels: levels).map { level in
    CardOptions(
      layout: Layout.allCases[level[0]], queues: [1, 4][level[1]], mergeable: level[2] == 0,
      offloads: level[3] == 0, indirect: level[4] == 0, eventIndex: level[5] == 0,
      ringSize: [256, 1024][level[6]], role: [.connects, .listens][level[7]])
  }

  var guest: GuestOptions {
    func off(_ isOn: Bool, _ names: String...) -> [String] { isOn ? [] : names.map { "\($0)=off" } }
    var device = ["rx_queue_size=\(ringSize)", "tx_queue_size=\(ringSize)"]
    device += layout == .legacy ? ["disable-modern=on", "disable-legacy=off"] : ["disable-legacy=on"]
    device += off(mergeable, "mrg_rxbuf") + off(indirect, "indirect_desc") + off(eventIndex, "event_idx")
    device += off(
      offloads, "csum", "guest_csum", "gso", "guest_tso4", "guest_tso6", "guest_ecn", "guest_ufo",
      "host_tso4", "host_tso6", "host_ecn", "host_ufo")
    // Without mergeable buffers the driver has one of 64 KiB ready for each slot.
    let buffers = !mergeable && offloads ? queues * ringSize * 72 / 1024 : 0
    return GuestOptions(
      role: role, device: device, queues: queues, packed: layout == .packed, megabytes: 160 + buffers,
      programs: queues > 1 ? ["ethtool"] : [])
  }

  /// What has to be negotiated, and what must not.
  var features: (wanted: VirtioFeatures, unwanted: VirtioFeatures) {
    var wanted: VirtioFeatures = []
    var unwanted: VirtioFeatures = []
    func sort(_ isOn: Bool, _ features: VirtioFeatures) {
      if isOn { wanted.formUnion(features) } else { unwanted.formUnion(features) }
    }
    sort(layout != .legacy, .version1)
    sort(layout == .packed, .packedRing)
    sort(mergeable, .mergeableReceiveBuffers)
    sort(offloads, [.checksum, .guestChecksum, .hostTSO4, .hostTSO6, .guestTSO4, .guestTSO6])
    sort(indirect, .indirectDescriptors)
    sort(eventIndex, .eventIndex)
    return (wanted, unwanted)
  }

  /// Rows of the table of what works with which front-end.
  var matrixFeatures: [String] {
    [
      layout == .legacy ? "legacy header" : "modern header",
      layout == .packed ? "packed ring" : "split ring",
      mergeable ? "mergeable buffers" : "no mergeable buffers",
      offloads ? "offloads" : "no offloads",
      role == .connects ? "switch listens" : "switch connects",
    ] + (queues > 1 ? ["\(queues) queues"] : [])
      + (indirect && eventIndex ? ["indirect and event index"] : [])
      + (!indirect && !eventIndex ? ["no indirect, no event index"] : [])
  }

  var description: String {
    "\(layout), \(queues) queues of \(ringSize), mergeable \(mergeable), offloads \(offloads), "
      + "indirect \(indirect), event index \(eventIndex), QEMU \(role)"
  }
}
