import CLinux
import Glibc

/// A daemon's life, common to all of them: background, monitor, run directory, pid file, log, privileges.
///
/// `start` and `dropPrivileges` come before the first thread, since one may fork and the other is of one thread; then
/// the program sets itself up and calls `ready`, which lets the waiting parent exit with success. A program that fails
/// before that prints its reason and exits: its parent then exits with the same status. With `--monitor` there is a
/// process in between, which starts the daemon again when it crashes (DaemonMonitor).
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
    var options = options
    options.resolve()
    var parent = options.detach ? try detach() : nil
    try RunDirectory.create(options.runDirectory, for: options.user)
    if let logFile = options.logFile { try Log.open(file: logFile) }
    if options.isMonitored {
      let monitor = DaemonMonitor(options, reportingTo: parent.take())
      parent = try monitor.run()
    }
    options.resolve(pid: getpid())
    let pidLock: LockFile?
    if let path = options.pidFile {
      pidLock = try lockPIDFile(path, replacing: options.replacesPIDFile)
    } else {
      pidLock = nil
    }
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
    if options.detach { Self.giveUpTerminal(options) }
  }

  static func giveUpTerminal(_ options: DaemonOptions) {
    Log.setStandardError(false)
    let null = open("/dev/null", O_RDWR | O_CLOEXEC)
    if null >= 0 {
      for standard: Int32 in 0...2 { dup2(null, standard) }
      if null > 2 { close(null) }
    }
    if !options.staysInDirectory { _ = chdir("/") }
  }

  /// Removes the pid file.
  public func stop() { pidLock?.remove() }

  private static func lockPIDFile(_ path: String, replacing: Bool) throws(SystemError) -> LockFile {
    do throws(LockError) {
      let lock = try replacing ? LockFile.replace(path) : LockFile.acquire(path)
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
    let pipe = try Pipe()
    let child = cl_fork()
    guard child >= 0 else { throw .last("start the background process") }
    if child == 0 {
      setsid()
      return pipe.onlyWriting()
    }
    let reading = pipe.onlyReading()
    exit(waitUntilReady(child, reading.raw))
  }

  private static func waitUntilReady(_ child: pid_t, _ pipe: Int32) -> Int32 {
    var success: UInt8 = 1
    if retryingInterrupts({ read(pipe, &success, 1) }) == 1, success == 0 { return 0 }
    var status: Int32 = 0
    while waitpid(child, &status, 0) < 0, errno == EINTR {}
    return ExitStatus(status).failure
  }
}

/// A pipe, closed on exec.
struct Pipe: ~Copyable {
  let reading: FileDescriptor
  let writing: FileDescriptor

  init() throws(SystemError) {
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else { throw .last("create a pipe") }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    reading = FileDescriptor(owning: ends[0])
    writing = FileDescriptor(owning: ends[1])
  }

  /// Keeps one end only.
  consuming func onlyReading() -> FileDescriptor { reading }
  consuming func onlyWriting() -> FileDescriptor { writing }
}

/// How a process ended (wait(2)).
public struct ExitStatus: Equatable, Sendable, CustomStringConvertible {
  /// The code it exited with; nil when a signal killed it.
  public let code: Int32?
  public let signal: Int32?

  public init(_ status: Int32) {
    let number = status & 0x7F
    signal = number == 0 ? nil : number
    code = number == 0 ? status >> 8 & 0xFF : nil
  }

  /// What a process exits with whose child ended so although it was not to end.
  var failure: Int32 { code.map { $0 == 0 ? 1 : $0 } ?? 1 }

  public var description: String {
    if let signal { return "killed by signal \(signal) (\(String(cString: strsignal(signal))))" }
    return "exited with status \(code ?? 0)"
  }
}

/// One line to standard error, for people who start programs.
public func printError(_ text: String) {
  let line = Array("\(text)\n".utf8)
  _ = write(2, line, line.count)
}
