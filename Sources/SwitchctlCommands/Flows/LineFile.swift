import Glibc
import Linux

/// A text file, read line by line; "-" is standard input.
enum LineFile {
  /// Bytes of one line: more than any flow may have.
  private static let maximumLine = 1 << 17

  /// Calls `take` with each line, without its line feed, and its number from 1.
  ///
  /// - Parameter limit: bytes of the file that are read at most; more is an error.
  static func read(
    _ path: String, limit: Int = 1 << 30, _ take: (_ line: String, _ number: Int) throws(CommandError) -> Void
  ) throws(CommandError) {
    let file = try open(path)
    var number = 0
    var rest: [UInt8] = []
    var total = 0
    var chunk = [UInt8](repeating: 0, count: 1 << 18)
    while true {
      let count = Glibc.read(file.raw, &chunk, chunk.count)
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw CommandError(SystemError.last("read \(name(path))").description) }
      guard count > 0 else { break }
      total += count
      guard total <= limit else {
        throw CommandError("\(name(path)) is longer than \(limit) bytes; split it")
      }
      var start = 0
      while let end = chunk[start..<count].firstIndex(of: UInt8(ascii: "\n")) {
        number += 1
        try take(line(rest, chunk[start..<end]), number)
        rest.removeAll(keepingCapacity: true)
        start = end + 1
      }
      rest += chunk[start..<count]
      guard rest.count <= maximumLine else {
        throw CommandError("\(name(path)): line \(number + 1) is longer than \(maximumLine) bytes")
      }
    }
    if !rest.isEmpty { try take(line(rest, []), number + 1) }
  }

  /// As messages call it.
  static func name(_ path: String) -> String { path == "-" ? "standard input" : path }

  /// Opens a file to be read.
  static func open(_ path: String) throws(CommandError) -> FileDescriptor {
    do throws(SystemError) {
      // A descriptor of its own, which may be closed.
      if path == "-" { return try FileDescriptor(owning: dup(0)).duplicate() }
      return try FileDescriptor.open(path, O_RDONLY)
    } catch { throw CommandError(error.description) }
  }

  private static func line(_ start: [UInt8], _ end: ArraySlice<UInt8>) -> String {
    String(decoding: start.isEmpty ? end : (start + end)[...], as: UTF8.self)
  }
}
