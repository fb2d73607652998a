import Testing

/// A kind of virtio-user port, and what a pair of them does in turn.
struct TestpmdRow: CustomTestStringConvertible {
  let device: VirtioUser
  let modes: [Testpmd.Mode]

  var testDescription: String {
    "\(device.role == .listens ? "server" : "client"), \(device.isPacked ? "packed" : "split")"
      + (device.isInOrder ? ", in order" : "") + (device.isMergeable ? ", mergeable" : "")
      + (device.isVectorized ? ", vectorized" : "") + ", \(device.queues) x \(device.ringSize)"
  }

  /// The rows of the matrix this one belongs to.
  var features: [String] {
    var features = [
      device.role == .listens ? "switch connects" : "switch listens",
      device.isPacked ? "packed ring" : "split ring",
      device.isMergeable ? "mergeable buffers" : "no mergeable buffers", "ring sizes 64 to 1024",
    ]
    if device.isInOrder { features.append("in-order") }
    if device.isVectorized { features.append("vectorized") }
    if device.queues == 4 { features.append("4 queues") }
    return features
  }

  private enum Property { case packed, inOrder, mergeable, vectorized }

  private init(
    _ role: Guest.Role, _ properties: Set<Property>, _ queues: Int, _ ringSize: Int, _ modes: Testpmd.Mode...
  ) {
    device = VirtioUser(
      role: role, isPacked: properties.contains(.packed), isInOrder: properties.contains(.inOrder),
      isMergeable: properties.contains(.mergeable), isVectorized: properties.contains(.vectorized),
      queues: queues, ringSize: ringSize)
    self.modes = modes
  }

  /// Any two values of any two columns meet in a row, where the driver allows it.
  static let all = [
    TestpmdRow(.connects, [.inOrder, .mergeable], 1, 256, .mac, .txonly),
    TestpmdRow(.listens, [.vectorized], 1, 1024, .io, .rxonly),
    TestpmdRow(.connects, [.packed, .inOrder, .vectorized], 1, 64, .rxonly, .mac),
    TestpmdRow(.listens, [.packed, .mergeable], 1, 256, .rxonly, .txonly),
    TestpmdRow(.connects, [.mergeable], 1, 64, .flowgen, .io, .txonly),
    TestpmdRow(.listens, [.packed, .inOrder, .mergeable], 1, 1024, .mac, .flowgen),
    TestpmdRow(.connects, [.packed, .inOrder, .mergeable], 4, 1024, .txonly, .io),
    TestpmdRow(.listens, [.inOrder], 4, 64, .rxonly, .mac),
    TestpmdRow(.connects, [.packed], 4, 256, .flowgen, .rxonly),
    TestpmdRow(.listens, [.packed, .inOrder, .vectorized], 4, 256, .io, .txonly),
    TestpmdRow(.connects, [.vectorized], 4, 1024, .mac, .flowgen),
    TestpmdRow(.listens, [.inOrder, .mergeable], 4, 1024, .flowgen),
  ]

  /// Whether frames have to be sent before any port of the same testpmd was in mode flowgen.
  ///
  /// DPDK 22.11's vector code for packed rings does not write the offload header where the descriptor says it is, but as
  /// many bytes before: the switch finds what the buffer held before, and that is no header where flowgen had it.
  var precedesFlowgen: Bool { device.isPacked && device.isVectorized }

  /// Those that listen come first: they can start before the switch.
  static func reconnecting(queues: Int) -> [TestpmdRow] {
    [
      TestpmdRow(.listens, [.mergeable], queues, 256, .mac, .flowgen),
      TestpmdRow(.listens, [.packed, .inOrder, .mergeable], queues, 256, .mac, .flowgen),
      TestpmdRow(.connects, [.inOrder, .mergeable], queues, 256, .mac, .flowgen),
      TestpmdRow(.connects, [.packed, .mergeable], queues, 256, .mac, .flowgen),
    ]
  }

  /// One text for each value of each column; the mode is the last.
  func values(_ mode: Testpmd.Mode) -> [String] {
    [
      "role \(device.role)", "packed \(device.isPacked)", "in order \(device.isInOrder)",
      "mergeable \(device.isMergeable)", "vectorized \(device.isVectorized)", "queues \(device.queues)",
      "ring \(device.ringSize)", "mode \(mode)",
    ]
  }
}
