import JSONRPC
import Linux

/// One client of the database server.
final class Session {
  let connection: Connection
  unowned let server: DatabaseServer
  /// Where it came from; nil for a client in this process.
  weak var endpoint: RemoteEndpoint?
  var monitors: [JSON: Monitor] = [:]
  var locks: Set<String> = []
  /// Transactions that wait, by request id.
  var waiting: [JSON: Waiting] = [:]
  /// Whether the client wants to know about databases that come and go, instead of being disconnected.
  var isChangeAware = false

  /// What one client may pile up.
  enum Limits {
    static let monitors = 1000
    static let locks = 1000
    static let waiting = 256
  }

  final class Waiting {
    let id: JSON
    let execution: Execution
    var timer: EventLoop.Timer?

    init(_ id: JSON, _ execution: Execution) {
      self.id = id
      self.execution = execution
    }
  }

  init(_ connection: Connection, _ server: DatabaseServer) {
    self.connection = connection
    self.server = server
  }

  func serve(_ method: String, _ params: [JSON], _ id: JSON) {
    guard let handler = Self.methods[method] else { return connection.fail(id, "unknown method") }
    do throws(OVSDBError) {
      if let result = try handler(self, params, id) { connection.reply(to: id, result) }
    } catch {
      connection.fail(id, error.json)
    }
  }

  func serve(notification method: String, _ params: [JSON]) {
    if method == "cancel", params.count == 1 { cancel(params[0]) }
  }

  /// Ends a transaction that waits.
  func cancel(_ id: JSON) {
    guard let waiting = waiting.removeValue(forKey: id) else { return }
    waiting.timer?.cancel()
    connection.fail(waiting.id, "canceled")
  }

  /// Gives back everything the session holds. `reason` is why the peer ended it, if it did.
  func end(_ reason: String? = nil) {
    for monitor in monitors.values { server.remove(monitor) }
    monitors = [:]
    for waiting in waiting.values { waiting.timer?.cancel() }
    waiting = [:]
    for lock in locks { release(lock) }
    locks = []
    endpoint?.ended(reason)
    endpoint = nil
  }

  typealias Handler = @Sendable (Session, [JSON], JSON) throws(OVSDBError) -> JSON?

  /// Every request a client can make; a nil result means that the reply was or will be sent otherwise. `echo` is the
  /// connection's own, `cancel` a notification.
  static let methods: [String: Handler] = [
    "list_dbs": { (s, _, _) throws(OVSDBError) in s.listDatabases() },
    "get_schema": { (s, params, _) throws(OVSDBError) in try s.database(params).schema.json },
    "transact": { (s, params, id) throws(OVSDBError) in try s.transact(params, id) },
    "monitor": { (s, params, id) throws(OVSDBError) in try s.monitor(params, id, .update) },
    "monitor_cond": { (s, params, id) throws(OVSDBError) in try s.monitor(params, id, .update2) },
    "monitor_cond_since": { (s, params, id) throws(OVSDBError) in try s.monitor(params, id, .update3) },
    "monitor_cond_change": { (s, params, _) throws(OVSDBError) in try s.changeMonitor(params) },
    "monitor_cancel": { (s, params, _) throws(OVSDBError) in try s.cancelMonitor(params) },
    "convert": { (s, params, _) throws(OVSDBError) in try s.convert(params) },
    "lock": { (s, params, _) throws(OVSDBError) in try s.lock(params, steal: false) },
    "steal": { (s, params, _) throws(OVSDBError) in try s.lock(params, steal: true) },
    "unlock": { (s, params, _) throws(OVSDBError) in try s.unlock(params) },
    "set_db_change_aware": { (s, params, _) throws(OVSDBError) in try s.setChangeAware(params) },
    "get_server_id": { (s, _, _) throws(OVSDBError) in .string(s.server.id.description) },
  ]

  private func listDatabases() -> JSON {
    .array(server.databases.values.map(\.name).sorted().map(JSON.string))
  }

