import JSONRPC

/// One column of a table (RFC 7047 §3.2, `<column-schema>`).
public struct ColumnSchema: Hashable, Sendable {
  public let name: String
  public var type: ColumnType
  /// Not kept on disk.
  public var isEphemeral = false
  /// False: only an insert may set it.
  public var isMutable = true

  public init(_ name: String, _ type: ColumnType) {
    self.name = name
    self.type = type
  }

  init(_ name: String, _ json: JSON) throws(OVSDBError) {
    do throws(OVSDBError) {
      let object = try SchemaObject(json, "a column")
      guard let type = object["type"] else { throw OVSDBError.syntax("a column needs a \"type\"") }
      self.init(name, try ColumnType(type))
      isEphemeral = object["ephemeral"]?.bool ?? false
      // A weak reference goes with the row it leads to (ovsdb-server(7) §3.2).
      let hasWeak = self.type.key.isWeakReference || self.type.value?.isWeakReference == true
      isMutable = object["mutable"]?.bool ?? true || hasWeak
    } catch { throw .syntax("column \(name): \(error.details)") }
  }

  public var json: JSON {
    var object: [String: JSON] = ["type": type.json]
    if isEphemeral { object["ephemeral"] = true }
    if !isMutable { object["mutable"] = false }
    return .object(object)
  }
}

/// One table (RFC 7047 §3.2, `<table-schema>`). Columns have fixed places: a row is an array.
public struct TableSchema: Sendable, Equatable {
  public let name: String
  /// Sorted by name; without `_uuid` and `_version`.
  public let columns: [ColumnSchema]
  /// The place of a column in `columns` and in a row.
  public let columnIndex: [String: Int]
  /// Rows of a root table live without being referenced.
  public let isRoot: Bool
  public let maximumRows: Int?
  /// Sets of columns (places) whose values together are unique.
  public let indexes: [[Int]]

  public init(
    name: String, columns: [ColumnSchema], isRoot: Bool = true, maximumRows: Int? = nil,
    indexes: [[String]] = []
  ) {
    let columns = columns.sorted { $0.name < $1.name }
    let places = [String: Int](uniqueKeysWithValues: columns.enumerated().map { ($1.name, $0) })
    self.name = name
    self.columns = columns
    self.columnIndex = places
    self.isRoot = isRoot
    self.maximumRows = maximumRows
    self.indexes = indexes.map { $0.compactMap { places[$0] } }
  }

  init(_ name: String, _ json: JSON, rootByDefault: Bool) throws(OVSDBError) {
    do throws(OVSDBError) {
      let object = try SchemaObject(json, "a table")
      guard case .object(let members)? = object["columns"], !members.isEmpty else {
        throw OVSDBError.syntax("a table needs \"columns\"")
      }
      var columns: [ColumnSchema] = []
      for (name, column) in members {
        try checkIdentifier(name, "column")
        columns.append(try ColumnSchema(name, column))
      }
      let maximumRows = try object.optionalInteger("maxRows").map(Int.init)
      if let maximumRows, maximumRows < 1 { throw OVSDBError.syntax("maxRows must be at least 1") }
      var indexes: [[String]] = []
      for index in object["indexes"]?.array ?? [] {
        let names = index.array?.compactMap(\.string) ?? []
        guard !names.isEmpty, names.count == index.array?.count, Set(names).count == names.count else {
          throw OVSDBError.syntax("an index must be a list of different columns, not \(index.excerpt)")
        }
        if let unknown = names.first(where: { members[$0] == nil }) {
          throw OVSDBError.syntax("an index names the column \"\(unknown)\", which does not exist")
        }
        indexes.append(names)
      }
      self.init(
        name: name, columns: columns, isRoot: object["isRoot"]?.bool ?? rootByDefault,
        maximumRows: maximumRows,
        indexes: indexes)
    } catch { throw .syntax("table \(name): \(error.details)") }
  }

  public subscript(column name: String) -> ColumnSchema? { columnIndex[name].map { columns[$0] } }

  public var json: JSON { json(statesRoot: true) }

  fileprivate func json(statesRoot: Bool) -> JSON {
    let columns = [String: JSON](uniqueKeysWithValues: self.columns.map { ($0.name, $0.json) })
    var object: [String: JSON] = ["columns": .object(columns)]
    if statesRoot, isRoot { object["isRoot"] = true }
    if let maximumRows { object["maxRows"] = .integer(Int64(maximumRows)) }
    if !indexes.isEmpty {
      object["indexes"] = .array(indexes.map { .array($0.map { .string(self.columns[$0].name) }) })
    }
    return .object(object)
  }
}

