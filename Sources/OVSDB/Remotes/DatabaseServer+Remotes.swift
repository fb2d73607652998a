import JSONRPC
import Linux

// Where the server is reached.
extension DatabaseServer {
  /// The remotes as they were named, but with the port that was chosen where it was to be chosen; those that columns name
  /// are not listed.
  public var remotes: [RemoteSource] { remoteSet.sources.map(remoteSet.settled) }

  /// Adds a remote: accepts clients there, connects to a client, or does either as a column says. On an error nothing was
  /// added.
  ///
  /// - Parameter isOptional: whether a column may be missing now, since its database may come later.
  public func add(_ source: RemoteSource, isOptional: Bool = false) throws(SystemError) {
    try remoteSet.add(source, isOptional: isOptional)
  }

  /// Gives up a remote, and the sessions that came by it; says whether there was one.
  public func remove(_ source: RemoteSource) -> Bool { remoteSet.remove(source) }

  /// Where clients are accepted that need no certificate, or else where they need one.
  public var firstListener: Remote? {
    let listening = remotes.compactMap(remoteSet.listening)
    return listening.first { !$0.isTLS } ?? listening.first
  }

  /// Accepts clients on a passive remote; returns it with the port that was chosen.
  @discardableResult
  public func listen(on remote: Remote) throws(SystemError) -> Remote {
    try remoteSet.add(RemoteSource(remote)) ?? remote
  }

  /// Lets rows of a database ask for sockets in this directory only.
  public func confineSockets(to directory: String) { remoteSet.socketDirectory = directory }

  /// Reads the files of TLS, as far as they are named without a database, before privileges are given up.
  public func loadCredentials() throws(TLSError) {
    if !tls.isEmpty, tls.columns.isEmpty { try credentials.load() }
  }

  /// What the server holds, as `memory/show` tells it.
  public var census: [(name: String, count: Int)] {
    let rows = databases.values.reduce(0) { $0 + $1.tables.reduce(0) { $0 + $1.rows.count } }
    let monitors = sessions.values.reduce(0) { $0 + $1.monitors.count }
    return [("monitors", monitors), ("rows", rows), ("sessions", sessions.count)]
  }
}
