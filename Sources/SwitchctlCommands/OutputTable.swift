import JSONRPC

/// Rows and columns a command prints: `list` and `find` make them.
struct OutputTable {
  /// One value, which can show itself in each cell format.
  struct Cell {
    let json: JSON
    let text: (OutputStyle.Cells) -> String
  }

  let headings: [String]
  var rows: [[Cell]] = []

  /// The table as text ending in a newline. Texts of two tables are separated by a blank line, except in the
  /// formats where that would be part of the data (HTML, JSON): see `isSeparated`.
  func text(_ style: OutputStyle) -> String {
    switch style.format {
    case .table: aligned(style)
    case .list: list(style)
    case .csv: commaSeparated(style)
    case .html: html(style)
    case .json: jsonText(style)
    }
  }

  static func isSeparated(_ format: OutputStyle.Format) -> Bool {
    switch format {
    case .table, .list, .csv: true
    case .html, .json: false
    }
  }

  private func texts(_ style: OutputStyle) -> [[String]] { rows.map { $0.map { $0.text(style.cells) } } }

  private func aligned(_ style: OutputStyle) -> String {
    let texts = texts(style)
    let widths = headings.indices.map { column in
      var width = texts.map { $0[column].utf8.count }.max() ?? 0
      if let limit = style.maximumWidth { width = min(width, limit) }
      return style.hasHeadings ? max(width, headings[column].utf8.count) : width
    }
    func line(_ cells: [String]) -> String {
      var line = zip(cells, widths).map(Self.padded).joined(separator: " ")
      while line.hasSuffix(" ") { line.removeLast() }
      return line + "\n"
    }
    var output = ""
    if style.hasHeadings {
      output += line(headings)
      output += line(widths.map { String(repeating: "-", count: $0) })
    }
    for row in texts { output += line(zip(row, widths).map(Self.cut)) }
    return output
  }

  private static func padded(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.utf8.count))
  }

  private static func cut(_ text: String, _ width: Int) -> String {
    text.utf8.count <= width ? text : String(text.prefix(width))
  }

  private func list(_ style: OutputStyle) -> String {
    texts(style).map { row in
      zip(headings, row).map { heading, text in
        (style.hasHeadings ? Self.padded(heading, 20) + ": " : "") + text + "\n"
      }.joined()
    }.joined(separator: "\n")
  }

  private func commaSeparated(_ style: OutputStyle) -> String {
    let lines = (style.hasHeadings ? [headings] : []) + texts(style)
    return lines.map { $0.map(Self.quotedForCSV).joined(separator: ",") + "\n" }.joined()
  }

  private static func quotedForCSV(_ text: String) -> String {
    guard text.utf8.contains(where: { $0 == 0x0A || $0 == 0x22 || $0 == 0x2C }) else { return text }
    return "\"" + text.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"")
      + "\""
  }

  private func jsonText(_ style: OutputStyle) -> String {
    let json: JSON = [
      "headings": .array(headings.map { .string($0) }),
      "data": .array(rows.map { .array($0.map(\.json)) }),
    ]
    return (style.isPretty ? json.indentedText : json.text) + "\n"
  }
}

// HTML.
extension OutputTable {
  private func html(_ style: OutputStyle) -> String {
    var output = "<table border=1>\n"
    func row(_ cells: [String]) { output += "  <tr>\n" + cells.joined() + "  </tr>\n" }
    if style.hasHeadings { row(headings.map { Self.element("th", $0) }) }
    for texts in texts(style) {
      row(zip(headings, texts).map { $0 == "_uuid" ? Self.anchor($1) : Self.element("td", $1) })
    }
    return output + "</table>\n"
  }

  private static func anchor(_ uuid: String) -> String {
    let text = escaped(uuid[...])
    return "    <td><a name=\"\(text)\">\(escaped(uuid.prefix(8)))</a></td>\n"
  }

  /// A cell in which every UUID is a link to the row that has it.
  private static func element(_ name: String, _ text: String) -> String {
    var output = "    <\(name)>"
    var rest = text[...]
    while !rest.isEmpty {
      let start = rest.prefix(36)
      if UUIDText.isUUID(start) {
        output += "<a href=\"#\(start)\">\(start.prefix(8))</a>"
        rest.removeFirst(36)
      } else {
        output += escaped(rest.prefix(1))
        rest.removeFirst()
      }
    }
    return output + "</\(name)>\n"
  }

  private static func escaped(_ text: Substring) -> String {
    var output = ""
    for character in text {
      switch character {
      case "&": output += "&amp;"
      case "<": output += "&lt;"
      case ">": output += "&gt;"
      case "\"": output += "&quot;"
      default: output.append(character)
      }
    }
    return output
  }
}

extension JSON {
  /// The value over several lines, two spaces per level, closing brackets at the end of the last line.
  var indentedText: String {
    var output = ""
    appendIndented(to: &output, 0)
    return output
  }

  private func appendIndented(to output: inout String, _ level: Int) {
    func items<Item>(_ items: [Item], _ open: String, _ close: String, _ body: (inout String, Item) -> Void) {
      guard !items.isEmpty else { return output += open + close }
      output += open + "\n"
      for (index, item) in items.enumerated() {
        output += (index > 0 ? ",\n" : "") + String(repeating: " ", count: 2 * (level + 1))
        body(&output, item)
      }
      output += close
    }
    switch self {
    case .array(let elements):
      items(elements, "[", "]") { $1.appendIndented(to: &$0, level + 1) }
    case .object(let members):
      items(members.sorted { $0.key < $1.key }, "{", "}") { output, member in
        output += JSON.string(member.key).text + ": "
        member.value.appendIndented(to: &output, level + 1)
      }
    default: output += text
    }
  }
}
