import JSONRPC
import OVSDB

/// `--dry-run`: what a transaction would do, in words, and as it would be sent.
enum TransactionPlan {
  /// - Parameter operations: what would be sent; none if nothing would change.
  static func text(_ copy: WorkingCopy, _ operations: [JSON], _ style: OutputStyle) -> String {
    let request = JSON.array(["Open_vSwitch"] + operations)
    let json = (style.isPretty ? request.indentedText : request.text) + "\n"
    if style.format == .json { return json }
    if operations.isEmpty { return "nothing would change\n" }
    return copy.effects.map { "\(line($0.row, $0.effect, copy))\n" }.joined() + json
  }

  private static func line(_ row: Row, _ effect: WorkingCopy.Effect, _ copy: WorkingCopy) -> String {
    let words = ChangeText { table, uuid in name(Row(table: table, uuid: uuid), copy) }
    let schema = copy.schema[table: row.table]
    let label = "\(row.table) \(name(row, copy) ?? row.uuid.description)"
    func described(_ columns: [String: Datum], _ text: (ColumnSchema, Datum) -> [String]) -> String {
      let texts = columns.sorted { $0.key < $1.key }.flatMap { name, datum in
        schema?[column: name].map { text($0, datum) } ?? []
      }
      return texts.isEmpty ? "" : ": " + texts.joined(separator: ", ")
    }
    switch effect {
    case .insert(let columns):
      return "would add \(row.table)" + described(columns) { [words.value($0, $1)] }
    case .update(let old, let new):
      return "would change \(label)"
        + described(new) { words.changes($0, old[$0.name] ?? $0.type.defaultDatum, $1) }
    case .delete: return "would delete \(label)"
    }
  }

  /// What people call the row: `br0`, or "." for a table's only row.
  private static func name(_ row: Row, _ copy: WorkingCopy) -> String? {
    guard let table = copy.schema[table: row.table] else { return nil }
    for kind in RowName.kinds(table) where kind.referenceColumn == nil {
      if let name = copy[row, kind.nameColumn].scalar { return ValueText.text(name) }
    }
    return table.maximumRows == 1 ? "." : nil
  }
}

extension WorkingCopy {
  enum Effect {
    case insert([String: Datum])
    /// The columns that change.
    case update(old: [String: Datum], new: [String: Datum])
    case delete
  }

  /// What the transaction would do, in the order of the commands.
  var effects: [(row: Row, effect: Effect)] {
    order.compactMap { row in
      guard let change = changes[row] else { return nil }
      switch (change.isInserted, change.isDeleted) {
      case (true, true): return nil
      case (true, false): return (row, .insert(change.written))
      case (false, true): return (row, .delete)
      case (false, false):
        guard let stored = replica.row(row.table, row.uuid) else { return nil }
        let new = change.written.filter { stored.columns[$0.key] != $0.value }
        return new.isEmpty ? nil : (row, .update(old: stored.columns, new: new))
      }
    }
  }
}
