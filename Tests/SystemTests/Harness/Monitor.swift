import Glibc
import JSONRPC
import Linux

/// QEMU's control socket: the QEMU Machine Protocol (docs/interop/qmp-spec.txt of QEMU).
final class Monitor {
  private let socket: FileDescriptor
  private var framer = JSONFramer()
  private let path: String

  /// Connects and leaves the mode in which QEMU only negotiates.
  init(_ path: String) throws {
    self.path = path
    socket = try UnixSocket.connect(path)
    _ = try next(within: 20)  // the greeting
    try run("qmp_capabilities")
  }

  /// Runs a command, and returns what it returns.
  @discardableResult
  func run(_ command: String, _ arguments: [String: JSON] = [:], within seconds: Double = 30) throws -> JSON {
    try send(["execute": .string(command), "arguments": .object(arguments)])
    let deadline = now() + seconds
    while true {
      let message = try next(within: deadline - now())
      if let result = message["return"] { return result }
      if let error = message["error"] {
        throw HarnessError(
          "QEMU's \(command) \(JSON.object(arguments)): \(error["desc"]?.string ?? "\(error)")")
      }
      // Otherwise it is an event, which nobody waits for: states are asked for.
    }
  }

  private func send(_ message: JSON) throws {
    let bytes = Array("\(message)\n".utf8)
    guard write(socket.raw, bytes, bytes.count) == bytes.count else {
      throw HarnessError("cannot write to \(path)")
    }
  }

  private func next(within seconds: Double) throws -> JSON {
    let deadline = now() + seconds
    while true {
      if let message = try framer.next() { return message }
      var wait = pollfd(fd: socket.raw, events: Int16(POLLIN), revents: 0)
      guard poll(&wait, 1, Int32(max(0, deadline - now()) * 1000) + 1) > 0 else {
        throw HarnessError("QEMU does not answer on \(path) within \(seconds) s")
      }
      var chunk = [UInt8](repeating: 0, count: 65536)
      let count = read(socket.raw, &chunk, chunk.count)
      guard count > 0 else { throw HarnessError("QEMU closed \(path)") }
      framer.feed(chunk[..<count])
    }
  }
}
