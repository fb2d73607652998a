import JSONRPC

/// Rows under headings: aligned text for people, or JSON as `ovs-vsctl --format=json` prints tables.
struct TextTable {
  enum Alignment { case left, right }

  let columns: [(heading: String, alignment: Alignment)]
  private(set) var rows: [[JSON]] = []

  init(_ columns: [(String, Alignment)]) { self.columns = columns }

  /// Appends a row of as many cells as there are columns; null is shown as "-".
  mutating func append(_ cells: [JSON]) {
    precondition(cells.count == columns.count, "a row has a cell per column")
    rows.append(cells)
  }

  /// Lines, each ending in a newline, without trailing blanks.
  var text: String {
    let lines = [columns.map(\.heading)] + rows.map { $0.map(Self.show) }
    let widths = columns.indices.map { column in lines.map { $0[column].count }.max() ?? 0 }
    return lines.map { cells in
      var line = ""
      for (index, cell) in cells.enumerated() {
        let padding = String(repeating: " ", count: widths[index] - cell.count)
        if index > 0 { line += "  " }
        line += columns[index].alignment == .right ? padding + cell : cell + padding
      }
      while line.last == " " { line.removeLast() }
      return line + "\n"
    }.joined()
  }

  /// `{"headings": […], "data": [[…], …]}`.
  var json: JSON {
    ["headings": .array(columns.map { .string($0.heading) }), "data": .array(rows.map { .array($0) })]
  }

  private static func show(_ cell: JSON) -> String {
    switch cell {
    case .null: "-"
    case .string(let text): text
    default: cell.text
    }
  }
}
