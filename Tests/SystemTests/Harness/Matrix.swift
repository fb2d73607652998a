import Glibc
import JSONRPC

/// What worked with what. Tests record it as they go, in `.build/test-matrix`; `tools/matrix` makes the
/// README's tables of it.
///
/// A file of JSON lines for each run, `RUN.json`: `{"table": …, "column": …, "row": …, "passed": …}`. Of a cell the newest
/// run that tried it counts, and there every line has to say that it passed.
enum Matrix {
  enum Table: String {
    /// Columns are front-ends ("QEMU 7.2"), rows what they can do ("packed ring"), in the order of `tools/matrix`.
    case frontEnds = "front-ends"
    /// Columns are database servers, rows their clients.
    case databases
  }

  /// Says how a row of a table did in a column.
  static func record(_ column: String, _ row: String, passed: Bool, in table: Table = .frontEnds) {
    let line: JSON = [
      "table": .string(table.rawValue), "column": .string(column), "row": .string(row),
      "passed": .bool(passed),
    ]
    let bytes = Array("\(line)\n".utf8)
    let descriptor = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { return }
    _ = write(descriptor, bytes, bytes.count)
    close(descriptor)
  }

  /// Runs what tests some rows, and records that they passed, or, when it throws, that they did not. What it
  /// expects it has to `#require`, because a failed `#expect` throws nothing.
  static func check<Result>(
    _ column: String, _ rows: [String], in table: Table = .frontEnds, _ body: () throws -> Result
  ) rethrows -> Result {
    var passed = false
    defer { for row in rows { record(column, row, passed: passed, in: table) } }
    let result = try body()
    passed = true
    return result
  }

  /// Named so that later runs sort last.
  private static let file: String = {
    let directory = "\(Location.package)/.build/test-matrix"
    mkdir("\(Location.package)/.build", 0o755)
    mkdir(directory, 0o755)
    return "\(directory)/\(time(nil))-\(getpid()).json"
  }()
}
