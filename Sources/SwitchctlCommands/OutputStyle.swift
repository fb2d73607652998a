/// How tables are printed.
struct OutputStyle: Equatable {
  enum Format: String, CaseIterable { case table, list, html, csv, json }
  enum Cells: String, CaseIterable { case string, bare, json }

  var format = Format.list
  var cells = Cells.string
  var hasHeadings = true
  var isPretty = false
}
