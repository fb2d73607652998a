/// Why an invocation ends early: the sentence for standard error (without the program's name) and the exit status.
package struct CommandError: Error, Equatable {
  let message: String
  /// What follows the sentence for a person's sake (` (did you mean "X"?)`): nothing that scripts look for.
  let hint: String
  let kind: Kind

  enum Kind: Equatable {
    case failure
    /// The command line itself is wrong.
    case usage
    /// A question was answered "no".
    case answer
  }

  /// Something could not be done: exit status 1.
  init(_ message: String, hint: String = "") { self.init(message, hint, .failure) }

  private init(_ message: String, _ hint: String, _ kind: Kind) {
    self.message = message
    self.hint = hint
    self.kind = kind
  }

  /// The command line itself is wrong: exit status 2.
  static func usage(_ message: String, hint: String = "") -> CommandError {
    CommandError(message, hint, .usage)
  }

  /// A question was answered "no" (`br-exists`): nothing to say, exit status 2.
  static let answerIsNo = CommandError("", "", .answer)

  /// What a person is told.
  var sentence: String { message + hint }

  /// As this program ends; `ovs-vsctl` does not tell usage from failure.
  var exitStatus: Int32 { kind == .failure ? 1 : 2 }
}
