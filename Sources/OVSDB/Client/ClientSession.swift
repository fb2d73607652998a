import JSONRPC
import Linux

// One session of the client, in the order of its requests: what the server is, the schema, the monitor, then updates.
//
// A server with the database `_Server` (ovsdb-server(5), OVS 2.9) says there whether it is connected to its cluster and the
// cluster's leader; one that understands `monitor_cond_since` (OVS 2.12) goes on from where the client was. Any other is
// spoken to as RFC 7047 has it.
extension Client {
  private static let serverDatabase = "_Server"

  func requestServerState(_ connection: Connection) {
    let name = JSON.string(Self.serverDatabase)
    let columns: JSON = [["columns": ["name", "model", "connected", "leader"]]]
    connection.request("monitor_cond", [name, name, ["Database": columns]]) { [weak self] reply in
      guard let self, connection === self.connection else { return }
      switch reply {
      case .success(let updates):
        dialect = .update3
        do throws(OVSDBError) { try noteServerState(updates) } catch {
          return giveUp(connection, "malformed reply to monitor_cond: \(error.details)")
        }
        guard isUsable(connection) else { return }
        // Else the server would hang up when another database comes or goes.
        ask(connection, "set_db_change_aware", [true]) { (_, _) throws(OVSDBError) in }
        requestSchema(connection)
      case .failure(.refused):
        dialect = .update
        requestSchema(connection)
      case .failure(.closed): break
      }
    }
  }

  /// Keeps the rows of the table `Database`.
  private func noteServerState(_ updates: JSON) throws(OVSDBError) {
    guard case .object(let tables) = updates else {
      throw .syntax("table updates must be an object, not \(updates.excerpt)")
    }
    for (row, update) in tables["Database"]?.object ?? [:] {
      if let values = update["initial"] ?? update["insert"] ?? update["modify"] {
        serverState[row, default: [:]].merge(values.object ?? [:]) { $1 }
      } else {
        serverState[row] = nil
      }
    }
  }

  /// Whether the server can be used for the database now; gives it up otherwise.
  private func isUsable(_ connection: Connection) -> Bool {
    guard let row = serverState.values.first(where: { $0["name"]?.string == options.database }) else {
      giveUp(connection, "it does not serve the database \(options.database)")
      return false
    }
    // What is false is left out of updates at first.
    guard row["model"]?.string == "clustered" else { return true }
    if row["connected"]?.bool != true {
      giveUp(connection, "it has lost its cluster")
      return false
    }
    if options.leaderOnly, row["leader"]?.bool != true {
      giveUp(connection, "it is not its cluster's leader")
      return false
    }
    return true
  }

  private func requestSchema(_ connection: Connection) {
    ask(connection, "get_schema", [.string(options.database)]) { client, reply throws(OVSDBError) in
      client.requestMonitor(connection, try DatabaseSchema(reply))
    }
  }

  private func requestMonitor(_ connection: Connection, _ schema: DatabaseSchema) {
    let selection = selector(schema)
    let requests = JSON.object(
      selection.mapValues { columns in [["columns": .array(columns.map { .string($0) })]] })
    let name = JSON.string(options.database)
    let empty = Replica(schema: schema, monitored: selection)
    guard dialect == .update3 else {
      return ask(connection, "monitor", [name, name, requests]) { client, reply throws(OVSDBError) in
        try client.begin(empty, reply)
      }
    }
    let isContinued = replica?.schema == schema && replica?.monitored == selection
    let last = isContinued ? lastTransaction ?? .zero : .zero
    connection.request("monitor_cond_since", [name, name, requests, .string(last.description)]) {
      [weak self] reply in
      guard let self, connection === self.connection else { return }
      switch reply {
      case .success(let json):
        do throws(OVSDBError) { try goOn(isContinued, empty, json) } catch {
          giveUp(connection, "malformed reply to monitor_cond_since: \(error.details)")
        }
      case .failure(.refused):
        dialect = .update
        requestMonitor(connection, schema)
      case .failure(.closed): break
      }
    }
  }

