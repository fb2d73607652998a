import Glibc
import JSONRPC

/// What worked with which front-end. Tests record it as they go, in `.build/test-matrix`; `tools/matrix` makes the
/// README's table of it.
///
/// A file of JSON lines for each run, `RUN.json`: `{"frontEnd": …, "feature": …, "passed": …}`. Of a feature with a
/// front-end the newest run that tried it counts, and there every line has to say that it passed.
enum Matrix {
  /// Says how a feature did with a front-end.
  ///
  /// - Parameters:
  ///   - frontEnd: the program and its version ("QEMU 7.2"); a column of the table.
  ///   - feature: a row of the table ("packed ring"); `tools/matrix` lists them in their order.
  static func record(frontEnd: String, feature: String, passed: Bool) {
    let line: JSON = [
      "frontEnd": .string(frontEnd), "feature": .string(feature), "passed": .bool(passed),
    ]
    let bytes = Array("\(line)\n".utf8)
    let descriptor = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { return }
    _ = write(descriptor, bytes, bytes.count)
    close(descriptor)
  }

  /// Runs what tests some features, and records that they passed, or, when it throws, that they did not. What it
  /// expects it has to `#require`, because a failed `#expect` throws nothing.
  static func check<Result>(_ frontEnd: String, _ features: [String], _ body: () throws -> Result) rethrows
    -> Result
  {
    var passed = false
    defer { for feature in features { record(frontEnd: frontEnd, feature: feature, passed: passed) } }
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
