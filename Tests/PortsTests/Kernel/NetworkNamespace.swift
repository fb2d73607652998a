import CLinux
import Glibc
import Linux
import Synchronization

let isRoot = geteuid() == 0

/// A network namespace without a name: it goes when this object and all that is in it have gone.
final class NetworkNamespace: Sendable {
  let descriptor: Int32

  init() throws {
    let result = Mutex<Int32>(-1)
    let thread = try Thread(name: "namespace") {
      guard cl_unshare_network() == 0 else { return }
      result.withLock { $0 = open("/proc/thread-self/ns/net", O_RDONLY) }
    }
    thread.join()
    descriptor = result.withLock { $0 }
    guard descriptor >= 0 else { throw Failure("cannot make a network namespace") }
  }

  deinit { close(descriptor) }

  /// A path `ip link set … netns` and `nsenter --net=` take.
  var path: String { "/proc/\(getpid())/fd/\(descriptor)" }

  /// Runs `body` on a thread of its own inside; what it found wrong comes back.
  func run(_ body: @escaping @Sendable (Checks) throws -> Void) -> [String] {
    let checks = Checks()
    let descriptor = self.descriptor
    do {
      let thread = try Thread(name: "inside") {
        guard cl_enter_network(descriptor) == 0 else {
          checks.fail("cannot enter the namespace")
          return
        }
        do { try body(checks) } catch { checks.fail("\(error)") }
      }
      thread.join()
    } catch {
      checks.fail("\(error)")
    }
    return checks.failures
  }

  /// Runs a shell command inside and returns what it printed.
  @discardableResult
  func shell(_ command: String) throws -> String {
    let quoted = command.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''")
    let text = "nsenter --net=\(path) bash -c '\(quoted)' 2>&1"
    guard let pipe = popen(text, "r") else { throw Failure("popen") }
    var output: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    while true {
      let count = fread(&buffer, 1, buffer.count, pipe)
      if count == 0 { break }
      output += buffer[..<count]
    }
    let status = pclose(pipe)
    let printed = String(decoding: output, as: UTF8.self)
    guard status == 0 else { throw Failure("\(command): status \(status): \(printed)") }
    return printed
  }
}

struct Failure: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

/// What was found wrong on a thread that the test runner does not know.
final class Checks: Sendable {
  private let found = Mutex<[String]>([])
  var failures: [String] { found.withLock { $0 } }
  func fail(_ text: String) { found.withLock { $0.append(text) } }
  func expect(_ condition: Bool, _ text: @autoclosure () -> String, line: Int = #line) {
    if !condition { fail("line \(line): \(text())") }
  }
}
