import FoundationEssentials
import Glibc

/// Writes Swift rows for a database schema: `schema-rows SCHEMA OUTPUT`. Plugins/SchemaRows runs it.
@main struct Program {
  static func main() {
    let arguments = CommandLine.arguments
    guard arguments.count == 3 else { fail("usage: schema-rows SCHEMA OUTPUT") }
    do {
      let schema = try Schema(Data(contentsOf: URL(filePath: arguments[1])))
      let text = try SwiftFile(schema).text
      try Data(text.utf8).write(to: URL(filePath: arguments[2]))
    } catch { fail("schema-rows: \(arguments[1]): \(error)") }
  }

  private static func fail(_ reason: String) -> Never {
    let line = reason + "\n"
    _ = write(STDERR_FILENO, line, line.utf8.count)
    exit(1)
  }
}

/// Why there is no Swift for a schema: one sentence.
struct GeneratorError: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}
