import CLinux
import Glibc
import Linux

/// Why a connection ended or a message was refused.
public struct SessionError: Error, Equatable, CustomStringConvertible {
  /// Who is to blame decides what is reported.
  public enum Kind: Equatable, Sendable {
    /// The peer closed the connection.
    case closed
    /// The peer broke the protocol, or its guest the ring's rules.
    case violation
    /// A system call failed.
    case system
  }

  public let kind: Kind
  public let description: String

  public init(_ kind: Kind, _ description: String) {
    self.kind = kind
    self.description = description
  }

  public static let closed = SessionError(.closed, "the front-end closed the connection")
  public static func violation(_ text: String) -> SessionError { SessionError(.violation, text) }
}

/// Messages over a stream socket, for either role. Never blocks; a message may arrive in any number of parts.
///
/// Descriptors belong to the message whose bytes they came with. More than any message can carry ends the connection.
public final class Connection {
  public let descriptor: FileDescriptor
  private var header: [UInt8] = []
  private var payload: [UInt8] = []
  private var payloadLength = 0
  private var descriptors: [OwnedDescriptor] = []

  /// Takes a connected, non-blocking socket.
  public init(_ socket: consuming FileDescriptor) { descriptor = socket }

  /// The next whole message, or nil until more arrives.
  public func receive() throws(SessionError) -> Message? {
    while header.count < Message.headerLength {
      guard try read(Message.headerLength - header.count, into: \.header) else { return nil }
      if header.count == Message.headerLength { try checkHeader() }
    }
    while payload.count < payloadLength {
      guard try read(payloadLength - payload.count, into: \.payload) else { return nil }
    }
    defer { forget() }
    let flags = Message.Flags(rawValue: word(4))
    return Message(word(0), flags: flags, payload: payload, descriptors: descriptors)
  }

  /// Sends a whole message. Messages are short, so a peer that leaves no room for one does not read at all.
  public func send(_ message: Message) throws(SessionError) {
    try send(bytes: message.bytes, descriptors: message.descriptors.map(\.raw))
  }

  /// Sends bytes as they are, with descriptors: for tests of what a hostile peer could send.
  public func send(bytes: [UInt8], descriptors: [Int32] = []) throws(SessionError) {
    let sent = cl_send_with_fds(descriptor.raw, bytes, bytes.count, descriptors, Int32(descriptors.count))
    if sent == bytes.count { return }
    if sent < 0 && (errno == EPIPE || errno == ECONNRESET) { throw .closed }
    if sent >= 0 || errno == EAGAIN { throw .violation("the peer does not read what it is sent") }
    throw SessionError(.system, SystemError.last("send a vhost-user message").description)
  }

  /// Whether the peer has closed its end. Messages may still wait to be read.
  public var peerIsGone: Bool {
    var poll = pollfd(fd: descriptor.raw, events: Int16(POLLIN), revents: 0)
    guard Glibc.poll(&poll, 1, 0) > 0 else { return false }
    if poll.revents & Int16(POLLHUP | POLLERR) != 0 { return true }
    var byte: UInt8 = 0
    return recv(descriptor.raw, &byte, 1, Int32(MSG_PEEK | MSG_DONTWAIT)) == 0
  }

  private func word(_ offset: Int) -> UInt32 {
    header[offset..<offset + 4].reversed().reduce(0) { $0 << 8 | UInt32($1) }
  }

  private func checkHeader() throws(SessionError) {
    let size = word(8)
    guard size <= Message.maximumPayload else {
      throw .violation("a message announces \(size) bytes; none has more than \(Message.maximumPayload)")
    }
    payloadLength = Int(size)
  }

  private func forget() {
    header.removeAll(keepingCapacity: true)
    payload.removeAll(keepingCapacity: true)
    payloadLength = 0
    descriptors.removeAll()
  }

  /// Appends up to `count` bytes to `buffer`; false when none are there yet.
  // SAFETY: `count` is at most the payload limit, and the arrays are as long as the lengths passed with them.
  private func read(_ count: Int, into buffer: ReferenceWritableKeyPath<Connection, [UInt8]>)
    throws(SessionError) -> Bool
  {
    var bytes = [UInt8](repeating: 0, count: count)
    var received = [Int32](repeating: -1, count: Message.maximumDescriptors)
    var receivedCount: Int32 = 0
    var truncated: Int32 = 0
    let length = cl_receive_with_fds(
      descriptor.raw, &bytes, count, &received, Int32(received.count), &receivedCount, &truncated)
    let failure = errno
    descriptors += received.prefix(Int(receivedCount)).map { OwnedDescriptor(FileDescriptor(owning: $0)) }
    if length < 0 {
      if failure == EAGAIN || failure == EINTR { return false }
      if failure == ECONNRESET { throw .closed }
      throw SessionError(
        .system, SystemError("receive a vhost-user message", code: failure).description)
    }
    if length == 0 { throw .closed }
    guard truncated == 0, descriptors.count <= Message.maximumDescriptors else {
      throw .violation("a message carries more than \(Message.maximumDescriptors) file descriptors")
    }
    self[keyPath: buffer] += bytes.prefix(length)
    return true
  }
}
