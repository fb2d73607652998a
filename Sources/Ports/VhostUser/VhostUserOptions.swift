import Glibc
import Linux
import Virtio

/// What a vhost-user port takes from its Interface row.
struct VhostUserOptions: Equatable {
  /// Which end makes the connection; either way the switch is the back-end.
  enum Role: String {
    case server, client
  }

  var role: Role
  var socket: String
  var owner: uid_t?
  var group: gid_t?
  var mode: mode_t?
  var queuePairs: Int { 128 }
  var features: VirtioFeatures { .implemented }
  var isAlwaysPolled: Bool { false }

  init(_ configuration: PortConfiguration) throws(PortError) {
    let options = configuration.options
    if configuration.kind == .vhostUserClient {
      guard let path = options["vhost-server-path"], !path.isEmpty else {
        throw PortError(
          "\(configuration.name): options:vhost-server-path is missing; set it to the socket QEMU listens on")
      }
      role = .client
      socket = path
    } else {
      guard !configuration.name.contains("/") else {
        throw PortError("\(configuration.name): a vhost-user port's name is a file name and has no slash")
      }
      role = .server
      socket = "\(configuration.runDirectory)/\(configuration.name)"
    }
    guard socket.utf8.count <= UnixSocket.maximumPathLength else {
      throw PortError(
        "\(configuration.name): the socket path \(socket) has more than \(UnixSocket.maximumPathLength) bytes; "
          + "use a shorter directory or name")
    }
    owner = try Self.identifier(configuration, "socket-owner", "user", Accounts.user)
    group = try Self.identifier(configuration, "socket-group", "group", Accounts.group)
    if let text = options["socket-mode"] {
      guard let value = mode_t(text, radix: 8), value <= 0o777 else {
        throw PortError(
          "\(configuration.name): options:socket-mode is \(text); use an octal mode such as 0660")
      }
      mode = value
    }
  }

  /// A numeric identifier, or a name that `lookup` knows.
  private static func identifier(
    _ configuration: PortConfiguration, _ key: String, _ kind: String, _ lookup: (String) -> UInt32?
  ) throws(PortError) -> UInt32? {
    guard let text = configuration.options[key], !text.isEmpty else { return nil }
    if let number = UInt32(text) ?? lookup(text) { return number }
    throw PortError("\(configuration.name): options:\(key) is \(text), and there is no such \(kind)")
  }
}
