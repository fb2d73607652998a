import Glibc
import Linux
import VhostUser
import Virtio

/// What a vhost-user port takes from its Interface row.
struct VhostUserOptions: Equatable {
  /// Which end makes the connection; either way the switch is the back-end.
  enum Role: String {
    case server, client
  }

  /// When poll threads look at the port's queues.
  enum Polling: String, CaseIterable {
    /// Under load; a queue without frames is slept on until the guest kicks.
    case adaptive
    /// At every moment: guests never have to kick.
    case always
  }

  var role: Role
  var socket: String
  var owner: uid_t?
  var group: gid_t?
  var mode: mode_t?
  /// Queue pairs served at most.
  var queuePairs: Int
  /// Not to be offered; with each what cannot be without it.
  var disabledFeatures: VirtioFeatures
  var polling: Polling

  var isAlwaysPolled: Bool { polling == .always }

  /// What the guest is offered of `implemented`.
  func offeredFeatures(of implemented: VirtioFeatures = .implemented) -> VirtioFeatures {
    implemented.subtracting(disabledFeatures)
  }

  /// What the front-end is offered of `implemented`: nothing whose only use is a feature that is disabled.
  func offeredProtocolFeatures(of implemented: ProtocolFeatures = .implemented) -> ProtocolFeatures {
    let uses: [(protocolFeature: ProtocolFeatures, feature: VirtioFeatures)] = [
      (.multiqueue, .multiqueue), (.netMTU, .mtu), (.logSharing, .logAll),
    ]
    let useless = uses.filter { disabledFeatures.contains($0.feature) }.map(\.protocolFeature)
    return implemented.subtracting(ProtocolFeatures(useless))
  }

  init(_ configuration: PortConfiguration) throws(PortError) {
    (role, socket) = try Self.endpoint(configuration)
    owner = try Self.identifier(configuration, "socket-owner", "user", Accounts.user)
    group = try Self.identifier(configuration, "socket-group", "group", Accounts.group)
    if let text = configuration.options["socket-mode"] {
      guard let value = mode_t(text, radix: 8), value <= 0o777 else {
        throw PortError(
          "\(configuration.name): options:socket-mode is \(text); use an octal mode such as 0660")
      }
      mode = value
    }
    disabledFeatures = try Self.disabledFeatures(configuration)
    let limit = try Self.queueLimit(configuration)
    queuePairs = disabledFeatures.contains(.multiqueue) ? 1 : limit
    polling = try Self.polling(configuration)
  }

  private static func endpoint(_ configuration: PortConfiguration) throws(PortError) -> (Role, String) {
    let role: Role
    let socket: String
    if configuration.kind == .vhostUserClient {
      guard let path = configuration.options["vhost-server-path"], !path.isEmpty else {
        throw PortError(
          "\(configuration.name): options:vhost-server-path is missing; set it to the socket QEMU listens on")
      }
      (role, socket) = (.client, path)
    } else {
      guard !configuration.name.contains("/") else {
        throw PortError("\(configuration.name): a vhost-user port's name is a file name and has no slash")
      }
      (role, socket) = (.server, "\(configuration.runDirectory)/\(configuration.name)")
    }
    guard socket.utf8.count <= UnixSocket.maximumPathLength else {
      throw PortError(
        "\(configuration.name): the socket path \(socket) has more than \(UnixSocket.maximumPathLength) bytes; "
          + "use a shorter directory or name")
    }
    return (role, socket)
  }

  /// A numeric identifier, or a name that `lookup` knows.
  private static func identifier(
    _ configuration: PortConfiguration, _ key: String, _ kind: String, _ lookup: (String) -> UInt32?
  ) throws(PortError) -> UInt32? {
    guard let text = configuration.options[key], !text.isEmpty else { return nil }
    if let number = UInt32(text) ?? lookup(text) { return number }
    throw PortError("\(configuration.name): options:\(key) is \(text), and there is no such \(kind)")
  }

  /// The smallest of all limits given: Open vSwitch has one for each direction.
  private static func queueLimit(_ configuration: PortConfiguration) throws(PortError) -> Int {
    var limit = 128
    for key in ["queues", "n_rxq", "n_txq"] {
      guard let text = configuration.options[key], !text.isEmpty else { continue }
      guard let value = Int(text), (1...128).contains(value) else {
        throw PortError(
          "\(configuration.name): options:\(key) is \(text); a vhost-user port has 1 to 128 queue pairs")
      }
      limit = min(limit, value)
    }
    return limit
  }

  /// Reads `NAME[,NAME]...`; blanks separate too.
  private static func disabledFeatures(_ configuration: PortConfiguration) throws(PortError)
    -> VirtioFeatures
  {
    var features: VirtioFeatures = []
    let text = configuration.options["disable-features"] ?? ""
    for name in text.split(whereSeparator: { $0 == "," || $0 == " " }) {
      guard let named = VirtioFeatures(named: String(name)) else {
        throw PortError(
          "\(configuration.name): options:disable-features names \(name), which is not one of "
            + VirtioFeatures.selectableNames.joined(separator: ", "))
      }
      features.formUnion(named)
    }
    return features.withDependents
  }

  private static func polling(_ configuration: PortConfiguration) throws(PortError) -> Polling {
    guard let text = configuration.options["polling"], !text.isEmpty else { return .adaptive }
    if let polling = Polling(rawValue: text) { return polling }
    throw PortError("\(configuration.name): options:polling is \(text); use adaptive or always")
  }
}
