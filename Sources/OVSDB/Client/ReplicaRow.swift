/// One row as the server last reported it, with the monitored columns.
public struct ReplicaRow: Sendable, Equatable {
  public let uuid: UUID
  /// By column name; only monitored columns.
  public internal(set) var columns: [String: Datum]

  public init(uuid: UUID, columns: [String: Datum]) {
    self.uuid = uuid
    self.columns = columns
  }

  /// The column's value; empty for a column that is not monitored or that the server's schema lacks.
  public subscript(column: String) -> Datum { columns[column] ?? .empty }

  /// The first string of the column; nil when it is empty.
  public func string(_ column: String) -> String? { self[column].string }
  public func integer(_ column: String) -> Int64? { self[column].integer }
  public func bool(_ column: String) -> Bool? { self[column].bool }
  public func strings(_ column: String) -> [String] { self[column].strings }
  public func integers(_ column: String) -> [Int64] { self[column].integers }
  public func uuids(_ column: String) -> [UUID] { self[column].uuids }
  /// A column of type map from string to string.
  public func map(_ column: String) -> [String: String] { self[column].stringMap }
}
