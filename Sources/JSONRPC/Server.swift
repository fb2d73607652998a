import Glibc
import Linux

/// A listening socket that turns every client into a `Connection`.
public final class Server {
  /// Where it listens; with `ptcp:0`, the port that was chosen.
  public let remote: Remote
  private let loop: EventLoop
  private let limits: Connection.Limits
  private let socket: FileDescriptor
  private let onConnection: (Connection) -> Void
  private var watch: EventLoop.Watch?
  private var accepted = 0

  /// Listens on `punix:` or `ptcp:`. The socket file of a dead server is replaced, that of a living one refused.
  public init(
    _ loop: EventLoop, on remote: Remote, limits: Connection.Limits = .init(),
    _ onConnection: @escaping (Connection) -> Void
  ) throws(SystemError) {
    self.loop = loop
    self.limits = limits
    self.onConnection = onConnection
    switch remote {
    case .listenUnix(let path), .unix(let path):
      socket = try UnixSocket.listen(path)
      self.remote = remote
    case .listenTCP(let address, let port), .tcp(let address, let port):
      socket = try TCPSocket.listen(address, port: port)
      self.remote = .listenTCP(address: address, port: TCPSocket.localPort(socket.raw) ?? port)
    }
    startAccepting()
  }

  deinit { close() }

  /// Stops listening and removes the socket file. Sessions already accepted go on.
  public func close() {
    guard let watch else { return }
    watch.cancel()
    self.watch = nil
    if case .listenUnix(let path) = remote { unlink(path) }
  }

  private func startAccepting() {
    watch = loop.watch(socket.raw, .read) { [weak self] _ in self?.accept() }
  }

  private func accept() {
    // Bounded per turn, so that a storm of clients cannot keep the loop from anything else.
    for _ in 0..<16 {
      do throws(SystemError) {
        guard let client = try UnixSocket.accept(socket.raw) else { return }
        if case .listenTCP = remote { TCPSocket.setNoDelay(client.raw) }
        accepted += 1
        onConnection(Connection(loop, owning: client, name: "\(remote)#\(accepted)", limits: limits))
      } catch {
        // Out of descriptors, mostly. The client stays in the backlog; trying again at once would only spin.
        Log.warning("jsonrpc", "\(remote): \(error)")
        watch?.update([])
        loop.after(milliseconds: 500) { [weak self] in self?.watch?.update(.read) }
        return
      }
    }
  }
}
