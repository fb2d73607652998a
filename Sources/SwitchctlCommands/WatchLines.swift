import JSONRPC
import OVSDB

/// The lines of `watch`: one for each change of a row, for people or as JSON.
struct WatchLines {
  let table: TableSchema
  let columns: [ColumnSchema]
  /// The column that names a row, if the table has one.
  let nameColumn: String?
  let style: OutputStyle

  /// What became of the row `old`, nil if it is new, which is now `new`, nil if it is gone; nil if no column that is
  /// watched has changed.
  func line(_ old: ReplicaRow?, _ new: ReplicaRow?, isInitial: Bool) -> String? {
    let changed = columns.filter { column in
      guard let old, let new else { return true }
      return old[column.name] != new[column.name]
    }
    guard !changed.isEmpty, let row = new ?? old else { return nil }
    let verb =
      switch (old, new) {
      case (nil, _): isInitial ? "initial" : "insert"
      case (_, nil): "delete"
      default: "modify"
      }
    return style.format == .json ? json(verb, row, old, new, changed) : text(verb, row, old, new, changed)
  }

  private func text(
    _ verb: String, _ row: ReplicaRow, _ old: ReplicaRow?, _ new: ReplicaRow?, _ changed: [ColumnSchema]
  ) -> String {
    let words = ChangeText { _, _ in nil }
    let details: [String] =
      switch (old, new) {
      case (let old?, let new?): changed.flatMap { words.changes($0, old[$0.name], new[$0.name]) }
      case (nil, let new?): changed.filter { $0.name != nameColumn }.map { words.value($0, new[$0.name]) }
      default: []
      }
    let name = nameColumn.flatMap { row[$0].scalar }.map(ValueText.text) ?? row.uuid.description
    return "\(verb) \(table.name) \(name)" + (details.isEmpty ? "" : ": " + details.joined(separator: ", "))
  }

  private func json(
    _ verb: String, _ row: ReplicaRow, _ old: ReplicaRow?, _ new: ReplicaRow?, _ changed: [ColumnSchema]
  ) -> String {
    var members: [String: JSON] = [
      "change": .string(verb), "table": .string(table.name), "row": .string(row.uuid.description),
    ]
    if let name = nameColumn.flatMap({ row[$0].scalar }) { members["name"] = name.json }
    for (key, row) in [("old", old), ("new", new)] {
      guard let row else { continue }
      members[key] = .object(
        Dictionary(
          uniqueKeysWithValues: Set(changed.map(\.name)).map { name in
            (name, table[column: name].map { row[name].json($0.type) } ?? .null)
          }))
    }
    return JSON.object(members).text
  }
}
