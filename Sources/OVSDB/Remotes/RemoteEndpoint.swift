import JSONRPC
import Linux

/// One remote that is in use: a listener with its sessions, or a connection that the server makes to a client, and makes
/// again when it is lost.
final class RemoteEndpoint {
  let remote: Remote
  private(set) var settings: RemoteSettings
  private unowned let server: DatabaseServer
  private var listener: Server?
  /// A connection that is being made.
  private var connecting: Connection?
  private var retry: EventLoop.Timer?
  /// Attempts since the last session that lasted.
  private var attempts = 0
  private var isStopped = false

  /// On the monotonic clock, in nanoseconds; nil: never.
  private(set) var lastConnected: UInt64?
  private(set) var lastDisconnected: UInt64?
  private(set) var lastError: String?

  private static let shortestPause = 1000
  private static let longestPause = 8000
  private static let defaultProbe = 5000

  init(_ remote: Remote, _ settings: RemoteSettings, _ server: DatabaseServer) {
    self.remote = remote
    self.settings = settings
    self.server = server
  }

  /// Where it listens, with the port that was chosen.
  var listening: Remote? { listener?.remote }
  var port: UInt16? { listener?.port }
  var isConnecting: Bool { connecting != nil }
  var sessions: [Session] { server.sessions.values.filter { $0.endpoint === self } }

  /// Listens, or begins to connect; only the former can fail at once.
  func start() throws(SystemError) {
    guard remote.isPassive else { return connect() }
    let options = TransportOptions(tls: server.credentials, dscp: settings.dscp)
    listener = try Server(server.loop, on: remote, options: options) { [weak self] connection in
      guard let self else { return connection.close() }
      begin(connection)
    }
  }

  /// The same, and again until it succeeds.
  func keepStarting() {
    do throws(SystemError) { try start() } catch { failed(error.description) }
  }

  /// Gives up the listener or the connection, and ends all sessions.
  func stop() {
    isStopped = true
    retry?.cancel()
    retry = nil
    listener?.close()
    listener = nil
    connecting?.close()
    connecting = nil
    for session in sessions { server.disconnect(session) }
  }

  /// Whether `settings` can be had without a new start.
  func canTake(_ settings: RemoteSettings) -> Bool { settings.dscp == self.settings.dscp }

  func take(_ settings: RemoteSettings) {
    guard settings != self.settings else { return }
    self.settings = settings
    for session in sessions { session.connection.probe(everyMilliseconds: probeInterval) }
  }

  private var probeInterval: Int {
    settings.inactivityProbe ?? (remote.isNetwork ? Self.defaultProbe : 0)
  }

  private func begin(_ connection: Connection) {
    lastConnected = monotonicNanoseconds()
    server.serve(connection, self)
    connection.probe(everyMilliseconds: probeInterval)
    server.remoteSet.statusChanged()
  }

  /// A session is over.
  func ended(_ reason: String?) {
    let now = monotonicNanoseconds()
    lastDisconnected = now
    if let reason { lastError = reason }
    server.remoteSet.statusChanged()
    guard !remote.isPassive, !isStopped else { return }
    // One that ends as soon as it is there is no success.
    if let lastConnected, now - lastConnected > UInt64(pause) * 1_000_000 { attempts = 0 }
    scheduleRetry()
  }
}

// Connecting, and trying again.
extension RemoteEndpoint {
  private func connect() {
    do throws(SystemError) {
      let options = TransportOptions(tls: server.credentials, dscp: settings.dscp)
      let connection = try Connection.connect(to: remote, server.loop, options: options)
      guard !connection.isOpen else { return connected(connection) }
      connecting = connection
      connection.onOpen = { [weak self] in
        guard let self, let connection = connecting else { return }
        connecting = nil
        connected(connection)
      }
      connection.onClose = { [weak self] reason in
        self?.connecting = nil
        self?.failed(reason)
      }
    } catch { failed(error.description) }
    server.remoteSet.statusChanged()
  }

  private func connected(_ connection: Connection) {
    Log.info("ovsdb", "\(remote): connected")
    begin(connection)
  }

  private func failed(_ reason: String) {
    // The attempts that follow fail for much the same reason.
    if reason != lastError { Log.warning("ovsdb", "\(remote): \(reason); trying again") }
    lastError = reason
    scheduleRetry()
    server.remoteSet.statusChanged()
  }

  private var pause: Int {
    let longest = max(Self.shortestPause, settings.maximumBackoff ?? Self.longestPause)
    return min(longest, Self.shortestPause << min(attempts, 16))
  }

  private func scheduleRetry() {
    guard !isStopped else { return }
    let pause = self.pause
    attempts += 1
    retry?.cancel()
    retry = server.loop.after(milliseconds: pause) { [weak self] in
      self?.retry = nil
      self?.keepStarting()
    }
  }
}
