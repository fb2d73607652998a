import CLinux
import Glibc
import Linux
import VhostUser
import Virtio

/// A front-end that says what a test wants it to, correct or not, in either role.
public final class ScriptedFrontEnd {
  public struct Failure: Error, CustomStringConvertible {
    public let description: String
  }

  public let connection: Connection
  /// Lets the back-end work while an answer is awaited: turns the test's event loop, or only waits.
  private let turn: () -> Void
  /// The virtio features agreed on.
  public internal(set) var features: VirtioFeatures = []
  /// By which the back-end asks for things, once `openBackEndChannel` has made it.
  public internal(set) var backEndChannel: BackEndChannel?
  /// What the back-end's misses are answered from.
  public internal(set) var iommu: GuestIOMMU?
  /// An answer is being awaited.
  var isAwaiting = false

  /// Takes a connected socket.
  public init(_ socket: consuming FileDescriptor, turn: @escaping () -> Void = { usleep(200) }) {
    connection = Connection(socket)
    self.turn = turn
  }

  /// Connects to a back-end in the server role.
  public convenience init(connecting path: String, turn: @escaping () -> Void = { usleep(200) }) throws {
    self.init(try UnixSocket.connect(path), turn: turn)
  }

  // Closing is not enough: a process that a test beside this one is just starting may hold a copy of every descriptor
  // until it has become another program.
  deinit { shutdown(connection.descriptor.raw, Int32(SHUT_RDWR)) }

  // MARK: messages

  public func send(
    _ request: Request, _ payload: [UInt8] = [], _ descriptors: [Int32] = [], needReply: Bool = false
  ) throws {
    try send(request.rawValue, payload, descriptors, needReply: needReply)
  }

  public func send(
    _ request: UInt32, _ payload: [UInt8] = [], _ descriptors: [Int32] = [], needReply: Bool = false
  ) throws {
    let flags: Message.Flags = needReply ? [.version1, .needReply] : .version1
    try connection.send(
      bytes: Message(request, flags: flags, payload: payload).bytes, descriptors: descriptors)
  }

  /// Sends bytes that need not be a message.
  public func sendRaw(_ bytes: [UInt8], _ descriptors: [Int32] = []) throws {
    try connection.send(bytes: bytes, descriptors: descriptors)
  }

  /// The next message from the back-end; throws when it closes the connection or stays silent for `milliseconds`.
  public func receive(atMost milliseconds: Int = 20_000) throws -> Message {
    let end = monotonicNanoseconds() + UInt64(milliseconds) * 1_000_000
    isAwaiting = true
    defer { isAwaiting = false }
    while true {
      if let message = try connection.receive() { return message }
      guard monotonicNanoseconds() < end else { throw Failure(description: "the back-end does not answer") }
      turn()
      try serveBackEnd()
    }
  }

  /// Sends a request that has an answer, and waits for that.
  public func ask(
    _ request: Request, _ payload: [UInt8] = [], _ descriptors: [Int32] = []
  ) throws -> Message {
    try send(request, payload, descriptors)
    let reply = try receive()
    guard reply.request == request.rawValue, reply.flags.contains(.reply) else {
      throw Failure(description: "\(request.name) was answered by \(reply.requestName)")
    }
    return reply
  }

  public func askNumber(_ request: Request) throws -> UInt64 { try ask(request).word(0) }

  /// Sends a request and waits for its acknowledgement: 0 is success.
  public func command(_ request: Request, _ payload: [UInt8] = [], _ descriptors: [Int32] = []) throws
    -> UInt64
  {
    try send(request, payload, descriptors, needReply: true)
    return try receive().word(0)
  }

  /// Whether the back-end closes the connection.
  public func isClosedByPeer(atMost milliseconds: Int = 5000) -> Bool {
    let end = monotonicNanoseconds() + UInt64(milliseconds) * 1_000_000
    while monotonicNanoseconds() < end {
      do { _ = try connection.receive() } catch { return true }
      turn()
    }
    return false
  }

  // MARK: what a real front-end does

  /// Negotiates like QEMU: features, protocol features, owner. Returns the virtio features agreed on.
  @discardableResult
  public func negotiate(
    _ wanted: VirtioFeatures, _ protocolFeatures: ProtocolFeatures = [.multiqueue, .replyAcknowledgement]
  ) throws -> VirtioFeatures {
    let offered = VirtioFeatures(rawValue: try askNumber(.getFeatures))
    var agreed = offered.intersection(wanted)
    if offered.contains(.protocolFeatures), !protocolFeatures.isEmpty {
      agreed.insert(.protocolFeatures)
      let known = ProtocolFeatures(rawValue: try askNumber(.getProtocolFeatures))
      try send(.setProtocolFeatures, littleEndian(known.intersection(protocolFeatures).rawValue))
    }
    try send(.setOwner)
    try send(.setFeatures, littleEndian(agreed.rawValue))
    features = agreed
    return agreed
  }
}
