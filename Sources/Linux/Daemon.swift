import CLinux
import Glibc

/// A daemon's life, common to all of them: background, run directory, pid file, log, privileges.
///
/// `start` and `dropPrivileges` come before the first thread, since one may fork and the other is of one thread; then
/// the program sets itself up and calls `ready`, which lets the waiting parent exit with success. A program that fails before that prints its reason and exits: its
/// parent then exits with the same status.
public final class Daemon {
  public let options: DaemonOptions
  private let pidLock: LockFile?
  private var parent: FileDescriptor?

  private init(_ options: DaemonOptions, _ pidLock: LockFile?, _ parent: consuming FileDescriptor?) {
    self.options = options
    self.pidLock = pidLock
    self.parent = parent
  }

  public static func start(_ options: DaemonOptions) throws(SystemError) -> Daemon {
    Signals.ignoreBrokenPipes()
    let parent = options.detach ? try detach() : nil
    var options = options
    options.resolve(pid: getpid())
    try RunDirectory.create(options.runDirectory, for: options.user)
    let pidLock = try options.pidFile.map(lockPIDFile)
    if let logFile = options.logFile { try Log.open(file: logFile) }
    return Daemon(options, pidLock, parent)
  }

  /// Becomes the user asked for, and gives up every capability but those `wanted`.
  ///
  /// - Returns: what of `wanted` was not there to be kept.
  public func dropPrivileges(keeping wanted: [Capability] = []) throws(SystemError) -> [Capability] {
    if let user = options.user {
      try pidLock?.give(to: user)
      try Log.give(to: user)
    }
    let missing = try Privileges.drop(keeping: wanted, user: options.user)
    try checkWritable(directory: options.runDirectory, "sockets and the pid file")
    return missing
  }

  /// Says that the daemon is up: with `--detach` the parent exits and the terminal is given up.
  public func ready() {
    guard let raw = parent?.raw else { return }
    var success: UInt8 = 0
    _ = write(raw, &success, 1)
    parent = nil
    Log.setStandardError(false)
    let null = open("/dev/null", O_RDWR | O_CLOEXEC)
    if null >= 0 {
      for standard: Int32 in 0...2 { dup2(null, standard) }
      if null > 2 { close(null) }
    }
    _ = chdir("/")
  }

  /// Removes the pid file.
  public func stop() { pidLock?.remove() }

  private static func lockPIDFile(_ path: String) throws(SystemError) -> LockFile {
    do throws(LockError) {
      let lock = try LockFile.acquire(path)
      do throws(SystemError) { try lock.write("\(getpid())\n") } catch { throw LockError.system(error) }
      return lock
    } catch {
      switch error {
      case .held(let path, let pid):
        throw SystemError(
          "already running as process \(pid), which holds \(path); stop it, or use another --rundir",
          code: 0)
      case .system(let error): throw error
      }
    }
  }

  /// Forks. The parent waits here and never returns; the child gets the pipe to report on.
  private static func detach() throws(SystemError) -> FileDescriptor {
    var ends: (Int32, Int32) = (-1, -1)
    let made = withUnsafeMutableBytes(of: &ends) { pipe($0.baseAddress!.assumingMemoryBound(to: Int32.self)) }
    guard made == 0 else { throw .last("create a pipe") }
    let child = cl_fork()
    guard child >= 0 else { throw .last("start the background process") }
    if child == 0 {
      close(ends.0)
      _ = fcntl(ends.1, F_SETFD, FD_CLOEXEC)
      setsid()
      return FileDescriptor(owning: ends.1)
    }
    close(ends.1)
    exit(waitUntilReady(child, ends.0))
  }

  private static func waitUntilReady(_ child: pid_t, _ pipe: Int32) -> Int32 {
    var success: UInt8 = 1
    if retryingInterrupts({ read(pipe, &success, 1) }) == 1, success == 0 { return 0 }
    var status: Int32 = 0
    while waitpid(child, &status, 0) < 0, errno == EINTR {}
    let exited = status & 0x7F == 0
    let code = status >> 8 & 0xFF
    return exited && code != 0 ? code : 1
  }
}

/// One line to standard error, for people who start programs.
public func printError(_ text: String) {
  let line = Array("\(text)\n".utf8)
  _ = write(2, line, line.count)
}
