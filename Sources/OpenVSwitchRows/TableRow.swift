import OVSDB

/// A row of one table, with a property per column: what was read of it, or what is to be written.
///
/// The types that conform are generated from etc/vswitch.ovsschema by Plugins/SchemaRows. A row need not have all
/// columns. One that was read has those that are monitored and that the server's schema has; another one, made to be
/// inserted or to change a row, has those that were assigned, also if only nil or an empty collection was. Every other
/// column reads as what RFC 7047 §5.2.1 has an insert write by default, so that a switch goes on with a server whose
/// schema is older.
public protocol TableRow: Equatable, Sendable {
  /// The columns, as the schema calls them.
  associatedtype Column: RawRepresentable<String>, CaseIterable, Sendable

  /// The table, as the schema calls it.
  static var table: String { get }

  var uuid: UUID { get }
  /// By the columns' names.
  var columns: [String: Datum] { get set }

  init(uuid: UUID, columns: [String: Datum])
}

extension TableRow {
  /// The row as the server reported it.
  public init(_ row: ReplicaRow) { self.init(uuid: row.uuid, columns: row.columns) }

  /// A row without any column: one to be inserted, or the changes of one that there is.
  public init(uuid: UUID = .random()) { self.init(uuid: uuid, columns: [:]) }

  /// What a column of another row holds to name this one.
  public var reference: RowReference<Self> { RowReference(uuid) }

  /// The column's value; its default when the row does not have the column.
  public subscript<Value: ColumnValue>(column: Column) -> Value {
    get { Value(self[datum: column]) }
    set { self[datum: column] = newValue.datum }
  }

  /// The column as it travels; empty when the row does not have it.
  public subscript(datum column: Column) -> Datum {
    get { columns[column.rawValue] ?? .empty }
    set { columns[column.rawValue] = newValue }
  }

  /// The columns that `current` has otherwise: what remains to be written.
  public func differences(from current: Self) -> Self {
    Self(uuid: uuid, columns: columns.filter { current.columns[$0.key] ?? .empty != $0.value })
  }

  /// The table with some of its columns, as `Client.tables` wants them.
  public static func selecting(_ columns: Column...) -> (String, [String]) {
    (table, columns.map(\.rawValue))
  }
}

/// The UUID of a row, of which the table is known. It may lead nowhere: a replica can show it before the row.
public struct RowReference<Row: TableRow>: Hashable, Sendable, Comparable {
  public let uuid: UUID

  public init(_ uuid: UUID) { self.uuid = uuid }

  public static func < (a: Self, b: Self) -> Bool { a.uuid < b.uuid }
}
