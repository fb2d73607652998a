import Seeded
import Glibc
import JSONRPC
import Linux
import Testing

@testable import OVSDB

extension SeededRandom {
  mutating func below(_ limit: Int) -> Int { Int.random(in: 0..<limit, using: &self) }
}

/// A directory that goes with the object.
final class TemporaryDirectory {
  let path: String

  init() throws {
    var template = Array("/tmp/ovsdb-test.XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw SystemError.last("create a temporary directory") }
    path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  func file(_ name: String) -> String { "\(path)/\(name)" }

  deinit {
    if let directory = opendir(path) {
      while let entry = readdir(directory) {
        let name = withUnsafeBytes(of: &entry.pointee.d_name) {
          String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
        if name != ".", name != ".." { unlink("\(path)/\(name)") }
      }
      closedir(directory)
    }
    rmdir(path)
  }
}

extension Database {
  /// Runs operations given as JSON text, as `transact` would.
  @discardableResult
  func transact(_ operations: String, owning locks: Set<String> = []) throws -> [JSON] {
    try transact(try #require(try JSON(parsing: "[\(operations)]").array), owning: locks)
  }

  @discardableResult
  func transact(_ operations: [JSON], owning locks: Set<String> = []) throws -> [JSON] {
    guard
      case .finished(let results, _) = Execution(self, operations, ownsLock: { locks.contains($0) }).attempt()
    else {
      Issue.record("the transaction waits")
      return []
    }
    return results
  }

  var rowCount: Int { tables.reduce(0) { $0 + $1.rows.count } }

  /// All rows but for `_version`: what a failed transaction must leave as it was.
  var contents: [String: [UUID: [String: Datum]]] {
    var result: [String: [UUID: [String: Datum]]] = [:]
    for table in tables {
      var rows: [UUID: [String: Datum]] = [:]
      for row in table.rows.values {
        rows[row.uuid] = [String: Datum](
          uniqueKeysWithValues: zip(table.schema.columns.map(\.name), row.columns))
      }
      result[table.schema.name] = rows
    }
    return result
  }
}

/// Runs a program; its exit status and output (standard error included).
func run(_ command: String) -> (status: Int32, output: String) {
  guard let pipe = popen("exec 2>&1; \(command)", "r") else { return (-1, "popen failed") }
  var output: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 4096)
  while true {
    let count = fread(&buffer, 1, buffer.count, pipe)
    if count == 0 { break }
    output += buffer[..<count]
  }
  let status = pclose(pipe)
  return (status >> 8 & 0xFF, String(decoding: output, as: UTF8.self))
}

func isInstalled(_ program: String) -> Bool { run("command -v \(program)").status == 0 }

func fileExists(_ path: String) -> Bool { access(path, F_OK) == 0 }

/// The repository's root directory.
let sourceTree = #filePath.split(separator: "/").dropLast(3).reduce("") { $0 + "/" + $1 }

/// Looks every millisecond whether `condition` holds, for at most so long.
func awaited(_ milliseconds: Int, _ condition: () -> Bool) -> Bool {
  let end = monotonicNanoseconds() + UInt64(milliseconds) * 1_000_000
  while !condition() {
    if monotonicNanoseconds() >= end { return false }
    usleep(1000)
  }
  return true
}

extension [UInt8] {
  func write(toFile path: String) throws {
    let file = try FileDescriptor.open(path, O_WRONLY | O_CREAT | O_TRUNC)
    guard Glibc.write(file.raw, self, count) == count else { throw SystemError.last("write \(path)") }
  }
}
