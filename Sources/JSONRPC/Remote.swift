/// Where JSON-RPC is spoken: `punix:FILE` and `ptcp:PORT[:IP]` listen, `unix:FILE` and `tcp:IP:PORT` connect.
/// An IPv6 address stands in brackets.
public enum Remote: Hashable, Sendable, CustomStringConvertible {
  case listenUnix(path: String)
  /// Port 0 lets the kernel choose. Without an address: every IPv4 address.
  case listenTCP(address: String, port: UInt16)
  case unix(path: String)
  case tcp(address: String, port: UInt16)

  /// The port OVSDB has by default (RFC 7047 §6).
  public static let defaultPort: UInt16 = 6640

  public init(_ text: String) throws(RemoteError) {
    guard let colon = text.firstIndex(of: ":") else {
      throw RemoteError(
        "\"\(text)\" is not a connection: write punix:FILE, ptcp:PORT[:IP], unix:FILE or tcp:IP:PORT")
    }
    let rest = String(text[text.index(after: colon)...])
    switch text[..<colon] {
    case "punix": self = .listenUnix(path: try Self.path(rest, text))
    case "unix": self = .unix(path: try Self.path(rest, text))
    case "ptcp":
      let parts = rest.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      let address = parts.count > 1 ? Self.unbracketed(parts[1]) : "0.0.0.0"
      self = .listenTCP(
        address: address, port: parts[0].isEmpty ? Self.defaultPort : try Self.port(parts[0], text))
    case "tcp": self = try Self.connectTCP(rest, text)
    case "ssl", "pssl": throw RemoteError("\(text): TLS is not supported; use a unix or tcp connection")
    default:
      throw RemoteError("\(text): unknown kind of connection; use punix:, ptcp:, unix: or tcp:")
    }
  }

  public var isPassive: Bool {
    switch self {
    case .listenUnix, .listenTCP: true
    case .unix, .tcp: false
    }
  }

  public var description: String {
    switch self {
    case .listenUnix(let path): "punix:\(path)"
    case .unix(let path): "unix:\(path)"
    case .listenTCP(let address, let port): "ptcp:\(port):\(Self.bracketed(address))"
    case .tcp(let address, let port): "tcp:\(Self.bracketed(address)):\(port)"
    }
  }

  private static func connectTCP(_ rest: String, _ text: String) throws(RemoteError) -> Remote {
    // tcp:1.2.3.4, tcp:1.2.3.4:6640, tcp:[::1], tcp:[::1]:6640
    if rest.hasPrefix("["), let end = rest.firstIndex(of: "]") {
      let after = rest[rest.index(after: end)...]
      let address = unbracketed(String(rest[...end]))
      if after.isEmpty { return .tcp(address: address, port: defaultPort) }
      guard after.hasPrefix(":") else { throw RemoteError("\(text): expected tcp:[IPv6]:PORT") }
      return .tcp(address: address, port: try port(String(after.dropFirst()), text))
    }
    let parts = rest.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
    guard parts.count <= 2, !parts[0].isEmpty else { throw RemoteError("\(text): expected tcp:IP:PORT") }
    return .tcp(address: parts[0], port: parts.count == 2 ? try port(parts[1], text) : defaultPort)
  }

  private static func path(_ path: String, _ text: String) throws(RemoteError) -> String {
    if path.isEmpty { throw RemoteError("\(text): a file name must follow the colon") }
    return path
  }

  private static func port(_ digits: String, _ text: String) throws(RemoteError) -> UInt16 {
    guard let port = UInt16(digits) else {
      throw RemoteError("\(text): \"\(digits)\" is not a port (0 to 65535)")
    }
    return port
  }

  private static func unbracketed(_ address: String) -> String {
    address.hasPrefix("[") && address.hasSuffix("]") ? String(address.dropFirst().dropLast()) : address
  }

  private static func bracketed(_ address: String) -> String {
    address.contains(":") ? "[\(address)]" : address
  }
}

public struct RemoteError: Error, Equatable, CustomStringConvertible {
  public let description: String
  public init(_ description: String) { self.description = description }
}
