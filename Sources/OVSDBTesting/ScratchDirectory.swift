import Glibc
import Linux
import Synchronization

/// A directory of one test, removed with everything in it when its owner goes.
public final class ScratchDirectory {
  public let path: String
  private static let counter = Atomic<Int>(0)

  public init() throws(SystemError) {
    let number = Self.counter.add(1, ordering: .relaxed).newValue
    path = "/tmp/switchd-ovsdb-\(getpid())-\(number)"
    guard mkdir(path, 0o700) == 0 else { throw .last("create \(path)") }
  }

  deinit {
    if let remover = try? Subprocess(["rm", "-rf", path]) { _ = remover.wait() }
  }

  public func file(_ name: String) -> String { "\(path)/\(name)" }

  /// Runs a program to its end.
  public func run(_ command: [String]) throws(SystemError) -> (status: Int32, output: String, errors: String)
  {
    let status = try Subprocess(command, output: file("stdout"), errors: file("stderr")).wait()
    return (status, Self.contents(file("stdout")), Self.contents(file("stderr")))
  }

  private static func contents(_ path: String) -> String {
    guard let file = try? FileDescriptor.open(path, O_RDONLY) else { return "" }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = read(file.raw, &chunk, chunk.count)
      guard count > 0 else { return String(decoding: bytes, as: UTF8.self) }
      bytes += chunk[..<count]
    }
  }
}
