import Glibc
import Linux

/// How a remote is spoken to beside its address.
public struct TransportOptions {
  /// For `ssl:` and `pssl:`.
  public var tls: TLSCredentials?
  /// The DSCP of IP packets, 0 to 63; nil: the system's default.
  public var dscp: Int?

  public init(tls: TLSCredentials? = nil, dscp: Int? = nil) {
    self.tls = tls
    self.dscp = dscp
  }

  /// What a session of TLS with `remote` is made of.
  func context(for remote: Remote) throws(SystemError) -> TLSContext {
    do throws(TLSError) {
      guard let tls else { throw TLSError("no private key, certificate and authority were named") }
      return try tls.context()
    } catch { throw SystemError("\(remote): \(error)", code: 0) }
  }
}

/// A connection's stream socket, plain or under TLS: it connects, shakes hands, then reads and writes, and never blocks.
final class Transport {
  enum Phase { case connecting, shakingHands, open }

  enum Progress {
    case bytes(Int)
    case blocked
    case ended
    case failed(String)
  }

  private let socket: FileDescriptor
  private let tls: TLSSession?
  private(set) var phase: Phase
  /// TLS may have to write before it can read, and the reverse.
  private(set) var readWantsWrite = false
  private(set) var writeWantsRead = false

  init(_ socket: consuming FileDescriptor, _ tls: TLSSession?, isConnecting: Bool) {
    self.socket = consume socket
    self.tls = tls
    phase = isConnecting ? .connecting : tls == nil ? .open : .shakingHands
  }

  /// A transport under TLS if there is a context.
  static func over(
    _ socket: consuming FileDescriptor, _ context: TLSContext?, _ role: TLSSession.Role, isConnecting: Bool
  ) throws(SystemError) -> Transport {
    let tls: TLSSession?
    do throws(TLSError) {
      tls = if let context { try TLSSession(context, socket.raw, role) } else { nil }
    } catch { throw SystemError(error.description, code: 0) }
    return Transport(consume socket, tls, isConnecting: isConnecting)
  }

  var raw: Int32 { socket.raw }

  /// Goes on towards `open`; nil when there is nothing to complain about.
  func advance(_ name: String) -> String? {
    if phase == .connecting {
      if let failure = TCPSocket.failure(raw, "connect to \(name)") { return failure.description }
      phase = tls == nil ? .open : .shakingHands
    }
    guard phase == .shakingHands, let tls else { return nil }
    switch note(tls.shakeHands(), reading: true) {
    case .bytes: phase = .open
    case .blocked: break
    case .ended: return "the peer closed the connection during the TLS handshake"
    case .failed(let reason): return "TLS handshake: \(reason)"
    }
    return nil
  }

  func read(into buffer: inout [UInt8]) -> Progress {
    if let tls { return note(tls.read(into: &buffer), reading: true) }
    let count = Glibc.read(raw, &buffer, buffer.count)
    if count > 0 { return .bytes(count) }
    if count == 0 { return .ended }
    return errno == EAGAIN || errno == EINTR ? .blocked : .failed(SystemError.last("").reason)
  }

  /// Writes what of `bytes` the socket takes; not empty.
  func write(_ bytes: ArraySlice<UInt8>) -> Progress {
    if let tls { return note(tls.write(bytes), reading: false) }
    while true {
      let count = bytes.withContiguousStorageIfAvailable {
        Glibc.send(raw, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
      }
      if let count, count > 0 { return .bytes(count) }
      if errno == EINTR { continue }
      return errno == EAGAIN ? .blocked : .failed(SystemError.last("").reason)
    }
  }

  /// Says good-bye, if the protocol has that.
  func close() { tls?.close() }

  /// What to wait for in order to read, to write, or both.
  func interest(reading: Bool, writing: Bool) -> EventLoop.Interest {
    var interest: EventLoop.Interest = []
    switch phase {
    case .connecting: interest = .write
    case .shakingHands: interest = readWantsWrite ? .write : .read
    case .open:
      if reading { interest.insert(readWantsWrite ? .write : .read) }
      if writing { interest.insert(writeWantsRead ? .read : .write) }
    }
    return interest
  }

  private func note(_ progress: TLSSession.Progress, reading: Bool) -> Progress {
    let (wantsRead, wantsWrite) =
      switch progress {
      case .wantsRead: (true, false)
      case .wantsWrite: (false, true)
      case .bytes, .ended, .failed: (false, false)
      }
    if reading { readWantsWrite = wantsWrite } else { writeWantsRead = wantsRead }
    return switch progress {
    case .bytes(let count): .bytes(count)
    case .wantsRead, .wantsWrite: .blocked
    case .ended: .ended
    case .failed(let reason): .failed(reason)
    }
  }
}
