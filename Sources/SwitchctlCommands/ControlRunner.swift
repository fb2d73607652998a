import Glibc
import JSONRPC
import Linux

/// A command for a daemon's control socket.
struct ControlRequest {
  let method: String
  let arguments: [String]

  /// Nil when the request is not of that kind.
  init?(_ request: Invocation.Request, _ style: OutputStyle) {
    let format = style.format == .json ? ["--format=json"] : []
    switch request.command.execution {
    case .control(let method):
      self.method = method
      arguments = request.arguments + format
    case .anyControl:
      method = request.arguments[0]
      arguments = Array(request.arguments.dropFirst())
    case .local, .transaction: return nil
    }
  }
}

/// Sends commands to a daemon's control socket, one after the other, and prints the answers.
final class ControlRunner {
  private let requests: [ControlRequest]
  private let options: GlobalOptions
  private let loop: EventLoop
  private let terminal: Terminal
  private var result: Outcome?

  init(_ requests: [ControlRequest], _ options: GlobalOptions, _ loop: EventLoop, _ terminal: Terminal) {
    self.requests = requests
    self.options = options
    self.loop = loop
    self.terminal = terminal
  }

  func run() throws(CommandError) -> Outcome {
    let path = try socketPath()
    let connection: Connection
    do throws(SystemError) {
      connection = try Connection.connect(to: .unix(path: path), loop)
    } catch {
      throw CommandError("cannot reach \(options.target) at \(path) (\(error.reason)); is it running?")
    }
    let timer = options.timeout.map { seconds in
      loop.after(milliseconds: seconds * 1000) { [self] in
        finish(.timedOut, "\(options.target) did not answer within \(seconds) s")
      }
    }
    connection.onClose = { [self] reason in finish(.code(1), "\(options.target): \(reason)") }
    send(requests[...], connection)
    while result == nil { loop.turn() }
    timer?.cancel()
    connection.close()
    return result ?? .code(1)
  }

  private func send(_ rest: ArraySlice<ControlRequest>, _ connection: Connection) {
    guard let request = rest.first else { return finish(.code(0), "") }
    connection.request(request.method, request.arguments.map { .string($0) }) { [self] reply in
      switch reply {
      case .success(let json):
        let text = json.string ?? (json.isNull ? "" : json.text)
        terminal.output(text.isEmpty || text.hasSuffix("\n") ? text : text + "\n")
        send(rest.dropFirst(), connection)
      case .failure(.refused(let error)):
        var text = error.string ?? error.text
        while text.hasSuffix("\n") { text.removeLast() }
        finish(.code(1), "\(options.target): \(text)")
      case .failure(.closed): break
      }
    }
  }

  private func finish(_ status: Outcome, _ sentence: String) {
    guard result == nil else { return }
    terminal.say(sentence)
    result = status
  }

  /// `RUNDIR/NAME.PID.ctl`, where `RUNDIR/NAME.pid` tells the pid; a target with a slash is the socket itself.
  private func socketPath() throws(CommandError) -> String {
    if options.target.contains("/") { return options.target }
    let directory = RunDirectory.resolve(options.runDirectory)
    let file = "\(directory)/\(options.target).pid"
    guard let pid = Self.pid(inFile: file) else {
      throw CommandError(
        "\(options.target) does not run in \(directory) (no pid in \(file)); start it, or name its directory with "
          + "--rundir")
    }
    return "\(directory)/\(options.target).\(pid).ctl"
  }

  private static func pid(inFile path: String) -> Int32? {
    guard let file = try? FileDescriptor.open(path, O_RDONLY) else { return nil }
    var bytes = [UInt8](repeating: 0, count: 32)
    let count = read(file.raw, &bytes, bytes.count)
    guard count > 0 else { return nil }
    return Int32(String(decoding: bytes.prefix(count).prefix { $0 >= 0x30 && $0 <= 0x39 }, as: UTF8.self))
  }
}
