import CLinux
import Glibc

/// An eventfd: wakes an epoll loop from any thread.
public struct EventFD: ~Copyable {
  public let descriptor: FileDescriptor

  public init() throws(SystemError) {
    let raw = eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
    guard raw >= 0 else { throw .last("create an eventfd") }
    descriptor = FileDescriptor(owning: raw)
  }

  public var raw: Int32 { descriptor.raw }

  public func signal() { Self.signal(raw) }

  /// Resets the counter; returns what it had accumulated.
  @discardableResult
  public func drain() -> UInt64 { Self.drain(raw) }

  public static func signal(_ raw: Int32) {
    var one: UInt64 = 1
    _ = write(raw, &one, 8)
  }

  /// Signals an eventfd that a peer shares, who may have made writes to it block. This never does.
  public static func signalPeer(_ raw: Int32) { cl_signal_peer(raw) }

  /// Whether `signalPeer` can promise that here; else it writes, which a peer can make block.
  public static var signalsPeersWithoutWriting: Bool { cl_peer_signal_is_asynchronous() == 1 }

  /// What an eventfd that a peer shares had accumulated; resets it. Never waits either.
  public static func drainPeer(_ raw: Int32) -> UInt64 { cl_drain_peer(raw) }

  @discardableResult
  public static func drain(_ raw: Int32) -> UInt64 {
    var count: UInt64 = 0
    return read(raw, &count, 8) == 8 ? count : 0
  }
}
