import Linux
import VhostUser
import Virtio

/// What Interface.status shows of a vhost-user port, under OVS's names where it has one.
enum VhostUserStatus {
  /// All that is shown, without where it comes from.
  struct Facts {
    var role: VhostUserOptions.Role
    var socket: String
    var polling: VhostUserOptions.Polling
    /// Bytes after the Ethernet header.
    var mtu: Int
    /// How often a front-end came and went since the port was made.
    var connects: UInt64 = 0
    var disconnects: UInt64 = 0
    /// Why the last one went: half a sentence.
    var lastDisconnectReason: String?
    /// When the last one came or went (`WallClock.seconds`); nil while none has.
    var changed: Int?
    /// Nil while there is no front-end.
    var session: SessionFacts?

    init(_ options: VhostUserOptions, mtu: Int) {
      role = options.role
      socket = options.socket
      polling = options.polling
      self.mtu = mtu
    }
  }

  /// What a front-end and the switch have agreed on.
  struct SessionFacts {
    /// Nil before they are acknowledged.
    var features: VirtioFeatures?
    var protocolFeatures: ProtocolFeatures = []
    /// Entries of each ring in use, in the order of ring numbers.
    var rings: [(number: Int, size: UInt32)] = []
    /// The size of each region of guest memory in bytes.
    var regions: [UInt64] = []
  }

  /// - Returns: the pairs of Interface.status.
  static func details(_ facts: Facts) -> [String: String] {
    var details = [
      "mode": facts.role.rawValue,
      "socket": facts.socket,
      "status": facts.session == nil ? "disconnected" : "connected",
      "polling": facts.polling.rawValue,
      "mtu": String(facts.mtu),
      "connects": String(facts.connects),
      "disconnects": String(facts.disconnects),
    ]
    details["last_disconnect_reason"] = facts.lastDisconnectReason
    if let changed = facts.changed {
      details[facts.session == nil ? "disconnected_since" : "connected_since"] = WallClock.text(changed)
    }
    guard let session = facts.session else { return details }
    details.merge(agreement(session)) { $1 }
    details.merge(rings(session.rings)) { $1 }
    return details
  }

  private static func agreement(_ session: SessionFacts) -> [String: String] {
    let features = session.features ?? []
    return [
      "features": hexadecimal(features.rawValue),
      "feature_names": features.names.joined(separator: ","),
      "protocol_features": session.protocolFeatures.names.joined(separator: ","),
      "ring_layout": features.contains(.packedRing) ? "packed" : "split",
      "dirty_logging": features.contains(.logAll) ? "true" : "false",
      "viommu": features.contains(.accessPlatform) ? "true" : "false",
      // Regions do not overlap in the 64-bit space of addresses; still, this is a front-end's arithmetic.
      "memory_bytes": String(session.regions.reduce(0, &+)),
      "memory_regions": String(session.regions.count),
    ]
  }

  private static func rings(_ rings: [(number: Int, size: UInt32)]) -> [String: String] {
    var details = [
      "num_of_vrings": String(rings.count),
      "queue_pairs": String(Set(rings.map { $0.number / 2 }).count),
    ]
    for ring in rings { details["vring_\(ring.number)_size"] = String(ring.size) }
    return details
  }

  private static func hexadecimal(_ word: UInt64) -> String {
    let digits = String(word, radix: 16)
    return "0x" + String(repeating: "0", count: 16 - digits.count) + digits
  }
}

extension VhostUserStatus.SessionFacts {
  init(_ session: Session) {
    features = session.features
    protocolFeatures = session.protocolFeatures
    rings = session.vrings.indices.filter(session.isUsable).map { ($0, session.vrings[$0].size) }
    regions = session.memory?.descriptions.map(\.size) ?? []
  }
}
