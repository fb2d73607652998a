import JSONRPC
import Linux

/// An OVSDB server (RFC 7047) for one or more databases, on one event loop.
///
/// A daemon, or a program that hosts its database itself, does:
///
///     let server = DatabaseServer(loop)
///     try server.open(file: "/var/lib/switchd/conf.db") { try loadSchema() }   // or: server.add(Database(schema: …))
///     try server.listen(on: .listenUnix(path: "/run/switchd/db.sock"))
///     let client = try server.connect()    // a session of this process, without a socket file
///     …
///     server.close()                       // sockets removed, files and locks given up
///
/// The database `_Server` describes the others to clients that look for it.
public final class DatabaseServer {
  let loop: EventLoop
  /// Identifies this run of the server.
  let id = UUID.random()
  public internal(set) var databases: [String: Database] = [:]
  var locks = LockTable()
  private(set) lazy var remoteSet = RemoteSet(self)
  /// What sessions under TLS are made of, as `tls` says.
  let credentials = TLSCredentials()
  var sessions: [ObjectIdentifier: Session] = [:]
  private var retryIsScheduled = false
  let catalog: Database
  /// Whether every transaction is synced before its reply, not only those with `"durable":true`. Holds for databases
  /// added later.
  public var isDurable = false
  /// Whether memory goes back to the system after a file was compacted.
  public var trimsMemory = false
  /// Where keys and certificates are.
  public var tls = TLSSettings() {
    didSet { remoteSet.refresh() }
  }

  public init(_ loop: EventLoop) {
    self.loop = loop
    catalog = Database(ServerCatalog.schema, nil, isReadOnly: true)
    databases[catalog.name] = catalog
    updateCatalog()
  }

  /// Opens a database file and serves it; when there is no such file it is created with `schema`.
  @discardableResult
  public func open(
    file path: String, creating schema: () throws(StorageError) -> DatabaseSchema
  ) throws(StorageError) -> Database {
    let database = try Storage.open(path, creating: schema)
    try add(database)
    return database
  }

  /// A client session of this process.
  public func connect() throws(SystemError) -> Connection {
    let (near, far) = try UnixSocket.pair()
    serve(Connection(loop, owning: FileDescriptor(owning: far), name: "in-process client"), nil)
    return Connection(loop, owning: FileDescriptor(owning: near), name: "in-process database")
  }

  /// Disconnects every client; those that are still wanted come back.
  public func disconnectAll() {
    for session in Array(sessions.values) { disconnect(session) }
  }

  func disconnect(_ session: Session) {
    sessions.removeValue(forKey: ObjectIdentifier(session.connection))
    session.end()
    session.connection.close()
  }

  /// Rewrites the file of the database `name`, or the files of all, without their history, while the service goes on;
  /// then calls `completion`, with what went wrong if anything did.
  public func compact(_ name: String? = nil, then completion: @escaping (StorageError?) -> Void) {
    if let name, databases[name]?.storage == nil {
      return completion(StorageError("there is no database \"\(name)\" with a file"))
    }
    let chosen = databases.values.filter { $0.storage != nil && (name == nil || $0.name == name) }
    var rest = chosen.count
    var failure: StorageError?
    if chosen.isEmpty { completion(nil) }
    for database in chosen {
      database.storage?.compact(database) { [self] error in
        rest -= 1
        failure = failure ?? error
        if rest == 0 {
          if trimsMemory { returnFreeMemory() }
          completion(failure)
        }
      }
    }
  }

  /// Ends the service: clients disconnected, sockets removed, files given up.
  public func close() {
    remoteSet.close()
    // Replies that wait for a sync leave before their sessions end.
    for database in databases.values { database.storage?.close() }
    disconnectAll()
    databases = [:]
  }

  func serve(_ connection: Connection, _ endpoint: RemoteEndpoint?) {
    let session = Session(connection, self)
    session.endpoint = endpoint
    let key = ObjectIdentifier(connection)
    sessions[key] = session
    connection.onRequest = { [unowned session] method, params, id in session.serve(method, params, id) }
    connection.onNotification = { [unowned session] method, params in
      session.serve(notification: method, params)
    }
    connection.onClose = { [weak self] reason in
      Log.debug("ovsdb", "\(connection.name): \(reason)")
      self?.sessions.removeValue(forKey: key)?.end(reason)
    }
  }
}

// What follows a commit.
extension DatabaseServer {
  /// Tells every follower, then lets transactions that wait try again.
  func committed(_ changes: ChangeSet, _ database: Database) {
    database.history.append(changes, leadingTo: database.uuids.next())
    remoteSet.committed(changes, database)
    for plan in database.plans {
      guard let text = plan.text(changes) else { continue }
      for monitor in plan.followers { monitor.send(text) }
    }
    scheduleRetry()
    if let storage = database.storage, storage.wantsCompaction {
      storage.compact(database) { [weak self] error in
        if let error {
          Log.warning("ovsdb", "could not compact \(storage.path): \(error)")
        } else {
          if self?.trimsMemory == true { returnFreeMemory() }
          Log.info("ovsdb", "compacted \(storage.path)")
        }
      }
    }
  }

  private func scheduleRetry() {
    guard !retryIsScheduled, sessions.values.contains(where: { !$0.waiting.isEmpty }) else { return }
    retryIsScheduled = true
    loop.later { [weak self] in
      guard let self else { return }
      retryIsScheduled = false
      for session in Array(sessions.values) {
        for waiting in Array(session.waiting.values) { session.run(waiting) }
      }
    }
  }

  /// Lets a session follow part of a database.
  func follow(
    _ database: Database, _ specification: MonitorPlan.Specification, _ id: JSON, _ session: Session
  ) -> Monitor {
    let plan = plan(specification, database)
    let monitor = Monitor(id, plan, session)
    plan.followers.append(monitor)
    return monitor
  }

  /// Lets a monitor follow what `specification` says from now on, and tells it what that adds and takes away.
  func change(_ monitor: Monitor, to specification: MonitorPlan.Specification) {
    let old = monitor.plan
    guard specification != old.specification else { return }
    let new = plan(specification, old.database)
    remove(monitor)
    new.followers.append(monitor)
    monitor.plan = new
    if let text = new.text(succeeding: old) { monitor.send(text) }
  }

  func remove(_ monitor: Monitor) {
    let plan = monitor.plan
    plan.followers.removeAll { $0 === monitor }
    if plan.followers.isEmpty { plan.database.plans.removeAll { $0 === plan } }
  }

  /// The plan of all who follow the same.
  private func plan(_ specification: MonitorPlan.Specification, _ database: Database) -> MonitorPlan {
    if let plan = database.plans.first(where: { $0.specification == specification }) { return plan }
    let plan = MonitorPlan(specification, database)
    database.plans.append(plan)
    return plan
  }
}

extension Monitor {
  /// Sends an update whose text was made for all followers of the plan.
  fileprivate func send(_ updates: [UInt8]) {
    var params: [UInt8] = [UInt8(ascii: "[")]
    id.write(to: &params)
    if plan.specification.dialect == .update3 {
      params.append(contentsOf: ",\"\(plan.database.history.last)\"".utf8)
    }
    params.append(UInt8(ascii: ","))
    params.append(contentsOf: updates)
    params.append(UInt8(ascii: "]"))
    session.connection.notify(plan.specification.dialect.notification, serialized: params)
  }
}
