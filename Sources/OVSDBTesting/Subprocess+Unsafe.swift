import Glibc
import Linux

/// A program that a test runs. It is killed when its owner goes.
public final class Subprocess {
  private let pid: pid_t
  private var status: Int32?

  /// - Parameters:
  ///   - command: the program, looked up in PATH, and its arguments.
  ///   - output: the file that gets its standard output, and `errors` its standard error.
  public init(_ command: [String], output: String = "/dev/null", errors: String = "/dev/null")
    throws(SystemError)
  {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    let flags = O_WRONLY | O_CREAT | O_TRUNC
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 1, output, flags, 0o600)
    posix_spawn_file_actions_addopen(&actions, 2, errors, flags, 0o600)

    // SAFETY: the array of C strings ends in nil and outlives the call, which copies it; every string is freed once.
    var arguments: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) }
    defer { for argument in arguments { free(argument) } }
    arguments.append(nil)
    var pid = pid_t()
    let result = posix_spawnp(&pid, command[0], &actions, nil, arguments, environ)
    guard result == 0 else { throw SystemError("run \(command[0])", code: result) }
    self.pid = pid
  }

  deinit { kill() }

  public var isRunning: Bool {
    if status == nil { collect(WNOHANG) }
    return status == nil
  }

  /// Ends it at once and waits until it is gone.
  public func kill() {
    guard isRunning else { return }
    _ = Glibc.kill(pid, SIGKILL)
    collect(0)
  }

  /// Its exit status, or 128 and the signal's number.
  public func wait() -> Int32 {
    if status == nil { collect(0) }
    return status ?? -1
  }

  private func collect(_ options: Int32) {
    var raw: Int32 = 0
    var result = waitpid(pid, &raw, options)
    while result == -1, errno == EINTR { result = waitpid(pid, &raw, options) }
    guard result == pid else { return }
    status = raw & 0x7F == 0 ? (raw >> 8) & 0xFF : 128 + (raw & 0x7F)
  }
}