  /// Takes up the reply to `monitor_cond_since`: `[FOUND, TRANSACTION, UPDATES]`.
  private func goOn(_ isContinued: Bool, _ empty: Replica, _ reply: JSON) throws(OVSDBError) {
    guard let found = reply[0]?.bool, let last = reply[1]?.string, let updates = reply[2] else {
      throw .syntax("expected [FOUND, TRANSACTION, UPDATES], not \(reply.excerpt)")
    }
    if found, isContinued {
      synchronized(try replica?.apply(updates, dialect) ?? ReplicaChanges())
    } else {
      try begin(empty, updates)
    }
    lastTransaction = UUID(last)
  }

  /// Takes up a replica that `updates` fill, and tells the listener how it differs from the one before.
  private func begin(_ empty: Replica, _ updates: JSON) throws(OVSDBError) {
    var replica = empty
    let initial = try replica.apply(updates, dialect)
    let changes = self.replica.map { $0.changes(to: replica) } ?? initial
    self.replica = replica
    synchronized(changes)
  }

  private func synchronized(_ changes: ReplicaChanges) {
    isSynchronized = true
    attempts = 0
    onChange?(changes)
  }

  func notified(_ method: String, _ params: [JSON]) {
    guard let connection else { return }
    switch method {
    case "update2" where params.first == .string(Self.serverDatabase):
      do throws(OVSDBError) { try noteServerState(params.last ?? .null) } catch {
        return giveUp(connection, "malformed update: \(error.details)")
      }
      _ = isUsable(connection)
    case dialect.notification: updated(connection, params)
    // Its schema is another one now, or it is gone.
    case "monitor_canceled": giveUp(connection, "the database was converted or removed")
    case "locked": if params.first?.string == lockName { setLock(true) }
    case "stolen": if params.first?.string == lockName { setLock(false) }
    default: break
    }
  }

  /// `[monitor id, table updates]` (RFC 7047 §4.1.6), or `[monitor id, transaction, table updates]`.
  private func updated(_ connection: Connection, _ params: [JSON]) {
    guard isSynchronized, params.count == (dialect == .update3 ? 3 : 2),
      params[0] == .string(options.database), let updates = params.last
    else { return giveUp(connection, "an update that was not asked for") }
    do throws(OVSDBError) {
      guard let changes = try replica?.apply(updates, dialect) else { return }
      if dialect == .update3 { lastTransaction = params[1].string.flatMap(UUID.init) }
      if !changes.isEmpty { onChange?(changes) }
    } catch { giveUp(connection, "malformed update: \(error.details)") }
  }

  func requestLock(_ connection: Connection) {
    guard let lockName else { return }
    ask(connection, "lock", [.string(lockName)]) { client, reply throws(OVSDBError) in
      guard let locked = reply["locked"]?.bool else { throw .syntax("the reply to lock has no \"locked\"") }
      if locked { client.setLock(true) }
    }
  }

  func setLock(_ held: Bool) {
    guard held != hasLock else { return }
    hasLock = held
    onLock?(held)
  }

  /// Sends a request of the session's own; an error or a malformed reply ends the session.
  private func ask(
    _ connection: Connection, _ method: String, _ params: [JSON],
    _ handle: @escaping (Client, JSON) throws(OVSDBError) -> Void
  ) {
    connection.request(method, params) { [weak self] reply in
      // A closed session is reported by `onClose`.
      guard let self, connection === self.connection else { return }
      switch reply {
      case .success(let json):
        do throws(OVSDBError) { try handle(self, json) } catch {
          giveUp(connection, "malformed reply to \(method): \(error.details)")
        }
      case .failure(.refused(let error)):
        giveUp(
          connection, "\(method) failed: \(OVSDBError(error)?.description ?? error.string ?? error.excerpt)")
      case .failure(.closed): break
      }
    }
  }
}