/// A database's schema (RFC 7047 §3.2, `<database-schema>`).
public struct DatabaseSchema: Sendable, Equatable {
  public let name: String
  public let version: String
  public let checksum: String?
  /// Sorted by name.
  public let tables: [TableSchema]
  public let tableIndex: [String: Int]

  public init(name: String, version: String, checksum: String? = nil, tables: [TableSchema]) {
    self.name = name
    self.version = version
    self.checksum = checksum
    self.tables = tables.sorted { $0.name < $1.name }
    tableIndex = [String: Int](uniqueKeysWithValues: self.tables.enumerated().map { ($1.name, $0) })
  }

  /// Reads a schema; every reference must lead to a table that exists.
  public init(_ json: JSON) throws(OVSDBError) {
    let object = try SchemaObject(json, "a database schema")
    let name = try object.string("name")
    try checkIdentifier(name, "database")
    let version = try object.optionalString("version") ?? ""
    guard case .object(let members)? = object["tables"] else {
      throw .syntax("a database schema needs \"tables\"")
    }
    // A schema that names no root table is from before there were any: all are (RFC 7047 §3.2).
    let rootByDefault = !members.values.contains { $0["isRoot"]?.bool == true }
    var tables: [TableSchema] = []
    for (name, table) in members {
      try checkIdentifier(name, "table")
      tables.append(try TableSchema(name, table, rootByDefault: rootByDefault))
    }
    self.init(name: name, version: version, checksum: try object.optionalString("cksum"), tables: tables)
    for table in self.tables {
      for column in table.columns {
        for target in [column.type.key.referenceTable, column.type.value?.referenceTable] {
          guard let target, tableIndex[target] == nil else { continue }
          throw .syntax(
            "table \(table.name): column \(column.name) refers to the table \"\(target)\", which does not exist"
          )
        }
      }
    }
  }

  public subscript(table name: String) -> TableSchema? { tableIndex[name].map { tables[$0] } }

  public var json: JSON {
    let statesRoot = tables.contains { !$0.isRoot }
    let tables = [String: JSON](
      uniqueKeysWithValues: self.tables.map { ($0.name, $0.json(statesRoot: statesRoot)) })
    var object: [String: JSON] = [
      "name": .string(name), "version": .string(version), "tables": .object(tables),
    ]
    if let checksum { object["cksum"] = .string(checksum) }
    return .object(object)
  }
}

/// A schema object's members, with errors that name what is wrong.
struct SchemaObject {
  private let members: [String: JSON]

  init(_ json: JSON, _ what: String) throws(OVSDBError) {
    guard case .object(let members) = json else {
      throw .syntax("\(what) must be an object, not \(json.excerpt)")
    }
    self.members = members
  }

  subscript(name: String) -> JSON? { members[name] }

  func string(_ name: String) throws(OVSDBError) -> String {
    guard let text = try optionalString(name) else { throw .syntax("\"\(name)\" is missing") }
    return text
  }

  func optionalString(_ name: String) throws(OVSDBError) -> String? {
    guard let value = members[name] else { return nil }
    guard let text = value.string else { throw .syntax("\"\(name)\" must be a string, not \(value.excerpt)") }
    return text
  }

  func optionalInteger(_ name: String) throws(OVSDBError) -> Int64? {
    guard let value = members[name] else { return nil }
    guard let number = value.integer else {
      throw .syntax("\"\(name)\" must be an integer, not \(value.excerpt)")
    }
    return number
  }
}

/// RFC 7047 §3.1, `<id>`; names that begin with an underscore are the server's own.
private func checkIdentifier(_ name: String, _ what: String) throws(OVSDBError) {
  func isLetter(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "_"): true
    default: false
    }
  }
  let bytes = Array(name.utf8)
  guard let first = bytes.first, isLetter(first),
    bytes.allSatisfy({ isLetter($0) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) })
  else { throw .syntax("\"\(name)\" is not a name for a \(what)") }
  if what == "column", first == UInt8(ascii: "_") {
    throw .syntax("the column name \"\(name)\" begins with an underscore, which is reserved")
  }
}
