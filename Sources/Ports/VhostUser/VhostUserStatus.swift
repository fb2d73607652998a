import VhostUser
import Virtio

/// What Interface.status shows of a vhost-user port, under OVS's names.
enum VhostUserStatus {
  static func details(_ options: VhostUserOptions, _ session: Session?, mtu: Int) -> [String: String] {
    var details = [
      "mode": options.role.rawValue,
      "socket": options.socket,
      "status": session == nil ? "disconnected" : "connected",
      "mtu": String(mtu),
    ]
    guard let session else { return details }
    let features = String(session.features?.rawValue ?? 0, radix: 16)
    details["features"] = "0x" + String(repeating: "0", count: 16 - features.count) + features
    let vrings = session.vrings.enumerated().filter { $0.element.size > 0 }
    details["num_of_vrings"] = String(vrings.count)
    for (index, vring) in vrings { details["vring_\(index)_size"] = String(vring.size) }
    return details
  }
}
