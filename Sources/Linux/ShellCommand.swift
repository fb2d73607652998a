import CLinux
import Glibc

/// A command that the shell runs as a child of this process, with its standard input and output.
///
/// SIGCHLD says that it may have ended: ask `ended` then.
public final class ShellCommand {
  private let child: pid_t
  private var isRunning = true

  public init(_ text: String) throws(SystemError) {
    // Neither the signals this process blocks nor those it ignores are the command's affair.
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var none = sigset_t()
    var ignored = sigset_t()
    sigemptyset(&none)
    sigemptyset(&ignored)
    sigaddset(&ignored, SIGPIPE)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setsigdefault(&attributes, &ignored)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
    var arguments: [UnsafeMutablePointer<CChar>?] = ["/bin/sh", "-c", text].map { (word: String) in
      strdup(word)
    }
    defer { for argument in arguments { free(argument) } }
    arguments.append(nil)
    var child = pid_t()
    let code = posix_spawn(&child, "/bin/sh", nil, &attributes, arguments, environ)
    guard code == 0 else { throw SystemError("run \(text)", code: code) }
    self.child = child
  }

  /// How it ended, once, if it has.
  public func ended() -> ExitStatus? {
    var status: Int32 = 0
    guard isRunning, waitpid(child, &status, WNOHANG) == child else { return nil }
    isRunning = false
    return ExitStatus(status)
  }

  /// Asks it to end, and does not wait.
  public func end() { if isRunning { kill(child, SIGTERM) } }
}
