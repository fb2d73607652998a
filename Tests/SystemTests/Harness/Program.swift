import Glibc

/// A running program. It is killed when its owner goes.
final class Program {
  let pid: pid_t
  let name: String
  private var status: Int32?

  /// - Parameters:
  ///   - command: the program, looked up in PATH, and its arguments.
  ///   - environment: added to this process's own.
  ///   - standardInput: a file or, for a program that is typed to, a pipe somebody has open for writing already.
  init(
    _ command: [String], environment: [String: String] = [:], standardInput: String = "/dev/null",
    standardOutput: String, standardError: String? = nil
  ) throws {
    name = command[0]
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    let flags = O_WRONLY | O_CREAT | O_APPEND
    posix_spawn_file_actions_addopen(&actions, 0, standardInput, O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 1, standardOutput, flags, 0o644)
    if let standardError {
      posix_spawn_file_actions_addopen(&actions, 2, standardError, flags, 0o644)
    } else {
      posix_spawn_file_actions_adddup2(&actions, 1, 2)
    }

    // The test runner's signal mask and ignored signals are its own affair.
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var none = sigset_t()
    var all = sigset_t()
    sigemptyset(&none)
    sigfillset(&all)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setsigdefault(&attributes, &all)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

    var arguments: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) }
    var variables: [UnsafeMutablePointer<CChar>?] = Self.environment(adding: environment).map { strdup($0) }
    defer { for pointer in arguments + variables { free(pointer) } }
    arguments.append(nil)
    variables.append(nil)
    var pid = pid_t()
    let result = posix_spawnp(&pid, command[0], &actions, &attributes, arguments, variables)
    guard result == 0 else {
      throw HarnessError("cannot start \(command[0]): \(String(cString: strerror(result)))")
    }
    self.pid = pid
    Scratch.shared.remember(pid)
  }

  deinit { kill() }

  /// Looks, without waiting, whether it still runs.
  var isRunning: Bool {
    guard status == nil else { return false }
    var raw: Int32 = 0
    guard waitpid(pid, &raw, WNOHANG) == pid else { return true }
    status = raw & 0x7f == 0 ? (raw >> 8) & 0xff : 128 + (raw & 0x7f)
    return false
  }

  /// Sends a signal, SIGKILL unless told otherwise.
  func signal(_ number: Int32) {
    if isRunning { _ = Glibc.kill(pid, number) }
  }

  /// Ends it at once and waits until it is gone.
  func kill() {
    while isRunning {
      _ = Glibc.kill(pid, SIGKILL)
      usleep(1000)
    }
  }

  /// The exit status (128 + signal). Kills the program and throws when it has not ended in time.
  @discardableResult
  func wait(within seconds: Double = 30) throws -> Int32 {
    let deadline = now() + seconds
    var pause: UInt32 = 500
    while isRunning {
      guard now() < deadline else {
        kill()
        throw HarnessError("\(name) did not end within \(seconds) s")
      }
      usleep(pause)
      pause = min(pause * 2, 20_000)
    }
    return status ?? -1
  }

  private static func environment(adding more: [String: String]) -> [String] {
    var result: [String] = []
    var cursor = environ
    while let entry = cursor.pointee {
      let text = String(cString: entry)
      if more[String(text.prefix { $0 != "=" })] == nil { result.append(text) }
      cursor += 1
    }
    return result + more.map { "\($0.key)=\($0.value)" }
  }
}

/// Seconds on the monotonic clock.
func now() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}
