import Glibc
import JSONRPC
import Linux

/// A conversation with a daemon's control socket. It is connected when there is something to say: what a command line
/// gets wrong is said without a daemon.
final class ControlSession {
  let options: GlobalOptions
  let terminal: Terminal
  private let loop: EventLoop
  private var connection: Connection?
  private var timer: EventLoop.Timer?
  private var answers: [Result<String, CommandError>] = []
  private var failure: CommandError?
  /// Requests whose answers were not taken.
  private(set) var pending = 0
  /// The --timeout passed.
  private(set) var hasTimedOut = false

  /// A dump of a million flows is some 150 MB.
  private static let replyLimits = JSONFramer.Limits(bytes: 1 << 30, depth: 32, values: 8_000_000)

  init(_ options: GlobalOptions, _ loop: EventLoop, _ terminal: Terminal) {
    self.options = options
    self.loop = loop
    self.terminal = terminal
  }

  /// Sends a request and waits for its answer.
  func call(_ method: String, _ arguments: [String]) throws(CommandError) -> String {
    try send(method, arguments)
    return try receive()
  }

  /// Sends a request; `receive` gives the answers in the order of the requests.
  func send(_ method: String, _ arguments: [String]) throws(CommandError) {
    let connection = try connected()
    let target = options.target
    pending += 1
    connection.request(method, arguments.map { .string($0) }) { [self] reply in
      switch reply {
      case .success(let json):
        answers.append(.success(json.string ?? (json.isNull ? "" : json.text)))
      case .failure(.refused(let error)):
        var text = error.string ?? error.text
        while text.hasSuffix("\n") { text.removeLast() }
        answers.append(.failure(CommandError("\(target): \(text)")))
      case .failure(.closed): break
      }
    }
  }

  /// The next answer.
  func receive() throws(CommandError) -> String {
    while answers.isEmpty {
      if let failure { throw failure }
      loop.turn()
    }
    pending -= 1
    return try answers.removeFirst().get()
  }

  /// Prints an answer, which ends with its line.
  func show(_ text: String) {
    terminal.output(text.isEmpty || text.hasSuffix("\n") ? text : text + "\n")
  }

  func close() {
    timer?.cancel()
    connection?.close()
  }

  private func connected() throws(CommandError) -> Connection {
    if let connection { return connection }
    let path = try socketPath()
    var limits = Connection.Limits()
    limits.input = Self.replyLimits
    // Nothing is sent beyond what a command line or its files hold.
    limits.backlog = Int.max
    let connection: Connection
    do throws(SystemError) {
      connection = try Connection.connect(to: .unix(path: path), loop, limits: limits)
    } catch {
      throw CommandError("cannot reach \(options.target) at \(path) (\(error.reason)); is it running?")
    }
    let target = options.target
    timer = options.timeout.map { seconds in
      loop.after(milliseconds: seconds * 1000) { [self] in
        hasTimedOut = true
        failure = failure ?? CommandError("\(target) did not answer within \(seconds) s")
      }
    }
    connection.onClose = { [self] reason in failure = failure ?? CommandError("\(target): \(reason)") }
    self.connection = connection
    return connection
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
