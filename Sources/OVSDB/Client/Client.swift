import JSONRPC
import Linux

/// A client of one database: keeps a replica of the monitored tables and sends transactions.
///
/// It connects, and reconnects for ever with a growing pause between attempts. After every connection it asks what the
/// server is (ClientSession.swift), reads the schema, and monitors from the transaction it heard of last; a server that does
/// not remember that sends everything, which is compared with what was there. So a listener sees one batch of changes per
/// reconnection and one per update. Of a cluster's servers only the leader is used, because what others accept may be
/// refused later. A server that sends nonsense loses the session: one line in the log, and another attempt. It belongs
/// to the event loop's thread.
public final class Client {
  public struct Options: Sendable {
    public var database = "Open_vSwitch"
    /// Pause after the first failed attempt, in milliseconds; doubled after each further one.
    public var minimumBackoff = 100
    /// Longest pause; nil: 8000 for TCP and 1000 for unix sockets, where an attempt costs nothing.
    public var maximumBackoff: Int?
    /// An idle server is asked for an echo after so many milliseconds, and given up after as many again; nil: 5000
    /// for TCP and never for unix sockets, whose end the kernel reports.
    public var probeInterval: Int?
    public var limits = Connection.Limits()
    /// Of a cluster, use the leader only.
    public var leaderOnly = true
    /// For `ssl:` remotes.
    public var tls: TLSConfiguration?
    public init() {}
  }

  /// Chooses the tables and columns to monitor from the server's schema.
  public typealias Selector = (DatabaseSchema) -> [String: [String]]

  /// Called when the replica has changed: once after (re)connecting, even when nothing differs, and once per batch.
  public var onChange: ((ReplicaChanges) -> Void)?
  /// Called with the reason when a session ends or cannot be made; the client goes on trying.
  public var onDisconnect: ((String) -> Void)?

  /// What the database held when it was last heard of; nil before the first synchronization.
  public internal(set) var replica: Replica?
  /// Whether there is a session and the replica follows it.
  public internal(set) var isSynchronized = false
  /// Whether the lock asked for by `lock` is held.
  public internal(set) var hasLock = false

  private let loop: EventLoop
  private let remotes: [Remote]
  let options: Options
  let selector: Selector
  var connection: Connection?
  private let credentials: TLSCredentials?
  private var retry: EventLoop.Timer?
  var attempts = 0
  private var nextRemote = 0
  /// The last transaction heard of in `replica`, for a server to go on from.
  var lastTransaction: UUID?
  /// The rows of the server's table `Database`, by UUID: its columns, but for those at their default.
  var serverState: [String: [String: JSON]] = [:]
  /// The kind of updates this session gets.
  var dialect = MonitorPlan.Dialect.update
  var lockName: String?
  var onLock: ((Bool) -> Void)?

  /// A client of the database served at any of `remotes` (not empty), tried in turn. Call `start` to connect.
  public init(
    _ loop: EventLoop, remotes: [Remote], options: Options = Options(),
    monitoring selector: @escaping Selector
  ) {
    precondition(!remotes.isEmpty, "a client needs a remote")
    self.loop = loop
    self.remotes = remotes
    self.options = options
    credentials = options.tls.map(TLSCredentials.init)
    self.selector = selector
  }

  deinit {
    retry?.cancel()
    connection?.close()
  }

  /// Monitors these tables; nil stands for all columns. What the server's schema lacks is left out.
  public static func tables(_ wanted: [String: [String]?]) -> Selector {
    { schema in
      var selection: [String: [String]] = [:]
      for (name, columns) in wanted {
        guard let table = schema[table: name] else { continue }
        selection[name] = columns?.filter { table[column: $0] != nil } ?? table.columns.map(\.name)
      }
      return selection
    }
  }

  /// Monitors everything.
  public static func everything(_ schema: DatabaseSchema) -> [String: [String]] {
    [String: [String]](uniqueKeysWithValues: schema.tables.map { ($0.name, $0.columns.map(\.name)) })
  }

  /// The remote in use, or tried next.
  public var remote: Remote { remotes[nextRemote] }

  public func start() {
    guard connection == nil, retry == nil else { return }
    connect()
  }

  /// Ends the session and stops trying. Transactions without a reply fail.
  public func stop() {
    retry?.cancel()
    retry = nil
    let connection = self.connection
    self.connection = nil
    connection?.close()
    forgetSession()
  }

  /// Sends one transaction; `completion` is called once. The replica reflects its effects by then.
  public func transact(
    _ operations: [JSON], _ completion: @escaping (Result<TransactionResult, TransactionError>) -> Void
  ) {
    guard let connection, isSynchronized else { return completion(.failure(.notConnected)) }
    connection.request("transact", [.string(options.database)] + operations) { reply in
      completion(Self.result(reply, operations.count))
    }
  }

  /// Asks for the named lock, now and after every reconnection; `onLock` says when it is acquired and lost.
  public func lock(_ name: String, _ onLock: @escaping (Bool) -> Void) {
    lockName = name
    self.onLock = onLock
    if let connection { requestLock(connection) }
  }

  private static func result(_ reply: Result<JSON, ReplyError>, _ operations: Int)
    -> Result<TransactionResult, TransactionError>
  {
    do throws(TransactionError) {
      switch reply {
      case .success(let json): return .success(try TransactionResult(json, operations: operations))
      case .failure(.refused(let error)):
        throw .refused(OVSDBError(error)?.description ?? error.string ?? error.excerpt)
      case .failure(.closed(let reason)): throw .connectionLost(reason)
      }
    } catch { return .failure(error) }
  }
}

// Connecting.
extension Client {
  private func connect() {
    retry = nil
    do throws(SystemError) {
      let connection = try Connection.connect(
        to: remote, loop, limits: options.limits, options: TransportOptions(tls: credentials))
      self.connection = connection
      // Strong for as long as it is the session: a late event of an old connection must find nobody.
      connection.onClose = { [weak self, weak connection] reason in
        guard let self, let connection, connection === self.connection else { return }
        sessionEnded(reason)
      }
      connection.onNotification = { [weak self, weak connection] method, params in
        guard let self, let connection, connection === self.connection else { return }
        notified(method, params)
      }
      connection.probe(everyMilliseconds: options.probeInterval ?? (remote.isNetwork ? 5000 : 0))
      if lockName != nil { requestLock(connection) }
      requestServerState(connection)
    } catch { sessionEnded(error.reason) }
  }

  /// Schedules the next attempt and tells the listeners that there is no session.
  private func sessionEnded(_ reason: String) {
    // Once per outage: the attempts that follow fail for much the same reason.
    if attempts == 0 { Log.warning("ovsdb-client", "\(remote): \(reason); reconnecting") }
    connection = nil
    forgetSession()
    let longest = max(options.minimumBackoff, options.maximumBackoff ?? (remote.isNetwork ? 8000 : 1000))
    let pause = min(longest, options.minimumBackoff << min(attempts, 16))
    attempts += 1
    nextRemote = (nextRemote + 1) % remotes.count
    retry = loop.after(milliseconds: pause) { [weak self] in self?.connect() }
    onDisconnect?(reason)
  }

  private func forgetSession() {
    isSynchronized = false
    serverState = [:]
    setLock(false)
  }

  /// What the server sent cannot be worked with.
  func giveUp(_ connection: Connection, _ reason: String) {
    guard connection === self.connection else { return }
    self.connection = nil
    connection.close()
    sessionEnded(reason)
  }
}
