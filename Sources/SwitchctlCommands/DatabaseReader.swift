import JSONRPC
import Linux
import OVSDB

/// Fetches a whole database from its server: the schema, and in one transaction all rows.
final class DatabaseReader {
  private let options: GlobalOptions
  private let loop: EventLoop

  init(_ context: FileCommandContext) {
    options = context.options
    loop = context.loop
  }

  /// - Returns: the reply to `get_schema`, and the rows of each table as `select` gives them.
  func read(_ database: String) throws(CommandError) -> (schema: JSON, rows: [String: [JSON]]) {
    let connection = try connect()
    defer { connection.close() }
    let schema = try ask(connection, "get_schema", [.string(database)])
    let tables = (schema["tables"]?.object ?? [:]).keys.sorted()
    let results = try ask(
      connection, "transact",
      [.string(database)] + tables.map { ["op": "select", "table": .string($0), "where": []] })
    var rows: [String: [JSON]] = [:]
    for (table, result) in zip(tables, results.array ?? []) {
      guard let found = result["rows"]?.array else {
        throw CommandError("table \(table) could not be read: \(result["details"]?.string ?? result.text)")
      }
      rows[table] = found
    }
    return (schema, rows)
  }

  private func connect() throws(CommandError) -> Connection {
    let text = options.database ?? "unix:\(RunDirectory.resolve(options.runDirectory))/db.sock"
    var limits = Connection.Limits()
    // A whole database comes in one reply.
    limits.input = JSONFramer.Limits(bytes: 1 << 30, depth: 32, values: 64_000_000)
    let remote: Remote
    do throws(RemoteError) { remote = try Remote(text) } catch { throw CommandError(error.description) }
    do throws(SystemError) { return try Connection.connect(to: remote, loop, limits: limits) } catch {
      throw CommandError("cannot reach the database at \(remote) (\(error.reason)); is its server running?")
    }
  }

  private func ask(_ connection: Connection, _ method: String, _ params: [JSON]) throws(CommandError) -> JSON
  {
    var reply: Result<JSON, ReplyError>?
    connection.request(method, params) { reply = $0 }
    let milliseconds = options.timeout.map { $0 * 1000 } ?? Int(Int32.max)
    guard loop.run(atMost: milliseconds, until: { reply != nil }), let reply else {
      throw CommandError("the database did not answer within \(milliseconds / 1000) s")
    }
    switch reply {
    case .success(let result): return result
    case .failure(.refused(let error)): throw CommandError(error["details"]?.string ?? error.text)
    case .failure(.closed(let reason)): throw CommandError(reason)
    }
  }
}
