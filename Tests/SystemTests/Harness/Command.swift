import Glibc

/// What a finished program left behind.
struct Output: CustomStringConvertible {
  /// The exit status, or 128 + the signal that ended it.
  let status: Int32
  let standardOutput: String
  let standardError: String

  var succeeded: Bool { status == 0 }
  /// Standard output without its last newline.
  var text: String {
    standardOutput.hasSuffix("\n") ? String(standardOutput.dropLast()) : standardOutput
  }
  var lines: [String] { text.isEmpty ? [] : text.split(separator: "\n").map(String.init) }
  var description: String { "status \(status), output: \(standardOutput)\(standardError)" }
}

/// Something outside the test went wrong: a program would not start, did not end, or failed where it had to succeed.
struct HarnessError: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

/// Runs a program to its end. Its output goes through files, so that a child it leaves behind cannot keep us waiting.
///
/// - Parameter within: seconds until it is killed, which is an error.
func run(_ command: [String], environment: [String: String] = [:], within seconds: Double = 30) throws
  -> Output
{
  let name = Scratch.shared.path("command-\(Scratch.shared.number())")
  defer {
    unlink(name + ".out")
    unlink(name + ".err")
  }
  let program = try Program(
    command, environment: environment, standardOutput: name + ".out", standardError: name + ".err")
  let status = try program.wait(within: seconds)
  return Output(
    status: status, standardOutput: readFile(name + ".out"), standardError: readFile(name + ".err"))
}

/// Runs a program that has to succeed; returns its standard output without the last newline.
@discardableResult
func must(_ command: [String], environment: [String: String] = [:], within seconds: Double = 30) throws
  -> String
{
  let output = try run(command, environment: environment, within: seconds)
  guard output.succeeded else {
    throw HarnessError("\(command.joined(separator: " ")): \(output)")
  }
  return output.text
}

/// The whole file, or nothing when it cannot be read.
func readFile(_ path: String) -> String {
  let descriptor = open(path, O_RDONLY | O_CLOEXEC)
  guard descriptor >= 0 else { return "" }
  defer { close(descriptor) }
  var bytes: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: 65536)
  while true {
    let count = read(descriptor, &chunk, chunk.count)
    guard count > 0 else { break }
    bytes += chunk[..<count]
  }
  return String(decoding: bytes, as: UTF8.self)
}

func writeFile(_ path: String, _ text: String) throws {
  let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
  guard descriptor >= 0 else { throw HarnessError("cannot write \(path)") }
  defer { close(descriptor) }
  let bytes = Array(text.utf8)
  guard write(descriptor, bytes, bytes.count) == bytes.count else {
    throw HarnessError("cannot write \(path)")
  }
}
