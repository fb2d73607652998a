import Linux

/// Carries out commands that ask a daemon, one after the other; the first that fails is the last.
enum ControlRunner {
  static func run(
    _ requests: [Invocation.Request], _ options: GlobalOptions, _ loop: EventLoop, _ terminal: Terminal
  )
    throws(CommandError) -> Outcome
  {
    let session = ControlSession(options, loop, terminal)
    defer { session.close() }
    do throws(CommandError) {
      for request in requests { try run(request, session) }
      return .code(0)
    } catch {
      guard session.hasTimedOut else { throw error }
      terminal.say(terminal.personality.sentence(error))
      return .timedOut
    }
  }

  private static func run(_ request: Invocation.Request, _ session: ControlSession) throws(CommandError) {
    switch request.command.execution {
    case .control(let method): session.show(try session.call(method, request.arguments + format(session)))
    case .anyControl:
      session.show(try session.call(request.arguments[0], Array(request.arguments.dropFirst())))
    case .conversation(let run): try run(session, request)
    case .local, .transaction, .files, .alone: break
    }
  }

  /// What asks for JSON, if the user did.
  static func format(_ session: ControlSession) -> [String] {
    session.options.style.format == .json ? ["--format=json"] : []
  }
}
