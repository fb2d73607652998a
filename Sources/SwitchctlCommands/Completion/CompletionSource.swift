import JSONRPC
import Linux
import OVSDB

/// What completion asks the running database and switch for; nothing when they do not answer soon.
final class CompletionSource {
  private let options: GlobalOptions
  private let terminal: Terminal
  private let loop: EventLoop

  /// How long a person is kept waiting for names, in milliseconds.
  private static let patience = 2000

  init(_ options: GlobalOptions, program: String, _ loop: EventLoop) {
    self.options = options
    terminal = Terminal(program: program, output: { _ in }, errors: { _ in })
    self.loop = loop
  }

  /// The rows of the selection, as they are now.
  ///
  /// - Parameter select: adds what is needed; what it throws leaves the selection as it is by then.
  func contents(_ select: @escaping (inout Selection, DatabaseSchema) throws(CommandError) -> Void)
    -> WorkingCopy?
  {
    var options = options
    options.retriesConnection = false
    var isThere = false
    var isLate = false
    let timer = loop.after(milliseconds: Self.patience) { isLate = true }
    defer { timer.cancel() }
    var replica: Replica?
    do throws(CommandError) {
      let follower = try DatabaseFollower(options, loop, terminal)
      try follower.follow(
        until: { isThere || isLate },
        select: { schema throws(CommandError) in
          var selection = Selection()
          do throws(CommandError) { try select(&selection, schema) } catch {}
          return selection.tables.mapValues { $0.sorted() }
        },
        changed: { _, now in (replica, isThere) = (now, true) })
    } catch { return nil }
    return replica.map { WorkingCopy($0) }
  }

  /// The schema of the running database, or of the one that is installed.
  func schema(_ copy: WorkingCopy?) -> DatabaseSchema? { copy?.schema ?? (try? SchemaFile.load()) }

  /// The commands of the daemon that `appctl` talks to.
  func daemonCommands() -> [String] {
    var options = options
    options.timeout = 2
    let session = ControlSession(options, loop, terminal)
    defer { session.close() }
    guard let text = try? session.call("list-commands", []) else { return [] }
    return text.split(separator: "\n").filter { $0.hasPrefix("  ") }.compactMap {
      $0.split(separator: " ").first.map(String.init)
    }
  }

  /// The network devices of this machine.
  static func devices() -> [String] {
    var names: [String] = []
    try? LineFile.read("/proc/net/dev") { line, _ in
      guard let colon = line.firstIndex(of: ":") else { return }
      names.append(String(line[..<colon].drop { $0 == " " }))
    }
    return names
  }
}
