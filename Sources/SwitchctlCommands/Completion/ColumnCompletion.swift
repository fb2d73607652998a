import OVSDB

/// What can stand for an argument that begins with a column, or is a value of one.
struct ColumnCompletion {
  typealias Candidate = Completion.Candidate

  let table: TableSchema
  let copy: WorkingCopy?
  let line: UnfinishedLine

  /// Column names, each followed by `end`.
  func names(_ end: String) -> [Candidate] {
    table.columns.map { Candidate($0.name + end, $0.type.inWords, isLoose: true) }
  }

  /// `COLUMN[:KEY]`.
  func namesAndKeys() -> [Candidate] {
    guard let (column, _) = column(upTo: ":") else { return names("") }
    return keys(of: column).map { Candidate("\(column.name):\($0)", isLoose: true) }
  }

  /// `COLUMN[:KEY]=VALUE`.
  func assignments() -> [Candidate] {
    if let (column, _) = column(upTo: "=") {
      return values(of: column).map { Candidate("\(column.name)=\($0)", isLoose: true) }
    }
    guard let (column, rest) = column(upTo: ":") else {
      return names("=") + table.columns.filter(\.type.isMap).map { Candidate($0.name + ":", isLoose: true) }
    }
    if let equals = rest.firstIndex(of: "=") {
      let key = rest[..<equals]
      return present(column).compactMap { $0[.string(String(key))] }
        .map { Candidate("\(column.name):\(key)=\(ValueText.text($0))", isLoose: true) }
    }
    return keys(of: column).map { Candidate("\(column.name):\($0)=", isLoose: true) }
  }

  /// A value to add to the column named before.
  func additions() -> [Candidate] {
    guard let column = namedColumn else { return [] }
    if column.type.isMap { return keys(of: column).map { Candidate("\($0)=") } }
    return values(of: column).map { Candidate($0) }
  }

  /// A value, or a key, to remove from the column named before.
  func removals() -> [Candidate] {
    namedColumn.map { present($0).flatMap(\.keys).map { Candidate(ValueText.text($0)) } } ?? []
  }

  // MARK: The schema

  private var namedColumn: ColumnSchema? {
    line.arguments.count > 2 ? try? table.column(matching: line.arguments[2]) : nil
  }

  /// The column in the word, if `separator` follows it, and what follows that.
  private func column(upTo separator: Character) -> (ColumnSchema, Substring)? {
    guard let end = line.word.firstIndex(of: separator),
      let column = try? table.column(matching: String(line.word[..<end]))
    else { return nil }
    return (column, line.word[line.word.index(after: end)...])
  }

  /// What the column may hold, where that is a short list; or what interfaces are known to be.
  private func values(of column: ColumnSchema) -> [String] {
    if let allowed = column.type.key.enumeration { return allowed.keys.map { ValueText.text($0) } }
    if column.type.key.type == .boolean { return ["true", "false"] }
    let present = present(column).filter { !$0.isEmpty }.map { ValueText.text($0, column.type) }
    guard table.name == "Interface", column.name == "type" else { return Array(Set(present)).sorted() }
    return knownTypes
  }

  private var knownTypes: [String] {
    copy.map { copy in copy.rows("Open_vSwitch").flatMap { copy[$0, "iface_types"].strings } } ?? []
  }

  // MARK: The rows

  /// The column's values in the record named before, or in all.
  private func present(_ column: ColumnSchema) -> [Datum] {
    guard let copy else { return [] }
    if line.command?.parameters.contains(where: { $0.name == "RECORD" && !$0.isRepeated }) == true,
      line.arguments.count > 1, let row = try? RowName.find(line.arguments[1], table, copy)
    {
      return [copy[row, column.name]]
    }
    return copy.rows(table.name).map { copy[$0, column.name] }
  }

  /// The keys a map may have, or has somewhere.
  private func keys(of column: ColumnSchema) -> [String] {
    if let allowed = column.type.key.enumeration { return allowed.keys.map { ValueText.text($0) } }
    let rows = copy.map { copy in copy.rows(table.name).flatMap { copy[$0, column.name].keys } } ?? []
    return Set(rows).sorted().map { ValueText.text($0) }
  }
}
