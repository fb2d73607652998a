import JSONRPC
import Linux

/// A column of a database, `db:DATABASE,TABLE,COLUMN`, of which something is read whatever it holds by then.
public struct DatabaseColumn: Hashable, Sendable, CustomStringConvertible {
  public let database: String
  public let table: String
  public let column: String

  public init(database: String, table: String, column: String) {
    self.database = database
    self.table = table
    self.column = column
  }

  /// Nil when `text` is not of that form.
  init?(_ text: String) {
    guard text.hasPrefix("db:") else { return nil }
    let parts = text.dropFirst(3).split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    guard parts.count == 3, !parts.contains("") else { return nil }
    self.init(database: parts[0], table: parts[1], column: parts[2])
  }

  public var description: String { "db:\(database),\(table),\(column)" }

  /// The table, and the column's place in it.
  func find(in databases: [String: Database]) throws(SystemError) -> (table: Table, column: Int) {
    guard let database = databases[database] else { throw complaint("no database named \(database)") }
    guard let place = database.schema.tableIndex[table] else { throw complaint("no table named \(table)") }
    let table = database.tables[place]
    guard let index = table.schema.columnIndex[column] else { throw complaint("no column named \(column)") }
    return (table, index)
  }

  func complaint(_ text: String) -> SystemError { SystemError("\"\(self)\": \(text)", code: 0) }
}

/// A remote of the server as `--remote` and `add-remote` name it: one, or those that a column of a database holds, as
/// connection strings or as references to rows that describe them (ovsdb-server(1), `--remote`).
public struct RemoteSource: Hashable, Sendable, CustomStringConvertible {
  enum Kind: Hashable, Sendable {
    case remote(Remote)
    case column(DatabaseColumn)
  }

  let kind: Kind
  /// As it was written.
  public let description: String

  public init(_ text: String) throws(RemoteError) {
    description = text
    guard text.hasPrefix("db:") else {
      kind = .remote(try Remote(text))
      return
    }
    guard let column = DatabaseColumn(text) else {
      throw RemoteError("\"\(text)\" is not a column: write db:DATABASE,TABLE,COLUMN")
    }
    kind = .column(column)
  }

  public init(_ remote: Remote) {
    kind = .remote(remote)
    description = remote.description
  }

  public init(_ column: DatabaseColumn) {
    kind = .column(column)
    description = column.description
  }

  /// The managers that a switch's database names.
  public static let managers = RemoteSource(
    DatabaseColumn(database: "Open_vSwitch", table: "Open_vSwitch", column: "manager_options"))

  /// How it was written does not matter.
  public static func == (a: RemoteSource, b: RemoteSource) -> Bool { a.kind == b.kind }
  public func hash(into hasher: inout Hasher) { hasher.combine(kind) }
}
