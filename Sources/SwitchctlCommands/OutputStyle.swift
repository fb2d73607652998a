/// How tables are printed.
struct OutputStyle: Equatable {
  enum Format: String, CaseIterable { case table, list, html, csv, json }
  enum Cells: String, CaseIterable { case string, bare, json }

  var format = Format.list
  var cells = Cells.string
  var hasHeadings = true
  var isPretty = false
  /// Longest cell of a table, in characters; nil without limit. Headings are never cut.
  var maximumWidth: Int?
}
