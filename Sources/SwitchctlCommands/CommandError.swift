/// Why an invocation ends early: the sentence for standard error (without the program's name) and the exit status.
package struct CommandError: Error, Equatable {
  let message: String
  let exitStatus: Int32

  /// Something could not be done: exit status 1.
  init(_ message: String) {
    self.message = message
    exitStatus = 1
  }

  private init(_ message: String, exitStatus: Int32) {
    self.message = message
    self.exitStatus = exitStatus
  }

  /// The command line itself is wrong: exit status 2.
  static func usage(_ message: String) -> CommandError { CommandError(message, exitStatus: 2) }

  /// A question was answered "no" (`br-exists`): nothing to say, exit status 2.
  static let answerIsNo = CommandError("", exitStatus: 2)
}
