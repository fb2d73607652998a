import Linux

/// A command of a daemon's control socket.
public struct ControlCommand {
  public let name: String
  /// The arguments as `list-commands` shows them: "[BRIDGE]".
  public let usage: String
  public let arguments: ClosedRange<Int>
  public let run: (_ arguments: [String], _ reply: ControlReply) -> Void

  /// A command that answers at once: `body` returns the text to print or throws the sentence that says why not.
  public init(
    _ name: String, usage: String = "", arguments: ClosedRange<Int> = 0...0,
    _ body: @escaping ([String]) throws(ControlError) -> String
  ) {
    self.init(deferred: name, usage: usage, arguments: arguments) { arguments, reply in
      do throws(ControlError) { reply.succeed(try body(arguments)) } catch { reply.fail(error.description) }
    }
  }

  /// A command that answers when it is done.
  public init(
    deferred name: String, usage: String = "", arguments: ClosedRange<Int> = 0...0,
    _ run: @escaping (_ arguments: [String], _ reply: ControlReply) -> Void
  ) {
    self.name = name
    self.usage = usage
    self.arguments = arguments
    self.run = run
  }
}

/// Why a control command was refused: one sentence.
public struct ControlError: Error, CustomStringConvertible {
  public let description: String
  public init(_ description: String) { self.description = description }
}

/// Where the answer to one control command goes.
public struct ControlReply {
  private weak var connection: Connection?
  private let id: JSON

  fileprivate init(_ connection: Connection, _ id: JSON) {
    self.connection = connection
    self.id = id
  }

  /// Whether there is still somebody to answer.
  public var isWanted: Bool { connection?.isClosed == false }
  public func succeed(_ text: String) { connection?.reply(to: id, .string(text)) }
  /// Answers with what is JSON text already: a long answer is then not written twice.
  public func succeed(serialized result: [UInt8]) { connection?.reply(to: id, serialized: result) }
  public func fail(_ text: String) { connection?.fail(id, .string(text)) }
}

/// A daemon's runtime control socket, as `ovs-appctl` and `switchctl` speak to it: JSON-RPC where the method is the
/// command, the parameters are its arguments (strings) and the result or the error is a text.
public final class ControlServer {
  private var server: Server?
  private var commands: [String: ControlCommand] = [:]
  private var connections: [ObjectIdentifier: Connection] = [:]

  /// What one request may cost: 100,000 flows that are added at once fit in.
  public static let inputLimits = JSONFramer.Limits(bytes: 64 << 20, depth: 8, values: 1 << 18)

  /// - Parameter exit: what the command `exit` does, after it was answered.
  public init(
    _ loop: EventLoop, path: String, program: String, exit: @escaping () -> Void
  ) throws(SystemError) {
    for command in StandardCommands.table(program, loop, exit) { add(command) }
    add(
      ControlCommand("list-commands") { [unowned self] (_: [String]) throws(ControlError) in listCommands() })
    removeDeadSockets(beside: path, program)
    var limits = Connection.Limits()
    limits.input = Self.inputLimits
    server = try Server(loop, on: .listenUnix(path: path), limits: limits) { [weak self] in self?.serve($0) }
  }

  /// A predecessor that was killed left its own, which is named after its pid and would stay for ever.
  private func removeDeadSockets(beside path: String, _ program: String) {
    guard let slash = path.lastIndex(of: "/") else { return }
    UnixSocket.removeDead(in: String(path[..<slash])) { name in
      guard name.hasPrefix("\(program)."), name.hasSuffix(".ctl") else { return false }
      return Int32(name.dropFirst(program.count + 1).dropLast(4)) != nil
    }
  }

  /// Adds a command, or replaces the one of that name.
  public func add(_ command: ControlCommand) { commands[command.name] = command }

  /// Stops listening and removes the socket.
  public func close() {
    server?.close()
    for connection in connections.values { connection.close() }
    connections = [:]
  }

  private func serve(_ connection: Connection) {
    connections[ObjectIdentifier(connection)] = connection
    connection.onClose = { [weak self, unowned connection] _ in
      self?.connections[ObjectIdentifier(connection)] = nil
    }
    connection.onRequest = { [weak self, unowned connection] name, params, id in
      self?.run(name, params, ControlReply(connection, id))
    }
  }

  private func run(_ name: String, _ params: [JSON], _ reply: ControlReply) {
    guard let command = commands[name] else {
      return reply.fail(
        "\"\(name)\" is not a valid command (use \"list-commands\" to see a list of valid commands)\n")
    }
    let arguments = params.compactMap(\.string)
    guard arguments.count == params.count else { return reply.fail("\"\(name)\" takes strings only\n") }
    guard command.arguments.contains(arguments.count) else {
      return reply.fail("\"\(name)\" takes \(Self.describe(command.arguments)): \(name) \(command.usage)\n")
    }
    command.run(arguments, reply)
  }

  private static func describe(_ range: ClosedRange<Int>) -> String {
    if range.upperBound == 0 { return "no arguments" }
    if range.upperBound == Int.max { return "at least \(range.lowerBound) arguments" }
    if range.count == 1 { return range.lowerBound == 1 ? "1 argument" : "\(range.lowerBound) arguments" }
    return "\(range.lowerBound) to \(range.upperBound) arguments"
  }

  private func listCommands() -> String {
    let width = commands.keys.map(\.count).max() ?? 0
    let lines = commands.values.sorted { $0.name < $1.name }.map { command in
      "  " + command.name + String(repeating: " ", count: width - command.name.count + 2) + command.usage
    }
    return "The available commands are:\n" + lines.map { $0 + "\n" }.joined()
  }
}
