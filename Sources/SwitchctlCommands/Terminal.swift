import Glibc

/// Where an invocation prints.
public struct Terminal {
  let program: String
  let personality: Personality
  let output: (String) -> Void
  public let errors: (String) -> Void
  /// Whether a person reads the output, not a program.
  let isInteractive: Bool

  /// - Parameter program: the name that begins every line of standard error.
  public init(
    program: String, isInteractive: Bool = false, output: @escaping (String) -> Void,
    errors: @escaping (String) -> Void
  ) {
    self.program = program
    personality = Personality(program: program)
    self.isInteractive = isInteractive
    self.output = output
    self.errors = errors
  }

  /// The process's own standard output and error.
  public static func standard(program: String) -> Terminal {
    Terminal(
      program: program, isInteractive: isatty(1) == 1, output: { write($0, to: 1) },
      errors: { write($0, to: 2) })
  }

  /// Prints why an invocation ends, and makes its outcome.
  func outcome(_ error: CommandError) -> Outcome {
    say(personality.sentence(error))
    return .code(personality.exitStatus(error))
  }

  /// Prints one line to standard error that helps a person and tells a program nothing: a drop-in does not.
  func advise(_ sentence: String) {
    if personality == .switchctl { say(sentence) }
  }

  /// Prints one line to standard error.
  func say(_ sentence: String) {
    if !sentence.isEmpty { errors("\(program): \(sentence)\n") }
  }

  private static func write(_ text: String, to descriptor: Int32) {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      let count =
        rest.withContiguousStorageIfAvailable { Glibc.write(descriptor, $0.baseAddress, $0.count) } ?? -1
      if count > 0 { rest = rest.dropFirst(count) } else if errno != EINTR { return }
    }
  }
}

/// How an invocation ended.
public enum Outcome: Equatable, Sendable {
  /// 0 done, 1 failed, 2 wrong usage or the answer "no".
  case code(Int32)
  /// The --timeout passed. As with `ovs-vsctl`, the process then ends by SIGALRM.
  case timedOut
}
