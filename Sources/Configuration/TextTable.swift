import JSONRPC

/// Rows under headings: aligned text for people, or JSON as `ovs-vsctl --format=json` prints tables.
struct TextTable {
  enum Alignment {
    case left, right
    /// Only in JSON.
    case hidden
  }

  /// Its member's name in another table's JSON.
  let name: String

  let columns: [(heading: String, alignment: Alignment)]
  private(set) var rows: [[JSON]] = []

  init(_ columns: [(String, Alignment)], name: String = "") {
    self.columns = columns
    self.name = name
  }

  /// Appends a row of as many cells as there are columns; null is shown as "-".
  mutating func append(_ cells: [JSON]) {
    precondition(cells.count == columns.count, "a row has a cell per column")
    rows.append(cells)
  }

  /// Lines, each ending in a newline, without trailing blanks.
  var text: String {
    let shown = columns.indices.filter { columns[$0].alignment != .hidden }
    let lines =
      [shown.map { columns[$0].heading }] + rows.map { row in shown.map { Self.show(row[$0]) } }
    let alignments = shown.map { columns[$0].alignment }
    let widths = shown.indices.map { column in lines.map { $0[column].count }.max() ?? 0 }
    return lines.map { cells in
      var line = ""
      for (index, cell) in cells.enumerated() {
        let padding = String(repeating: " ", count: widths[index] - cell.count)
        if index > 0 { line += "  " }
        line += alignments[index] == .right ? padding + cell : cell + padding
      }
      while line.last == " " { line.removeLast() }
      return line + "\n"
    }.joined()
  }

  /// `{"headings": […], "data": [[…], …]}`.
  var json: JSON {
    ["headings": .array(columns.map { .string($0.heading) }), "data": .array(rows.map { .array($0) })]
  }

  /// The first table's JSON, with the others as members.
  static func json(_ tables: [TextTable]) -> JSON {
    guard let first = tables.first, case .object(var members) = first.json else { return .null }
    for table in tables.dropFirst() { members[table.name] = table.json }
    return .object(members)
  }

  private static func show(_ cell: JSON) -> String {
    switch cell {
    case .null: "-"
    case .string(let text): text
    default: cell.text
    }
  }
}
