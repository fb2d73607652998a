/// Where JSON-RPC is spoken: `punix:FILE`, `ptcp:PORT[:IP]` and `pssl:PORT[:IP]` listen; `unix:FILE`, `tcp:IP:PORT` and
/// `ssl:IP:PORT` connect. An IPv6 address stands in brackets; without a port it is 6640.
public enum Remote: Hashable, Sendable, CustomStringConvertible {
  case listenUnix(path: String)
  /// Port 0 lets the kernel choose. Without an address: every IPv4 address.
  case listenTCP(address: String, port: UInt16)
  /// The same under TLS.
  case listenTLS(address: String, port: UInt16)
  case unix(path: String)
  case tcp(address: String, port: UInt16)
  case tls(address: String, port: UInt16)

  /// The port OVSDB has by default (RFC 7047 §6).
  public static let defaultPort: UInt16 = 6640

  public init(_ text: String) throws(RemoteError) {
    guard let colon = text.firstIndex(of: ":") else {
      throw RemoteError(
        "\"\(text)\" is not a connection: write punix:FILE, ptcp:PORT[:IP], pssl:PORT[:IP], unix:FILE, tcp:IP:PORT or "
          + "ssl:IP:PORT")
    }
    let kind = text[..<colon]
    let rest = String(text[text.index(after: colon)...])
    switch kind {
    case "punix": self = .listenUnix(path: try Self.path(rest, text))
    case "unix": self = .unix(path: try Self.path(rest, text))
    case "ptcp", "pssl":
      let parts = rest.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      let address = parts.count > 1 ? Self.unbracketed(parts[1]) : "0.0.0.0"
      let port = parts[0].isEmpty ? Self.defaultPort : try Self.port(parts[0], text)
      self =
        kind == "ptcp" ? .listenTCP(address: address, port: port) : .listenTLS(address: address, port: port)
    case "tcp", "ssl":
      let (address, port) = try Self.endpoint(rest, text)
      self = kind == "tcp" ? .tcp(address: address, port: port) : .tls(address: address, port: port)
    default:
      throw RemoteError("\(text): unknown kind of connection; use punix:, ptcp:, pssl:, unix:, tcp: or ssl:")
    }
  }

  /// Whether clients are accepted there, instead of connected to.
  public var isPassive: Bool {
    switch self {
    case .listenUnix, .listenTCP, .listenTLS: true
    case .unix, .tcp, .tls: false
    }
  }

  /// Whether it goes over a network, which can fail without anybody being told.
  public var isNetwork: Bool {
    switch self {
    case .listenTCP, .listenTLS, .tcp, .tls: true
    case .listenUnix, .unix: false
    }
  }

  public var isTLS: Bool {
    switch self {
    case .listenTLS, .tls: true
    case .listenUnix, .unix, .listenTCP, .tcp: false
    }
  }

  /// How a client of this machine reaches what listens here.
  public var counterpart: Remote {
    switch self {
    case .listenUnix(let path): .unix(path: path)
    case .listenTCP(let address, let port): .tcp(address: Self.local(address), port: port)
    case .listenTLS(let address, let port): .tls(address: Self.local(address), port: port)
    case .unix, .tcp, .tls: self
    }
  }

  public var description: String {
    switch self {
    case .listenUnix(let path): "punix:\(path)"
    case .unix(let path): "unix:\(path)"
    case .listenTCP(let address, let port): "ptcp:\(port):\(Self.bracketed(address))"
    case .listenTLS(let address, let port): "pssl:\(port):\(Self.bracketed(address))"
    case .tcp(let address, let port): "tcp:\(Self.bracketed(address)):\(port)"
    case .tls(let address, let port): "ssl:\(Self.bracketed(address)):\(port)"
    }
  }

  /// Reads 1.2.3.4, 1.2.3.4:6640, [::1] or [::1]:6640.
  private static func endpoint(_ rest: String, _ text: String) throws(RemoteError) -> (String, UInt16) {
    let kind = text.prefix { $0 != ":" }
    if rest.hasPrefix("["), let end = rest.firstIndex(of: "]") {
      let after = rest[rest.index(after: end)...]
      let address = unbracketed(String(rest[...end]))
      if after.isEmpty { return (address, defaultPort) }
      guard after.hasPrefix(":") else { throw RemoteError("\(text): expected \(kind):[IPv6]:PORT") }
      return (address, try port(String(after.dropFirst()), text))
    }
    let parts = rest.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
    guard parts.count <= 2, !parts[0].isEmpty else { throw RemoteError("\(text): expected \(kind):IP:PORT") }
    return (parts[0], parts.count == 2 ? try port(parts[1], text) : defaultPort)
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

  private static func local(_ address: String) -> String {
    switch address {
    case "0.0.0.0": "127.0.0.1"
    case "::": "::1"
    default: address
    }
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
