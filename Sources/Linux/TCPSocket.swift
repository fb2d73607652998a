import CLinux
import Glibc

/// TCP sockets between numeric addresses, IPv4 or IPv6.
public enum TCPSocket {
  /// A non-blocking listener; port 0 lets the kernel choose. Packets of its connections have `dscp`, if given.
  public static func listen(
    _ address: String, port: UInt16, backlog: Int32 = 64, dscp: Int? = nil
  ) throws(SystemError) -> FileDescriptor {
    let action = "listen on \(address) port \(port)"
    let endpoint = try Endpoint(address, port, action)
    let socket = try make(endpoint, action)
    var on: Int32 = 1
    setsockopt(socket.raw, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
    if let dscp { setDSCP(socket.raw, endpoint.family, dscp) }
    guard endpoint.call({ bind(socket.raw, $0, $1) }) == 0 else { throw .last(action) }
    guard Glibc.listen(socket.raw, backlog) == 0 else { throw .last(action) }
    return socket
  }

  /// Starts a non-blocking connection: it is made once the descriptor is writable and `failure` is nil.
  public static func connect(_ address: String, port: UInt16, dscp: Int? = nil) throws(SystemError)
    -> FileDescriptor
  {
    let action = "connect to \(address) port \(port)"
    let endpoint = try Endpoint(address, port, action)
    let socket = try make(endpoint, action)
    if let dscp { setDSCP(socket.raw, endpoint.family, dscp) }
    let result = endpoint.call { Glibc.connect(socket.raw, $0, $1) }
    guard result == 0 || errno == EINPROGRESS else { throw .last(action) }
    setNoDelay(socket.raw)
    return socket
  }

  /// The pending error of a socket; nil when it has none.
  public static func failure(_ socket: Int32, _ action: String) -> SystemError? {
    var code: Int32 = 0
    var length = socklen_t(MemoryLayout<Int32>.size)
    guard getsockopt(socket, SOL_SOCKET, SO_ERROR, &code, &length) == 0 else { return .last(action) }
    return code == 0 ? nil : SystemError(action, code: code)
  }

  /// The port a listener got.
  public static func localPort(_ socket: Int32) -> UInt16? {
    var storage = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    let result = withUnsafeMutablePointer(to: &storage) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(socket, $0, &length) }
    }
    guard result == 0 else { return nil }
    // The port follows the family in both address structures, in network byte order.
    return withUnsafeBytes(of: &storage) { UInt16($0[2]) << 8 | UInt16($0[3]) }
  }

  /// Small messages leave at once. Harmless on sockets that are not TCP.
  public static func setNoDelay(_ socket: Int32) {
    var on: Int32 = 1
    setsockopt(socket, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
  }

  /// Marks packets (RFC 2474). A wish: where the system refuses, they stay as they are.
  private static func setDSCP(_ socket: Int32, _ family: Int32, _ dscp: Int) {
    var field = Int32(truncatingIfNeeded: dscp & 0x3F) << 2
    let length = socklen_t(MemoryLayout<Int32>.size)
    if family == AF_INET {
      setsockopt(socket, Int32(IPPROTO_IP), IP_TOS, &field, length)
    } else {
      setsockopt(socket, Int32(IPPROTO_IPV6), IPV6_TCLASS, &field, length)
    }
  }

  private static func make(_ endpoint: Endpoint, _ action: String) throws(SystemError) -> FileDescriptor {
    let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
    let raw = socket(endpoint.family, type, 0)
    guard raw >= 0 else { throw .last(action) }
    return FileDescriptor(owning: raw)
  }

  private struct Endpoint {
    private var v4 = sockaddr_in()
    private var v6 = sockaddr_in6()
    let family: Int32

    init(_ address: String, _ port: UInt16, _ action: String) throws(SystemError) {
      v4.sin_family = sa_family_t(AF_INET)
      v4.sin_port = port.bigEndian
      v6.sin6_family = sa_family_t(AF_INET6)
      v6.sin6_port = port.bigEndian
      if inet_pton(AF_INET, address, &v4.sin_addr) == 1 {
        family = AF_INET
      } else if inet_pton(AF_INET6, address, &v6.sin6_addr) == 1 {
        family = AF_INET6
      } else {
        throw SystemError("\(action): \"\(address)\" is not a numeric IP address", code: EINVAL)
      }
    }

    func call(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
      if family == AF_INET {
        withUnsafePointer(to: v4) { pointer in
          pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
          }
        }
      } else {
        withUnsafePointer(to: v6) { pointer in
          pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            body($0, socklen_t(MemoryLayout<sockaddr_in6>.size))
          }
        }
      }
    }
  }
}
