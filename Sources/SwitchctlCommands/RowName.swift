import OVSDB

/// How rows are named on the command line, besides by UUID: by a column of their own, or through the row that refers
/// to them.
struct RowName {
  /// The table whose rows carry the name, and the column it is in.
  let table: String
  let nameColumn: String
  /// The column of that table which refers to the row meant; nil when it is that row itself.
  let referenceColumn: String?

  private init(_ table: String, _ nameColumn: String, _ referenceColumn: String? = nil) {
    self.table = table
    self.nameColumn = nameColumn
    self.referenceColumn = referenceColumn
  }

  private static let known: [String: RowName] = [
    "AutoAttach": RowName("Bridge", "name", "auto_attach"),
    "Controller": RowName("Bridge", "name", "controller"),
    "Flow_Sample_Collector_Set": RowName("Flow_Sample_Collector_Set", "id"),
    "IPFIX": RowName("Bridge", "name", "ipfix"),
    "Manager": RowName("Manager", "target"),
    "NetFlow": RowName("Bridge", "name", "netflow"),
    "QoS": RowName("Port", "name", "qos"),
    "sFlow": RowName("Bridge", "name", "sflow"),
  ]

  /// The ways to name a row of this table; a column "name" always is one.
  static func kinds(_ table: TableSchema) -> [RowName] {
    if let known = known[table.name] { return [known] }
    return table[column: "name"]?.type.key.type == .string ? [RowName(table.name, "name")] : []
  }

  /// The row that `text` means: a UUID, "." for a table's only row, a name, or the beginning of a UUID.
  static func find(_ text: String, _ table: TableSchema, _ copy: WorkingCopy, mustExist: Bool = true)
    throws(CommandError) -> Row?
  {
    if let uuid = UUID(text) {
      let row = Row(table: table.name, uuid: uuid)
      if copy.exists(row) { return row }
    }
    let rows = copy.rows(table.name)
    if text == ".", rows.count == 1 { return rows[0] }
    for kind in kinds(table) {
      if let row = try kind.find(text, table, copy) { return row }
    }
    if UUIDText.isPrefix(text), let row = try findPrefix(text, table, rows) { return row }
    guard mustExist else { return nil }
    throw CommandError(
      "no row \"\(text)\" in table \(table.name)", hint: suggestion(text, table, copy))
  }

  private func find(_ text: String, _ wanted: TableSchema, _ copy: WorkingCopy) throws(CommandError) -> Row? {
    let named = copy.rows(table).filter { row in
      guard let name = copy[row, nameColumn].scalar else { return false }
      switch name {
      case .string(let name): return name == text
      case .integer(let number): return Int64(text) == number
      default: return false
      }
    }
    if named.count > 1 { throw CommandError("multiple rows in \(table) match \"\(text)\"") }
    guard let row = named.first, let referenceColumn else { return named.first }
    copy.verify(row, referenceColumn)
    let references = copy[row, referenceColumn].uuids
    guard references.count == 1 else { return nil }
    return Row(table: wanted.name, uuid: references[0])
  }

  private static func findPrefix(_ text: String, _ table: TableSchema, _ rows: [Row]) throws(CommandError)
    -> Row?
  {
    let prefix = text.lowercased()
    let matches = rows.filter { $0.uuid.description.hasPrefix(prefix) }
    guard matches.count > 1 else { return matches.first }
    throw CommandError(
      "\(table.name) contains 2 or more rows whose UUIDs begin with \(text): at least \(matches[0].uuid) and "
        + "\(matches[1].uuid)")
  }

  private static func suggestion(_ text: String, _ table: TableSchema, _ copy: WorkingCopy) -> String {
    let names = kinds(table).flatMap { kind in
      copy.rows(kind.table).compactMap { copy[$0, kind.nameColumn].string }
    }
    return NearestName.hint(for: text, among: names)
  }
}
