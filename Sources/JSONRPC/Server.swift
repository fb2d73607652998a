import Glibc
import Linux

/// A listening socket that turns every client into a `Connection`; under TLS, every client that has proved who it is.
public final class Server {
  /// Where it listens; with port 0, the port that was chosen.
  public let remote: Remote
  private let loop: EventLoop
  private let limits: Connection.Limits
  private let options: TransportOptions
  private let socket: FileDescriptor
  private let onConnection: (Connection) -> Void
  private var watch: EventLoop.Watch?
  private var accepted = 0
  /// Until when nothing more is written to the log, and how much was not.
  private var quietUntil: UInt64 = 0
  private var unsaid = 0
  /// Clients that shake hands, which takes them `Connection.Limits.opening` at most.
  private var opening: [ObjectIdentifier: Connection] = [:]

  /// While so many clients shake hands, the others wait to be accepted.
  static let openingLimit = 64

  /// Listens on `punix:`, `ptcp:` or `pssl:`. The socket file of a dead server is replaced, that of a living one refused.
  public init(
    _ loop: EventLoop, on remote: Remote, limits: Connection.Limits = .init(),
    options: TransportOptions = TransportOptions(), _ onConnection: @escaping (Connection) -> Void
  ) throws(SystemError) {
    self.loop = loop
    self.limits = limits
    self.options = options
    self.onConnection = onConnection
    switch remote {
    case .listenUnix(let path), .unix(let path):
      socket = try UnixSocket.listen(path)
      self.remote = .listenUnix(path: path)
    case .listenTCP(let address, let port), .tcp(let address, let port):
      socket = try TCPSocket.listen(address, port: port, dscp: options.dscp)
      self.remote = .listenTCP(address: address, port: TCPSocket.localPort(socket.raw) ?? port)
    case .listenTLS(let address, let port), .tls(let address, let port):
      socket = try TCPSocket.listen(address, port: port, dscp: options.dscp)
      self.remote = .listenTLS(address: address, port: TCPSocket.localPort(socket.raw) ?? port)
    }
    watch = loop.watch(socket.raw, .read) { [weak self] _ in self?.accept() }
  }

  deinit { close() }

  /// The port it listens on, if it is one.
  public var port: UInt16? {
    switch remote {
    case .listenTCP(_, let port), .listenTLS(_, let port): port
    case .listenUnix, .unix, .tcp, .tls: nil
    }
  }

  /// Stops listening and removes the socket file. Sessions already accepted go on.
  public func close() {
    guard let watch else { return }
    watch.cancel()
    self.watch = nil
    for connection in opening.values { connection.close() }
    opening = [:]
    if case .listenUnix(let path) = remote { unlink(path) }
  }

  private func accept() {
    // Bounded per turn, so that a storm of clients cannot keep the loop from anything else.
    for _ in 0..<16 where opening.count < Self.openingLimit {
      do throws(SystemError) {
        guard let client = try UnixSocket.accept(socket.raw) else { return }
        if remote.isNetwork { TCPSocket.setNoDelay(client.raw) }
        accepted += 1
        try begin(client)
      } catch {
        complain("\(remote): \(error)")
        // Out of descriptors, mostly. The client stays in the backlog; trying again at once would only spin.
        watch?.update([])
        loop.after(milliseconds: 500) { [weak self] in self?.updateInterest() }
        return
      }
    }
    updateInterest()
  }

  private func begin(_ client: consuming FileDescriptor) throws(SystemError) {
    let context = try remote.isTLS ? options.context(for: remote) : nil
    let transport = try Transport.over(client, context, .server, isConnecting: false)
    let connection = Connection(loop, transport, name: "\(remote)#\(accepted)", limits: limits)
    guard !connection.isOpen else { return onConnection(connection) }
    let key = ObjectIdentifier(connection)
    opening[key] = connection
    connection.onOpen = { [weak self] in
      guard let self, let connection = opening[key] else { return }
      opened(key)
      onConnection(connection)
    }
    connection.onClose = { [weak self, unowned connection] reason in
      self?.complain("\(connection.name): \(reason)")
      self?.opened(key)
    }
  }

  private func opened(_ key: ObjectIdentifier) {
    opening[key] = nil
    updateInterest()
  }

  /// Writes one line every few seconds, however many clients give reason for one.
  private func complain(_ text: String) {
    let now = monotonicNanoseconds()
    guard now >= quietUntil else {
      unsaid += 1
      return
    }
    Log.warning("jsonrpc", unsaid == 0 ? text : "\(text) (and \(unsaid) such events before)")
    quietUntil = now + 5_000_000_000
    unsaid = 0
  }

  private func updateInterest() { watch?.update(opening.count < Self.openingLimit ? .read : []) }
}
