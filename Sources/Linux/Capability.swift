import CCapNG

/// What of root's power a process may have on its own (`capabilities(7)`); the raw value is the kernel's number.
public enum Capability: UInt32, CaseIterable, Sendable {
  /// Give files to other users.
  case changeOwner = 0
  /// Reach files and sockets whatever their mode.
  case overrideModes = 1
  /// Change the mode of other users' files.
  case actAsOwner = 3
  /// Make and configure network interfaces.
  case administerNetwork = 12
  /// Open packet sockets.
  case rawSockets = 13
  /// Enter network namespaces, and much else.
  case administerSystem = 21

  /// The name the kernel's headers and systemd have for it: "CAP_NET_ADMIN".
  public var name: String {
    "CAP_" + (capng_capability_to_name(rawValue).map { String(cString: $0).uppercased() } ?? "\(rawValue)")
  }
}
