import JSONRPC

/// The monitored part of a database: for each table its rows by UUID.
public struct Replica: Sendable {
  public let schema: DatabaseSchema
  /// The monitored columns of each monitored table.
  public let monitored: [String: [String]]
  public private(set) var tables: [String: [UUID: ReplicaRow]]

  public init(schema: DatabaseSchema, monitored: [String: [String]]) {
    self.schema = schema
    self.monitored = monitored
    tables = monitored.mapValues { _ in [:] }
  }

  /// The table's rows, in no particular order; none for a table that is not monitored.
  public func rows(_ table: String) -> [ReplicaRow] { tables[table].map { Array($0.values) } ?? [] }

  public func row(_ table: String, _ uuid: UUID) -> ReplicaRow? { tables[table]?[uuid] }

  /// The only row of the table; nil when there is none or more than one.
  public func onlyRow(_ table: String) -> ReplicaRow? {
    guard let rows = tables[table], rows.count == 1 else { return nil }
    return rows.first?.value
  }

  /// Applies `<table-updates>` (RFC 7047 §4.1.6) or `<table-updates2>` (ovsdb-server(7) §4.1.14): all of them, or none
  /// when anything in them is malformed.
  mutating func apply(_ updates: JSON, _ dialect: MonitorPlan.Dialect) throws(OVSDBError) -> ReplicaChanges {
    guard case .object(let updates) = updates else {
      throw .syntax("table updates must be an object, not \(updates.excerpt)")
    }
    var changed: [(table: String, row: UUID, new: ReplicaRow?)] = []
    for (name, rows) in updates {
      guard let table = schema[table: name], let columns = monitored[name] else {
        throw .syntax("an update for the table \"\(name)\", which is not monitored")
      }
      guard case .object(let rows) = rows else { throw .syntax("the update of \(name) must be an object") }
      for (text, update) in rows {
        guard let uuid = UUID(text) else { throw .syntax("\"\(text)\" is not the UUID of a row of \(name)") }
        let new =
          dialect == .update
          ? try newRow(table, columns, uuid, update) : try newRow2(table, columns, uuid, update)
        changed.append((name, uuid, new))
      }
    }
    var changes = ReplicaChanges()
    for (table, uuid, new) in changed {
      let old = tables[table]?[uuid]
      tables[table]?[uuid] = new
      changes.note(table, uuid, old, new)
    }
    return changes
  }

  /// The row after one `<row-update>`; nil when it was deleted.
  private func newRow(_ table: TableSchema, _ columns: [String], _ uuid: UUID, _ update: JSON)
    throws(OVSDBError)
    -> ReplicaRow?
  {
    guard case .object(let update) = update else {
      throw .syntax("the update of a row of \(table.name) must be an object, not \(update.excerpt)")
    }
    guard let new = update["new"], !new.isNull else {
      guard update["old"] != nil else {
        throw .syntax("an update of \(table.name) has neither \"old\" nor \"new\"")
      }
      return nil
    }
    guard case .object(let values) = new else {
      throw .syntax("a new row of \(table.name) must be an object, not \(new.excerpt)")
    }
    return try row(table, columns, uuid, values, old: tables[table.name]?[uuid]) { $1 }
  }

  /// The row after one `<row-update2>`; nil when it was deleted.
  private func newRow2(_ table: TableSchema, _ columns: [String], _ uuid: UUID, _ update: JSON)
    throws(OVSDBError) -> ReplicaRow?
  {
    let old = tables[table.name]?[uuid]
    guard case .object(let update) = update, update.count == 1, let (kind, values) = update.first else {
      throw .syntax("the update of a row of \(table.name) must be an object of one member")
    }
    if kind == "delete" { return nil }
    guard case .object(let values) = values else {
      throw .syntax("\(kind) of a row of \(table.name) must be an object, not \(values.excerpt)")
    }
    switch (kind, old) {
    case ("initial", _), ("insert", _):
      return try row(table, columns, uuid, values, old: nil) { $1 }
    case ("modify", let old?):
      return try row(table, columns, uuid, values, old: old) { $0.applying($1) }
    case ("modify", nil): throw .syntax("\(uuid), which is not a row of \(table.name), was modified")
    default: throw .syntax("an update of \(table.name) has the kind \"\(kind)\"")
    }
  }

  /// A row of the columns in `values`, else of those of `old`, else of defaults.
  ///
  /// - Parameter combine: what a column with more than one element possible becomes, of what it was and what was sent.
  private func row(
    _ table: TableSchema, _ columns: [String], _ uuid: UUID, _ values: [String: JSON], old: ReplicaRow?,
    _ combine: (Datum, Datum) -> Datum
  ) throws(OVSDBError) -> ReplicaRow {
    var row = ReplicaRow(uuid: uuid, columns: [:])
    for name in columns {
      guard let column = table[column: name] else { continue }
      let before = old?.columns[name] ?? column.type.defaultDatum
      guard let value = values[name] else {
        row.columns[name] = before
        continue
      }
      do throws(OVSDBError) {
        // Unchecked: what the server accepted is a fact, even if this schema's constraints were tightened since.
        let datum = try Datum(value, column.type, checking: false)
        row.columns[name] = column.type.isPlural ? combine(before, datum) : datum
      } catch { throw .syntax("column \(name) of a row of \(table.name): \(error.details)") }
    }
    return row
  }

  /// What turns `self`, an earlier replica of the same database, into `new`.
  func changes(to new: Replica) -> ReplicaChanges {
    var changes = ReplicaChanges()
    for (table, rows) in tables {
      for (uuid, old) in rows { changes.note(table, uuid, old, new.tables[table]?[uuid]) }
    }
    for (table, rows) in new.tables {
      for (uuid, row) in rows where tables[table]?[uuid] == nil { changes.note(table, uuid, nil, row) }
    }
    return changes
  }
}

/// What one batch of updates changed.
public struct ReplicaChanges: Sendable, Equatable {
  public enum Change: Sendable, Equatable {
    case inserted(ReplicaRow)
    case modified(old: ReplicaRow, new: ReplicaRow)
    case deleted(ReplicaRow)
  }

  /// By table and row; a table without changes is absent.
  public private(set) var tables: [String: [UUID: Change]] = [:]

  public init() {}
  public var isEmpty: Bool { tables.isEmpty }

  mutating func note(_ table: String, _ uuid: UUID, _ old: ReplicaRow?, _ new: ReplicaRow?) {
    let change: Change
    switch (old, new) {
    case (nil, nil): return
    case (nil, let new?): change = .inserted(new)
    case (let old?, nil): change = .deleted(old)
    case (let old?, let new?):
      guard old != new else { return }
      change = .modified(old: old, new: new)
    }
    tables[table, default: [:]][uuid] = change
  }
}