  /// The database that the first parameter names.
  private func database(_ params: [JSON]) throws(OVSDBError) -> Database {
    guard let name = params.first?.string else {
      throw .syntax("the first parameter must be a database's name")
    }
    guard let database = server.databases[name] else { throw .unknownDatabase(name) }
    return database
  }

  /// `[DATABASE, SCHEMA]`.
  private func convert(_ params: [JSON]) throws(OVSDBError) -> JSON {
    let database = try database(params)
    guard params.count == 2 else { throw .syntax("expected [DATABASE, SCHEMA]") }
    guard endpoint?.settings.isReadOnly != true else {
      throw OVSDBError("not allowed", "clients of this remote may only look")
    }
    try server.convert(database, to: try DatabaseSchema(params[1]))
    return [:]
  }

  private func setChangeAware(_ params: [JSON]) throws(OVSDBError) -> JSON {
    guard params.count == 1, let aware = params[0].bool else {
      throw .syntax("the parameter must be a boolean")
    }
    isChangeAware = aware
    return [:]
  }
}

// Transactions.
extension Session {
  private func transact(_ params: [JSON], _ id: JSON) throws(OVSDBError) -> JSON? {
    let database = try database(params)
    let execution = Execution(database, Array(params.dropFirst())) { [unowned self] lock in
      server.locks.isOwner(self, lock)
    }
    if endpoint?.settings.isReadOnly == true { execution.isReadOnly = true }
    run(Waiting(id, execution))
    return nil
  }

  /// Tries a transaction; it replies, or is kept until something changes or its time is up.
  func run(_ waiting: Waiting) {
    waiting.timer?.cancel()
    switch waiting.execution.attempt() {
    case .finished(let results, let changes):
      self.waiting[waiting.id] = nil
      if let changes, !changes.isEmpty { server.committed(changes, waiting.execution.database) }
      acknowledge(waiting, results)
    case .waiting(let deadline):
      keep(waiting, deadline)
    }
  }

  /// Replies; not before the change is on the medium, if that was asked for.
  private func acknowledge(_ waiting: Waiting, _ results: [JSON]) {
    guard waiting.execution.needsSync, let storage = waiting.execution.database.storage else {
      return connection.reply(to: waiting.id, .array(results))
    }
    guard let reply = connection.hold(replyTo: waiting.id, .array(results)) else { return }
    storage.synchronize { [connection, id = waiting.id] error in
      let failed = error.map { error in
        JSON.array(
          results + [OVSDBError("I/O error", "the change was made, but may not last: \(error)").json])
      }
      connection.release(reply, to: id, as: failed)
    }
  }

  private func keep(_ waiting: Waiting, _ deadline: UInt64?) {
    if let other = self.waiting[waiting.id], other !== waiting {
      return connection.fail(
        waiting.id, OVSDBError("duplicate request ID", "a transaction with this id waits already").json)
    }
    guard self.waiting.count < Limits.waiting || self.waiting[waiting.id] != nil else {
      return connection.fail(
        waiting.id, OVSDBError("resources exhausted", "\(Limits.waiting) transactions wait already").json)
    }
    self.waiting[waiting.id] = waiting
    guard let deadline else { return }
    let now = monotonicNanoseconds()
    let rest = deadline > now ? (deadline - now + 999_999) / 1_000_000 : 0
    waiting.timer = server.loop.after(milliseconds: Int(min(rest, 1 << 31))) { [weak self, unowned waiting] in
      self?.run(waiting)
    }
  }
}

