import JSONRPC

/// What a monitor follows (RFC 7047 §4.1.5, and `monitor_cond`, `monitor_cond_since` of ovsdb-server(7)).
///
/// Equal requests share one plan: its updates are put into text once, however many sessions follow it.
final class MonitorPlan {
  /// The dialect of the updates.
  enum Dialect {
    /// `update`: old and new values.
    case update
    /// `update2`: differences; defaults left out.
    case update2
    /// `update3`: `update2` with the transaction's id.
    case update3

    var notification: String {
      switch self {
      case .update: "update"
      case .update2: "update2"
      case .update3: "update3"
      }
    }
  }

  /// Kinds of changes a client wants to hear about.
  struct Selection: OptionSet, Hashable {
    let rawValue: UInt8
    static let initial = Selection(rawValue: 1)
    static let insert = Selection(rawValue: 2)
    static let delete = Selection(rawValue: 4)
    static let modify = Selection(rawValue: 8)
    static let all: Selection = [.initial, .insert, .delete, .modify]

    init(rawValue: UInt8) { self.rawValue = rawValue }

    init(_ json: JSON?) throws(OVSDBError) {
      self = .all
      guard let json else { return }
      guard case .object(let members) = json else {
        throw .syntax("\"select\" must be an object, not \(json.excerpt)")
      }
      let kinds: [String: Selection] = [
        "initial": .initial, "insert": .insert, "delete": .delete, "modify": .modify,
      ]
      for (name, value) in members {
        guard let kind = kinds[name], let wanted = value.bool else {
          throw .syntax("\"select\" has initial, insert, delete and modify, each a boolean")
        }
        if !wanted { remove(kind) }
      }
    }
  }

  struct Column: Hashable {
    let reference: ColumnReference
    let selection: Selection
  }

  struct Part: Hashable {
    let table: Int
    var columns: [Column] = []
    /// A row is followed while one of these holds; empty: always (ovsdb-server(7) §4.1.12).
    var conditions: [Condition.Clause] = []
    var selection: Selection = []
  }

  struct Specification: Hashable {
    let dialect: Dialect
    /// In the order of tables.
    let parts: [Part]
  }

  let specification: Specification
  unowned let database: Database
  var followers: [Monitor] = []

  init(_ specification: Specification, _ database: Database) {
    self.specification = specification
    self.database = database
  }
}

/// One client's monitor.
final class Monitor {
  var id: JSON
  var plan: MonitorPlan
  unowned let session: Session

  init(_ id: JSON, _ plan: MonitorPlan, _ session: Session) {
    self.id = id
    self.plan = plan
    self.session = session
  }
}

// Reading a request.
extension MonitorPlan.Specification {
  init(_ requests: JSON, _ dialect: MonitorPlan.Dialect, _ database: Database) throws(OVSDBError) {
    guard case .object(let tables) = requests else {
      throw .syntax("monitor requests must be an object, not \(requests.excerpt)")
    }
    var parts: [MonitorPlan.Part] = []
    for (name, request) in tables {
      let table = try database.table(name)
      var part = MonitorPlan.Part(table: table.place)
      // One request, or an array of them.
      for request in request.array ?? [request] {
        do throws(OVSDBError) {
          try Self.add(request, to: &part, table.schema, dialect)
        } catch { throw error.about("table \(name)") }
      }
      parts.append(part)
    }
    self.init(dialect: dialect, parts: parts.sorted { $0.table < $1.table })
  }

  private static func add(
    _ json: JSON, to part: inout MonitorPlan.Part, _ table: TableSchema, _ dialect: MonitorPlan.Dialect
  ) throws(OVSDBError) {
    guard case .object(let request) = json else { throw .syntax("a monitor request must be an object") }
    let members: Set = dialect == .update ? ["columns", "select"] : ["columns", "select", "where"]
    for name in request.keys where !members.contains(name) {
      throw .syntax("a monitor request has no member \"\(name)\"")
    }
    let selection = try MonitorPlan.Selection(request["select"])
    var references = [.version] + table.columns.indices.map(ColumnReference.schema)
    if let columns = request["columns"] {
      guard let names = columns.array else { throw .syntax("\"columns\" must be an array") }
      references = []
      for element in names {
        guard let name = element.string else { throw .syntax("a column name must be a string") }
        references.append(try ColumnReference(name, table))
      }
    }
    for reference in references {
      if part.columns.contains(where: { $0.reference == reference }) {
        throw .syntax("the column \(reference.name(table)) is monitored twice")
      }
      part.columns.append(MonitorPlan.Column(reference: reference, selection: selection))
    }
    part.selection.formUnion(selection)
    if let condition = request["where"] { part.conditions += try Condition(condition, table).clauses }
  }

  /// The same with other conditions, as `<monitor-cond-update-requests>` gives them (ovsdb-server(7) §4.1.13). A table
  /// that is not named keeps its own.
  func changing(_ requests: JSON, _ database: Database) throws(OVSDBError) -> MonitorPlan.Specification {
    guard case .object(let tables) = requests else {
      throw .syntax("new conditions must be an object of tables, not \(requests.excerpt)")
    }
    var parts = self.parts
    for (name, request) in tables {
      let table = try database.table(name)
      guard let place = parts.firstIndex(where: { $0.table == table.place }) else {
        throw .syntax("table \(name) is not monitored")
      }
      do throws(OVSDBError) {
        parts[place].conditions = try Self.conditions(request, table.schema)
      } catch { throw error.about("table \(name)") }
    }
    return MonitorPlan.Specification(dialect: dialect, parts: parts)
  }

  private static func conditions(_ json: JSON, _ table: TableSchema) throws(OVSDBError) -> [Condition.Clause]
  {
    var clauses: [Condition.Clause] = []
    for request in json.array ?? [json] {
      guard case .object(let members) = request else {
        throw .syntax("a new condition must be an object with \"where\", not \(request.excerpt)")
      }
      for name in members.keys where name != "where" {
        throw .syntax(
          name == "columns"
            ? "the columns of a monitor cannot be changed" : "a new condition has no member \"\(name)\"")
      }
      if let condition = members["where"] { clauses += try Condition(condition, table).clauses }
    }
    return clauses
  }
}

extension MonitorPlan.Part {
  func matches(_ row: Row) -> Bool {
    conditions.isEmpty || conditions.contains { $0.holds(for: row) }
  }

  /// The change as a follower sees it: a row that begins or ceases to match is, to it, inserted or deleted.
  func seen(_ change: RowChange) -> RowChange {
    RowChange(
      uuid: change.uuid, old: change.old.flatMap { matches($0) ? $0 : nil },
      new: change.new.flatMap { matches($0) ? $0 : nil })
  }
}
