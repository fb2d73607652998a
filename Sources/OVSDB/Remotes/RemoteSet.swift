import JSONRPC
import Linux

/// The remotes of a server: those that were named, and those that columns of its databases name, which come and go as
/// the columns change.
final class RemoteSet {
  private unowned let server: DatabaseServer
  private(set) var sources: [RemoteSource] = []
  private(set) var endpoints: [Remote: RemoteEndpoint] = [:]
  /// Rows that take the status of a remote.
  private(set) var rows: [Remote: RemoteRow] = [:]
  /// Where sockets must be that rows ask for; nil: anywhere.
  var socketDirectory: String?
  /// For each database, the tables that say something about remotes or TLS.
  private var watched: [String: Set<Int>] = [:]
  private var complaints: Set<String> = []
  private var refreshIsScheduled = false
  private var statusIsScheduled = false
  private var statusTimer: EventLoop.Timer?

  /// Rows learn at least so often for how long they are connected, as they do from ovsdb-server.
  private static let statusMilliseconds = 2500

  init(_ server: DatabaseServer) { self.server = server }

  /// Adds a source; where it listens, if that is one place.
  ///
  /// - Parameter isOptional: whether a column may be missing now, since its database may come later.
  @discardableResult
  func add(_ source: RemoteSource, isOptional: Bool = false) throws(SystemError) -> Remote? {
    if sources.contains(source) { return listening(source) }
    switch source.kind {
    case .remote(let remote):
      let endpoint = RemoteEndpoint(remote, RemoteSettings(), server)
      if endpoints[remote] == nil {
        endpoints[remote] = endpoint
        do throws(SystemError) { try endpoint.start() } catch {
          endpoints[remote] = nil
          throw error
        }
      }
    case .column(let column):
      if !isOptional {
        _ = try RemoteColumn(column, in: server.databases, socketDirectory: socketDirectory)
      }
    }
    sources.append(source)
    refresh()
    return listening(source)
  }

  /// Where it listens, with the port that was chosen, if that is one place.
  func listening(_ source: RemoteSource) -> Remote? {
    guard case .remote(let remote) = source.kind else { return nil }
    return endpoints[remote]?.listening
  }

  /// The source, with the port that was chosen if it left that open.
  func settled(_ source: RemoteSource) -> RemoteSource {
    switch source.kind {
    case .remote(.listenTCP(_, 0)), .remote(.listenTLS(_, 0)):
      listening(source).map(RemoteSource.init) ?? source
    default: source
    }
  }

  /// Gives up a source, and its sessions; says whether there was one.
  func remove(_ source: RemoteSource) -> Bool {
    guard let index = sources.firstIndex(where: { $0 == source || settled($0) == source }) else {
      return false
    }
    sources.remove(at: index)
    refresh()
    return true
  }

  func close() {
    sources = []
    statusTimer?.cancel()
    statusTimer = nil
    for endpoint in endpoints.values { endpoint.stop() }
    endpoints = [:]
    rows = [:]
    watched = [:]
  }

  /// Makes the endpoints those that the sources want now.
  func refresh() {
    watched = [:]
    server.credentials.configuration = server.tls.configuration(server.databases)
    for column in server.tls.columns {
      guard let found = try? column.find(in: server.databases) else { continue }
      watched[column.database, default: []].insert(found.table.place)
    }
    let wanted = self.wanted()
    rows = wanted.compactMapValues(\.row)
    for (remote, endpoint) in endpoints {
      guard let settings = wanted[remote]?.settings, endpoint.canTake(settings) else {
        endpoint.stop()
        endpoints[remote] = nil
        continue
      }
      endpoint.take(settings)
    }
    for (remote, want) in wanted where endpoints[remote] == nil {
      let endpoint = RemoteEndpoint(remote, want.settings, server)
      endpoints[remote] = endpoint
      endpoint.keepStarting()
    }
    statusChanged()
  }

  private func wanted() -> [Remote: WantedRemote] {
    var wanted: [Remote: WantedRemote] = [:]
    var complaints: Set<String> = []
    for source in sources {
      switch source.kind {
      case .remote(let remote): wanted[remote] = wanted[remote] ?? WantedRemote(remote: remote)
      case .column(let column):
        // While its database is not there, there is nothing to obey.
        guard
          let said = try? RemoteColumn(column, in: server.databases, socketDirectory: socketDirectory)
        else { continue }
        watched[column.database, default: []].formUnion(said.tables)
        complaints.formUnion(said.complaints.map { "\(column): \($0)" })
        for want in said.wanted { wanted[want.remote] = want }
      }
    }
    for complaint in complaints.subtracting(self.complaints) { Log.warning("ovsdb", complaint) }
    self.complaints = complaints
    return wanted
  }

  /// Looks at the end of the turn what a commit means for the remotes.
  func committed(_ changes: ChangeSet, _ database: Database) {
    guard !refreshIsScheduled else { return }
    let concerns =
      database === server.catalog
      || watched[database.name].map { tables in changes.contains { tables.contains($0.table) } } == true
    guard concerns else { return }
    refreshIsScheduled = true
    server.loop.later { [weak self] in
      self?.refreshIsScheduled = false
      self?.refresh()
    }
  }
}

// Status.
extension RemoteSet {
  /// Tells the rows, at the end of the turn, how their remotes are.
  func statusChanged() {
    guard !statusIsScheduled, !rows.isEmpty else { return }
    statusIsScheduled = true
    server.loop.later { [weak self] in
      self?.statusIsScheduled = false
      self?.writeStatus()
    }
  }

  private func writeStatus() {
    var transactions: [ObjectIdentifier: Transaction] = [:]
    for (remote, row) in rows {
      guard server.databases[row.database.name] === row.database, !row.database.isReadOnly else { continue }
      let transaction = transactions[ObjectIdentifier(row.database), default: Transaction(row.database)]
      transactions[ObjectIdentifier(row.database)] = transaction
      if let endpoint = endpoints[remote] { write(endpoint.status(server.locks), row, transaction) }
    }
    for transaction in transactions.values {
      do throws(OVSDBError) {
        let changes = try transaction.commit()
        if !changes.isEmpty { server.committed(changes, transaction.database) }
      } catch { Log.warning("ovsdb", "the status of remotes cannot be written: \(error.details)") }
    }
    statusTimer?.cancel()
    statusTimer = nil
    guard !rows.isEmpty else { return }
    statusTimer = server.loop.after(milliseconds: Self.statusMilliseconds) { [weak self] in
      self?.statusChanged()
    }
  }

  private func write(_ status: RemoteStatus, _ place: RemoteRow, _ transaction: Transaction) {
    guard let old = place.table.rows[place.uuid] else { return }
    var row = old
    for (name, value) in [
      ("is_connected", Datum(status.isConnected)), ("status", Datum(status.details)),
    ] {
      guard let index = place.table.schema.columnIndex[name],
        (try? place.table.schema.columns[index].type.check(value)) != nil
      else { continue }
      row.columns[index] = value
    }
    if row != old { transaction.replace(place.table, row) }
  }
}
