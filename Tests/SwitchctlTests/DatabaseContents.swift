import JSONRPC
import Linux
import OVSDB
import Testing

@testable import SwitchctlCommands

/// Everything in a database as text that does not depend on UUIDs: references are written as names.
final class DatabaseContents {
  private let loop: EventLoop
  private let client: Client

  init(_ loop: EventLoop, _ remote: Remote) throws {
    self.loop = loop
    client = Client(loop, remotes: [remote], monitoring: Client.everything)
    client.start()
    let client = client
    let isThere = loop.run(atMost: 20_000) { client.isSynchronized }
    try #require(isThere)
  }

  /// One line per row, sorted. All that was committed before the call is there: a server sends pending updates before
  /// a reply.
  func text() throws -> String {
    var isAnswered = false
    client.transact([["op": "comment", "comment": "anything new?"]]) { _ in isAnswered = true }
    let isThere = loop.run(atMost: 20_000) { isAnswered }
    try #require(isThere)
    let replica = try #require(client.replica)
    return replica.schema.tables.flatMap { table in
      replica.rows(table.name).map { row in
        let columns = table.columns.map { "\($0.name)=\(value(row[$0.name], $0.type, replica))" }
        return "\(table.name): \(columns.joined(separator: " "))"
      }
    }.sorted().joined(separator: "\n")
  }

  private func value(_ datum: Datum, _ type: ColumnType, _ replica: Replica) -> String {
    let keys = datum.keys.map { atom($0, type.key, replica) }
    guard let value = type.value else { return "\(keys.sorted())" }
    return "\(zip(keys, datum.values).map { "\($0)=\(atom($1, value, replica))" }.sorted())"
  }

  private func atom(_ atom: Atom, _ base: BaseType, _ replica: Replica) -> String {
    guard case .uuid(let uuid) = atom, let table = base.referenceTable else { return atom.description }
    let row = replica.row(table, uuid)
    return "\(table) \(row?.string("name") ?? row?.string("target") ?? "")"
  }
}
