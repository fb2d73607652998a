/// One row: its columns are in the order of `TableSchema.columns`.
public struct Row: Equatable, Sendable {
  public let uuid: UUID
  /// Changes whenever a column does (RFC 7047 §3.2, `_version`).
  public internal(set) var version: UUID
  public internal(set) var columns: [Datum]
}

/// A column of a row as clients name it: one of the schema's, or one the server keeps.
enum ColumnReference: Hashable, Sendable {
  case uuid
  case version
  case schema(Int)

  init(_ name: String, _ table: TableSchema) throws(OVSDBError) {
    switch name {
    case "_uuid": self = .uuid
    case "_version": self = .version
    default:
      guard let index = table.columnIndex[name] else { throw .unknownColumn(name, table.name) }
      self = .schema(index)
    }
  }

  static let uuidType = ColumnType(key: BaseType(.uuid))

  func name(_ table: TableSchema) -> String {
    switch self {
    case .uuid: "_uuid"
    case .version: "_version"
    case .schema(let index): table.columns[index].name
    }
  }

  func type(_ table: TableSchema) -> ColumnType {
    switch self {
    case .uuid, .version: Self.uuidType
    case .schema(let index): table.columns[index].type
    }
  }
}

extension Row {
  subscript(_ reference: ColumnReference) -> Datum {
    switch reference {
    case .uuid: Datum(.uuid(uuid))
    case .version: Datum(.uuid(version))
    case .schema(let index): columns[index]
    }
  }
}
