import Linux

/// One invocation of the program, from its words to its exit status.
public enum Program {
  /// - Parameters:
  ///   - words: the command line without the program's name.
  ///   - loop: turned until the invocation is done.
  public static func run(_ words: [String], _ loop: EventLoop, _ terminal: Terminal) -> Outcome {
    if words.first == Completion.request {
      terminal.output(Completion.answer(words.dropFirst().joined(separator: " "), loop))
      return .code(0)
    }
    do throws(CommandError) {
      let invocation = try Invocation(words)
      if invocation.options.wantsVersion {
        terminal.output(terminal.personality.version(terminal.program))
        return .code(0)
      }
      if invocation.options.wantsCommands {
        terminal.output(Listing.commands(terminal.personality))
        return .code(0)
      }
      if invocation.options.wantsOptions {
        terminal.output(Listing.options)
        return .code(0)
      }
      if let topic = invocation.helpTopic {
        terminal.output(
          Command.named(topic).map { Help.page(terminal.program, $0) } ?? Help.overview(terminal.program))
        return .code(0)
      }
      return try run(invocation, loop, terminal)
    } catch {
      return terminal.outcome(error)
    }
  }

  private static func run(_ invocation: Invocation, _ loop: EventLoop, _ terminal: Terminal)
    throws(CommandError)
    -> Outcome
  {
    let files = invocation.requests.filter(\.command.isAboutFiles)
    if !files.isEmpty {
      guard files.count == invocation.requests.count else {
        throw .usage("'\(files[0].command.name)' cannot be part of a database transaction; run it by itself")
      }
      return try FileCommands.run(files, invocation.options, loop, terminal)
    }
    for request in invocation.requests {
      if case .alone(let run) = request.command.execution { return try run(invocation, loop, terminal) }
    }
    let control = invocation.requests.filter(\.command.asksDaemon)
    if control.isEmpty {
      return try TransactionRunner(invocation, loop, terminal).run()
    }
    guard control.count == invocation.requests.count else {
      throw .usage(
        "'\(control[0].command.name)' asks the running switch and cannot be part of a database transaction; run it by "
          + "itself")
    }
    return try ControlRunner.run(control, invocation.options, loop, terminal)
  }
}
