import JSONRPC
import Testing

@testable import OVSDB

/// Keeps its own copy of a part of the database by what a monitor tells it.
final class Follower {
  enum Kind: CaseIterable { case update, update2, update3 }

  let kind: Kind
  private let connect: () throws -> TestClient
  private var client: TestClient
  private let schema: DatabaseSchema
  /// What is followed: columns, and clauses of which one has to hold; without any, every row.
  private(set) var columns: [String: [String]] = [:]
  private(set) var conditions: [String: [JSON]] = [:]
  private(set) var rows: [String: [UUID: [String: Datum]]] = [:]
  private var number = 0
  private var last: JSON = .string(UUID.zero.description)
  /// How often it went on from where it was.
  private(set) var continued = 0

  init(
    _ kind: Kind, _ schema: DatabaseSchema,
    connect: @escaping () throws -> TestClient
  ) throws {
    self.kind = kind
    self.schema = schema
    self.connect = connect
    client = try connect()
  }

  /// Begins to follow these columns of these tables.
  func follow(_ columns: [String: [String]], _ conditions: [String: [JSON]]) throws {
    if number > 0 { try client.ask("monitor_cancel", "[\(number)]") }
    number += 1
    client.events = []
    self.columns = columns
    self.conditions = kind == .update ? [:] : conditions
    last = .string(UUID.zero.description)
    try begin()
  }

  private var requests: JSON {
    .object(
      columns.reduce(into: [:]) { requests, part in
        var request: [String: JSON] = ["columns": .array(part.value.map { .string($0) })]
        if let clauses = conditions[part.key] { request["where"] = .array(clauses) }
        requests[part.key] = [.object(request)]
      })
  }

  private func begin() throws {
    let request = "\"Test\",\(number),\(requests)"
    if kind == .update3 {
      let reply = try client.ask("monitor_cond_since", "[\(request),\(last)]")
      if reply[0] == true { continued += 1 } else { rows = columns.mapValues { _ in [:] } }
      last = try #require(reply[1])
      return try apply(try #require(reply[2]))
    }
    rows = columns.mapValues { _ in [:] }
    try apply(try client.ask(kind == .update ? "monitor" : "monitor_cond", "[\(request)]"))
  }

  /// Loses the connection for a while.
  func reconnect(meanwhile body: () throws -> Void) throws {
    try listen()
    client.connection.close()
    try body()
    client = try connect()
    try begin()
  }

  func change(_ table: String, to clauses: [JSON]) throws {
    guard kind != .update, columns[table] != nil else { return }
    conditions[table] = clauses
    number += 1
    let change: JSON = .object([table: [["where": .array(clauses)]]])
    #expect(try client.ask("monitor_cond_change", "[\(number - 1),\(number),\(change)]") == [:])
    // What was missed of rows that are followed only now is not in the history of those that were: a client begins anew.
    last = .string(UUID.zero.description)
  }

  /// Takes in what has been sent.
  private func listen() throws {
    try client.ask("echo", "[]")
    for case .notification(_, let params) in client.events {
      if kind == .update3 { last = params[1] }
      try apply(try #require(params.last))
    }
    client.events = []
  }

  func expectEqual(to contents: [String: [UUID: [String: Datum]]], _ context: @autoclosure () -> String)
    throws
  {
    try listen()
    for (name, columns) in columns {
      let table = try #require(schema[table: name])
      let clauses = conditions[name] ?? []
      let wanted = try contents[name]!.filter { uuid, row in
        try clauses.isEmpty || clauses.contains { try Model.holds($0, uuid, row, table) }
      }.mapValues { row in row.filter { columns.contains($0.key) } }
      try #require(rows[name] == wanted, "\(kind), \(name) where \(JSON.array(clauses)), \(context())")
    }
  }

  private func apply(_ updates: JSON) throws {
    for (name, changes) in try #require(updates.object) {
      let table = try #require(schema[table: name])
      for (text, change) in try #require(changes.object) {
        let uuid = try #require(UUID(text))
        kind == .update ? try apply(change, uuid, table) : try apply2(change, uuid, table)
      }
    }
  }

  private func values(_ json: JSON, _ table: TableSchema) throws -> [String: Datum] {
    var result: [String: Datum] = [:]
    for (name, value) in json.object ?? [:] {
      result[name] = try Datum(value, try #require(table[column: name]).type.anyCount, checking: false)
    }
    return result
  }

  private func apply(_ change: JSON, _ uuid: UUID, _ table: TableSchema) throws {
    if let old = change["old"] {
      for (name, value) in try values(old, table) { #expect(rows[table.name]?[uuid]?[name] == value) }
    }
    rows[table.name]![uuid] = try change["new"].map { try values($0, table) }
  }

  private func apply2(_ change: JSON, _ uuid: UUID, _ table: TableSchema) throws {
    let (kind, value) = try #require(change.object?.first)
    switch kind {
    case "initial", "insert":
      #expect(rows[table.name]![uuid] == nil)
      let defaults = (columns[table.name] ?? []).map { ($0, table[column: $0]!.type.defaultDatum) }
      rows[table.name]![uuid] = [String: Datum](uniqueKeysWithValues: defaults)
        .merging(try values(value, table)) { $1 }
    case "delete":
      try #require(
        rows[table.name]!.removeValue(forKey: uuid) != nil, "\(self.kind) \(table.name) \(uuid) \(conditions)"
      )
    default:
      for (name, difference) in try values(value, table) {
        let old = try #require(rows[table.name]?[uuid]?[name])
        rows[table.name]![uuid]![name] =
          table[column: name]!.type.isPlural ? old.applying(difference) : difference
      }
    }
  }
}