// Monitors.
extension Session {
  private func monitor(_ params: [JSON], _ id: JSON, _ dialect: MonitorPlan.Dialect) throws(OVSDBError)
    -> JSON?
  {
    let database = try database(params)
    guard params.count >= 3 else { throw .syntax("expected [DATABASE, ID, REQUESTS]") }
    let monitorID = params[1]
    guard monitors[monitorID] == nil else { throw Self.duplicateMonitor(monitorID) }
    guard monitors.count < Limits.monitors else {
      throw OVSDBError("resources exhausted", "this session has \(Limits.monitors) monitors already")
    }
    let specification = try MonitorPlan.Specification(params[2], dialect, database)
    let since = dialect == .update3 ? try Self.lastTransaction(params) : nil
    let monitor = server.follow(database, specification, monitorID, self)
    monitors[monitorID] = monitor
    guard dialect == .update3 else {
      connection.reply(to: id, serialized: monitor.plan.initialText())
      return nil
    }
    let missed = since.flatMap(database.history.changes(since:))
    var text = Array("[\(missed != nil),\"\(database.history.last)\",".utf8)
    text += missed.map { monitor.plan.text($0) ?? Array("{}".utf8) } ?? monitor.plan.initialText()
    text.append(UInt8(ascii: "]"))
    connection.reply(to: id, serialized: text)
    return nil
  }

  /// What a client has heard already, if it says so.
  private static func lastTransaction(_ params: [JSON]) throws(OVSDBError) -> UUID? {
    guard params.count > 3 else { return nil }
    guard let text = params[3].string, let last = UUID(text) else {
      throw .syntax("the last transaction must be a UUID, not \(params[3].excerpt)")
    }
    return last
  }

  /// `[ID, NEW-ID, NEW-CONDITIONS]`.
  private func changeMonitor(_ params: [JSON]) throws(OVSDBError) -> JSON {
    guard params.count == 3 else { throw .syntax("expected [ID, NEW-ID, NEW-CONDITIONS]") }
    guard let monitor = monitors[params[0]] else { throw Self.unknownMonitor(params[0]) }
    guard params[1] == params[0] || monitors[params[1]] == nil else { throw Self.duplicateMonitor(params[1]) }
    guard monitor.plan.specification.dialect != .update else {
      throw .syntax("only a monitor made by monitor_cond or monitor_cond_since has conditions")
    }
    let specification = try monitor.plan.specification.changing(params[2], monitor.plan.database)
    monitors[monitor.id] = nil
    monitor.id = params[1]
    monitors[monitor.id] = monitor
    server.change(monitor, to: specification)
    return [:]
  }

  private func cancelMonitor(_ params: [JSON]) throws(OVSDBError) -> JSON {
    guard params.count == 1, let monitor = monitors.removeValue(forKey: params[0]) else {
      throw Self.unknownMonitor(params.first ?? .null)
    }
    server.remove(monitor)
    return [:]
  }

  private static func unknownMonitor(_ id: JSON) -> OVSDBError {
    OVSDBError("unknown monitor", "this session has no monitor \(id.excerpt)")
  }

  private static func duplicateMonitor(_ id: JSON) -> OVSDBError {
    OVSDBError("duplicate monitor ID", "this session has a monitor \(id.excerpt) already")
  }
}

// Locks.
extension Session {
  private func lock(_ params: [JSON], steal: Bool) throws(OVSDBError) -> JSON {
    let lock = try lockName(params)
    guard !locks.contains(lock) else { throw .syntax("unlock \"\(lock)\" before locking it again") }
    guard locks.count < Limits.locks else {
      throw OVSDBError("resources exhausted", "this session has \(Limits.locks) locks already")
    }
    locks.insert(lock)
    if steal {
      server.locks.steal(self, lock)?.connection.notify("stolen", [.string(lock)])
      return ["locked": true]
    }
    return ["locked": .bool(server.locks.lock(self, lock))]
  }

  private func unlock(_ params: [JSON]) throws(OVSDBError) -> JSON {
    let lock = try lockName(params)
    guard locks.remove(lock) != nil else { throw .syntax("this session did not lock \"\(lock)\"") }
    release(lock)
    return [:]
  }

  private func release(_ lock: String) {
    server.locks.unlock(self, lock)?.connection.notify("locked", [.string(lock)])
  }

  private func lockName(_ params: [JSON]) throws(OVSDBError) -> String {
    guard params.count == 1, let name = params[0].string else {
      throw .syntax("the parameter must be a lock's name")
    }
    return name
  }
}
