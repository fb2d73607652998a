import JSONRPC

// Updates as text: `<table-updates>` (RFC 7047 §4.1.6) and `<table-updates2>` (ovsdb-server(7) §4.1.14).
extension MonitorPlan {
  /// All rows as they are: what a new follower begins with.
  func initialText() -> [UInt8] {
    var output: [UInt8] = []
    var tables = ObjectWriter()
    for part in specification.parts where part.selection.contains(.initial) {
      let table = database.tables[part.table]
      let columns = RenderedColumn.list(part, table)
      var rows = ObjectWriter()
      for row in table.rows.values where part.matches(row) {
        if rows.isEmpty { tables.key(table.schema.name, to: &output) }
        rows.key(row.uuid, to: &output)
        let kind = specification.dialect == .update ? "new" : "initial"
        write(kind, row, columns, .initial, &output)
      }
      if !rows.isEmpty { rows.close(&output) }
    }
    tables.close(&output)
    return output
  }

  /// What a commit changed of the part followed; nil when nothing.
  func text(_ changes: ChangeSet) -> [UInt8]? {
    var followed: [(Part, [RowChange])] = []
    for (place, changed) in changes {
      guard let part = specification.parts.first(where: { $0.table == place }) else { continue }
      followed.append((part, part.conditions.isEmpty ? changed : changed.map(part.seen)))
    }
    return text(followed)
  }

  /// What other conditions than `old`'s add and take away; nil when nothing.
  func text(succeeding old: MonitorPlan) -> [UInt8]? {
    var followed: [(Part, [RowChange])] = []
    for (new, old) in zip(specification.parts, old.specification.parts) where new != old {
      let changes = database.tables[new.table].rows.values.compactMap { row -> RowChange? in
        let (was, isNow) = (old.matches(row), new.matches(row))
        return was == isNow
          ? nil : RowChange(uuid: row.uuid, old: was ? row : nil, new: isNow ? row : nil)
      }
      followed.append((new, changes))
    }
    return text(followed)
  }

  private func text(_ followed: [(Part, [RowChange])]) -> [UInt8]? {
    var output: [UInt8] = []
    var tables = ObjectWriter()
    for (part, changes) in followed {
      let table = database.tables[part.table]
      let columns = RenderedColumn.list(part, table)
      var rows = ObjectWriter()
      for change in changes where isWorthSaying(change.old, change.new, columns, part) {
        if rows.isEmpty { tables.key(table.schema.name, to: &output) }
        rows.key(change.uuid, to: &output)
        if specification.dialect == .update {
          writeUpdate(change.old, change.new, columns, &output)
        } else {
          writeUpdate2(change.old, change.new, columns, &output)
        }
      }
      if !rows.isEmpty { rows.close(&output) }
    }
    if tables.isEmpty { return nil }
    tables.close(&output)
    return output
  }

  private func isWorthSaying(_ old: Row?, _ new: Row?, _ columns: [RenderedColumn], _ part: Part) -> Bool {
    switch (old, new) {
    case (nil, nil): false
    case (nil, _?): part.selection.contains(.insert)
    case (_?, nil): part.selection.contains(.delete)
    case (let old?, let new?):
      columns.contains { $0.selection.contains(.modify) && old[$0.reference] != new[$0.reference] }
    }
  }

  private func writeUpdate(_ old: Row?, _ new: Row?, _ columns: [RenderedColumn], _ output: inout [UInt8]) {
    switch (old, new) {
    case (let old?, let new?):
      var update = ObjectWriter()
      update.key("old", to: &output)
      var object = ObjectWriter()
      for column in columns where column.selection.contains(.modify) {
        let value = old[column.reference]
        if value != new[column.reference] { column.write(value, &object, &output) }
      }
      object.close(&output)
      update.key("new", to: &output)
      write(new, columns, .modify, keepDefaults: true, &output)
      update.close(&output)
    case (let old?, nil): write("old", old, columns, .delete, &output)
    case (nil, let new?): write("new", new, columns, .insert, &output)
    case (nil, nil): output.append(contentsOf: "{}".utf8)
    }
  }

  private func writeUpdate2(_ old: Row?, _ new: Row?, _ columns: [RenderedColumn], _ output: inout [UInt8]) {
    switch (old, new) {
    case (let old?, let new?):
      output.append(contentsOf: #"{"modify":"#.utf8)
      var object = ObjectWriter()
      for column in columns where column.selection.contains(.modify) {
        let (before, after) = (old[column.reference], new[column.reference])
        guard before != after else { continue }
        column.write(column.type.isPlural ? before.difference(to: after) : after, &object, &output)
      }
      object.close(&output)
      output.append(UInt8(ascii: "}"))
    case (_?, nil): output.append(contentsOf: #"{"delete":null}"#.utf8)
    case (nil, let new?): write("insert", new, columns, .insert, &output)
    case (nil, nil): output.append(contentsOf: "{}".utf8)
    }
  }

  /// `{"kind":{columns}}`.
  private func write(
    _ kind: String, _ row: Row, _ columns: [RenderedColumn], _ selection: Selection, _ output: inout [UInt8]
  ) {
    var update = ObjectWriter()
    update.key(kind, to: &output)
    write(row, columns, selection, keepDefaults: specification.dialect == .update, &output)
    update.close(&output)
  }

  private func write(
    _ row: Row, _ columns: [RenderedColumn], _ selection: Selection, keepDefaults: Bool,
    _ output: inout [UInt8]
  ) {
    var object = ObjectWriter()
    for column in columns where column.selection.contains(selection) {
      let value = row[column.reference]
      if keepDefaults || value != column.defaultDatum { column.write(value, &object, &output) }
    }
    object.close(&output)
  }
}

/// A monitored column with what writing it needs, looked up once per text.
private struct RenderedColumn {
  let reference: ColumnReference
  let selection: MonitorPlan.Selection
  let name: String
  let type: ColumnType
  let defaultDatum: Datum

  static func list(_ part: MonitorPlan.Part, _ table: Table) -> [RenderedColumn] {
    part.columns.map { column in
      let type = column.reference.type(table.schema)
      var value = type.defaultDatum
      if case .schema(let index) = column.reference { value = table.defaults[index] }
      return RenderedColumn(
        reference: column.reference, selection: column.selection, name: column.reference.name(table.schema),
        type: type, defaultDatum: value)
    }
  }

  func write(_ value: Datum, _ object: inout ObjectWriter, _ output: inout [UInt8]) {
    object.key(name, to: &output)
    value.write(type, to: &output)
  }
}
