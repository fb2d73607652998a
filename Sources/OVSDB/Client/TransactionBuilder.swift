import JSONRPC

/// Collects the operations of one `transact` (RFC 7047 §5.2).
///
/// Inserted rows are known by a UUID the caller makes up. Wherever that UUID appears as a value in the same
/// transaction, it is sent as the insert's `named-uuid`; the server then chooses the real one.
public struct TransactionBuilder {
  private var collected: [JSON] = []
  private var inserted: Set<UUID> = []

  public init() {}

  public var isEmpty: Bool { collected.isEmpty }
  /// The place the next operation will have, and its result.
  public var count: Int { collected.count }

  /// What `Client.transact` sends.
  public var operations: [JSON] { inserted.isEmpty ? collected : collected.map(naming) }

  /// Inserts a row that this transaction calls `uuid`. Returns its operation's index: the result's `uuid` is there.
  /// - Parameter keepsUUID: the server has to give the row this UUID (ovsdb-server(7), "Insert"), not one of its choice.
  @discardableResult
  public mutating func insert(
    _ table: TableSchema, _ uuid: UUID = .random(), _ row: [String: Datum], keepsUUID: Bool = false
  ) -> Int {
    if keepsUUID {
      return append([
        "op": "insert", "table": .string(table.name), "uuid": .string(uuid.description),
        "row": Self.row(table, row),
      ])
    }
    inserted.insert(uuid)
    return append([
      "op": "insert", "table": .string(table.name), "uuid-name": .string(Self.name(uuid)),
      "row": Self.row(table, row),
    ])
  }

  @discardableResult
  public mutating func update(_ table: TableSchema, _ uuid: UUID, _ row: [String: Datum]) -> Int {
    append([
      "op": "update", "table": .string(table.name), "where": Self.isRow(uuid), "row": Self.row(table, row),
    ])
  }

  @discardableResult
  public mutating func delete(_ table: TableSchema, _ uuid: UUID) -> Int {
    append(["op": "delete", "table": .string(table.name), "where": Self.isRow(uuid)])
  }

  /// One mutation of one column; `mutator` is `+=`, `insert`, `delete`, … (RFC 7047 §5.1).
  @discardableResult
  public mutating func mutate(
    _ table: TableSchema, _ uuid: UUID, _ column: String, _ mutator: String, _ value: JSON
  )
    -> Int
  {
    append([
      "op": "mutate", "table": .string(table.name), "where": Self.isRow(uuid),
      "mutations": [[.string(column), .string(mutator), value]],
    ])
  }

  /// Fails the transaction unless the row still has these values ("timed out": see `TransactionError.isConflict`).
  @discardableResult
  public mutating func expect(_ table: TableSchema, _ uuid: UUID, _ row: [String: Datum]) -> Int {
    append([
      "op": "wait", "table": .string(table.name), "timeout": 0, "where": Self.isRow(uuid), "until": "==",
      "columns": .array(row.keys.sorted().map { .string($0) }), "rows": [Self.row(table, row)],
    ])
  }

  /// Fails the transaction unless the table is empty.
  @discardableResult
  public mutating func expectEmpty(_ table: TableSchema) -> Int {
    append([
      "op": "wait", "table": .string(table.name), "timeout": 0, "where": [], "until": "==", "columns": [],
      "rows": [],
    ])
  }

  @discardableResult
  public mutating func select(_ table: TableSchema, _ uuid: UUID, columns: [String]) -> Int {
    append([
      "op": "select", "table": .string(table.name), "where": Self.isRow(uuid),
      "columns": .array(columns.map { .string($0) }),
    ])
  }

  /// Fails the transaction unless this client owns the lock.
  @discardableResult
  public mutating func assertLock(_ name: String) -> Int { append(["op": "assert", "lock": .string(name)]) }

  /// Words for the database's log.
  @discardableResult
  public mutating func comment(_ text: String) -> Int { append(["op": "comment", "comment": .string(text)]) }

  /// Makes the server check everything and then undo it.
  @discardableResult
  public mutating func abort() -> Int { append(["op": "abort"]) }

  private mutating func append(_ operation: JSON) -> Int {
    collected.append(operation)
    return collected.count - 1
  }

  private static func isRow(_ uuid: UUID) -> JSON { [["_uuid", "==", ["uuid", .string(uuid.description)]]] }

  private static func row(_ table: TableSchema, _ row: [String: Datum]) -> JSON {
    var object: [String: JSON] = [:]
    for (name, datum) in row {
      guard let column = table[column: name] else { continue }
      object[name] = datum.json(column.type)
    }
    return .object(object)
  }

  /// A `uuid-name`: an identifier, so without dashes (RFC 7047 §3.1).
  private static func name(_ uuid: UUID) -> String {
    "row" + String(uuid.description.map { $0 == "-" ? "_" : $0 })
  }

  private func naming(_ json: JSON) -> JSON {
    switch json {
    case .array(let parts):
      if parts.count == 2, parts[0] == "uuid", let text = parts[1].string, let uuid = UUID(text),
        inserted.contains(uuid)
      {
        return ["named-uuid", .string(Self.name(uuid))]
      }
      return .array(parts.map(naming))
    case .object(let members): return .object(members.mapValues(naming))
    default: return json
    }
  }
}
