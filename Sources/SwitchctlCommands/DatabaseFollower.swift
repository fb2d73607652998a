import JSONRPC
import Linux
import OVSDB

/// Follows some of the database that the options name; a lost connection is made again.
final class DatabaseFollower {
  private let options: GlobalOptions
  private let loop: EventLoop
  private let terminal: Terminal
  private let remotes: [Remote]
  private var failure: CommandError?

  init(_ options: GlobalOptions, _ loop: EventLoop, _ terminal: Terminal) throws(CommandError) {
    self.options = options
    self.loop = loop
    self.terminal = terminal
    remotes = try terminal.personality.remotes(options)
  }

  /// Turns the loop until `isDone`, or until something is wrong that trying again does not cure.
  ///
  /// - Parameters:
  ///   - select: the tables and columns to follow.
  ///   - changed: called with what is there at first, and with every change; and with all of it.
  func follow(
    until isDone: () -> Bool,
    select: @escaping (DatabaseSchema) throws(CommandError) -> [String: [String]],
    changed: @escaping (ReplicaChanges, Replica) -> Void
  ) throws(CommandError) {
    let client = Client(loop, remotes: remotes, options: try options.client()) { [unowned self] schema in
      do throws(CommandError) { return try select(schema) } catch {
        failure = error
        return [:]
      }
    }
    defer { client.stop() }
    var wasConnected = false
    var failures = 0
    client.onChange = { [unowned self, unowned client] changes in
      guard failure == nil, let replica = client.replica else { return }
      wasConnected = true
      changed(changes, replica)
    }
    client.onDisconnect = { [unowned self] reason in
      if wasConnected {
        return terminal.advise("the connection to the database was lost (\(reason)); reconnecting")
      }
      failures += 1
      guard !options.retriesConnection, failures >= remotes.count else { return }
      failure = .connectionFailed(remotes, reason)
    }
    client.start()
    while failure == nil, !isDone() { loop.turn() }
    if let failure { throw failure }
  }
}

extension Remote {
  /// Remotes separated by commas.
  static func all(in text: String) throws(CommandError) -> [Remote] {
    var remotes: [Remote] = []
    for part in text.split(separator: ",") {
      do throws(RemoteError) { remotes.append(try Remote(String(part))) } catch {
        throw CommandError(error.description)
      }
    }
    guard !remotes.isEmpty else { throw .usage("--db needs a remote such as unix:FILE or tcp:HOST:PORT") }
    return remotes
  }
}

extension CommandError {
  static func connectionFailed(_ remotes: [Remote], _ reason: String) -> CommandError {
    CommandError(
      "\(remotes.map(\.description).joined(separator: ",")): database connection failed (\(reason))",
      hint: "; start switchd (or switchdbd), or say where the database is with --db")
  }
}
