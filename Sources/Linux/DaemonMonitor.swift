import CLinux
import Glibc

/// The process that `--monitor` puts before the daemon: it forks it, passes signals on, and forks another one when it
/// crashes. When the daemon ends otherwise, so does the monitor, with its status.
///
/// The monitor has no thread and no event loop, and its child is a fork of it: what the daemon is at its start, it is at
/// every further start.
final class DaemonMonitor {
  private let options: DaemonOptions
  /// Where to say that the daemon is up, until it was.
  private var parent: FileDescriptor?
  private var signals: FileDescriptor?
  private var stop: Int32?

  /// Signals that a program of which something is wrong dies of; Swift's own checks raise SIGILL and SIGTRAP.
  private static let crashes = [
    SIGABRT, SIGALRM, SIGBUS, SIGFPE, SIGILL, SIGPIPE, SIGSEGV, SIGSYS, SIGTRAP, SIGXCPU, SIGXFSZ,
  ]
  private static let passedOn = [SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2]
  /// A daemon that lived so long, in seconds, is started again at once.
  private static let steady = 10

  init(_ options: DaemonOptions, reportingTo parent: consuming FileDescriptor?) {
    self.options = options
    self.parent = parent
  }

  /// Returns in the daemon only, each time a new one is started, with the pipe on which it says that it is up.
  func run() throws(SystemError) -> FileDescriptor {
    signals = try openSignals()
    var pause = 0
    while true {
      let start = monotonicNanoseconds()
      let pipe = try Pipe()
      let child = cl_fork()
      guard child >= 0 else { throw .last("start the monitored process") }
      if child == 0 {
        leave()
        return pipe.onlyWriting()
      }
      let (status, wasReady) = wait(child, pipe.onlyReading())
      guard wasReady, stop == nil, let signal = status.signal, Self.crashes.contains(signal) else {
        finish(child, status, wasReady)
      }
      let lived = Int((monotonicNanoseconds() - start) / 1_000_000_000)
      pause = lived >= Self.steady ? 0 : pause == 0 ? 1 : min(pause * 2, Self.steady)
      report("process \(child) was \(status); starting it again" + (pause > 1 ? " in \(pause) s" : ""))
      if pause > 1, !sleep(pause) { exit(0) }
    }
  }

  /// The daemon is not this process: it has signals and descriptors of its own. Of a crash signal it dies at once: the
  /// handlers of Swift's runtime, which would print what nobody sees, let it live on when another process sent the signal.
  private func leave() {
    signals = nil
    parent = nil
    for number in Self.crashes where number != SIGPIPE { signal(number, SIG_DFL) }
    var none = sigset_t()
    sigemptyset(&none)
    pthread_sigmask(SIG_SETMASK, &none, nil)
  }

  private func openSignals() throws(SystemError) -> FileDescriptor {
    var set = sigset_t()
    sigemptyset(&set)
    for number in Self.passedOn + [SIGCHLD] { sigaddset(&set, number) }
    pthread_sigmask(SIG_BLOCK, &set, nil)
    let raw = signalfd(-1, &set, Int32(SFD_CLOEXEC | SFD_NONBLOCK))
    guard raw >= 0 else { throw .last("create a signalfd") }
    return FileDescriptor(owning: raw)
  }

  /// Waits until the daemon has ended; whether it was up before.
  private func wait(_ child: pid_t, _ pipe: consuming FileDescriptor) -> (ExitStatus, Bool) {
    let raw = pipe.raw
    var wasReady = false
    var listens = true
    while true {
      var sources = [
        pollfd(fd: signals?.raw ?? -1, events: Int16(POLLIN), revents: 0),
        pollfd(fd: listens ? raw : -1, events: Int16(POLLIN), revents: 0),
      ]
      guard poll(&sources, 2, -1) > 0 else { continue }
      if sources[1].revents != 0 {
        var success: UInt8 = 1
        listens = false
        if read(raw, &success, 1) == 1, success == 0 {
          wasReady = true
          childIsReady()
        }
      }
      if sources[0].revents != 0 { for number in takeSignals() { pass(number, to: child) } }
      var status: Int32 = 0
      if waitpid(child, &status, WNOHANG) == child { return (ExitStatus(status), wasReady) }
    }
  }

  private func takeSignals() -> [Int32] {
    var numbers: [Int32] = []
    var info = signalfd_siginfo()
    let size = MemoryLayout<signalfd_siginfo>.size
    while let raw = signals?.raw, read(raw, &info, size) == size { numbers.append(Int32(info.ssi_signo)) }
    return numbers
  }

  private func pass(_ number: Int32, to child: pid_t) {
    guard number != SIGCHLD else { return }
    if [SIGTERM, SIGINT, SIGQUIT].contains(number) { stop = number }
    kill(child, number)
  }

  private func childIsReady() {
    guard let raw = parent?.raw else { return }
    var success: UInt8 = 0
    _ = write(raw, &success, 1)
    parent = nil
    Daemon.giveUpTerminal(options)
  }

  /// Waits `seconds` before the next start; whether nobody wanted an end.
  private func sleep(_ seconds: Int) -> Bool {
    let end = monotonicNanoseconds() + UInt64(seconds) * 1_000_000_000
    while true {
      let now = monotonicNanoseconds()
      guard now < end else { return true }
      var source = pollfd(fd: signals?.raw ?? -1, events: Int16(POLLIN), revents: 0)
      _ = poll(&source, 1, Int32((end - now) / 1_000_000 + 1))
      if !Set(takeSignals()).isDisjoint(with: [SIGTERM, SIGINT, SIGQUIT]) { return false }
    }
  }

  /// The daemon ended as it wanted, or as somebody wanted, or never began.
  private func finish(_ child: pid_t, _ status: ExitStatus, _ wasReady: Bool) -> Never {
    if status.signal != nil { report("process \(child) was \(status); it is not started again") }
    exit(wasReady && status.code == 0 ? 0 : stop != nil && status.signal == stop ? 0 : status.failure)
  }

  /// The log may have been rotated, of which only the daemon was told.
  private func report(_ text: String) {
    do throws(SystemError) { try Log.reopen() } catch { Log.error("daemon", error.description) }
    Log.error("daemon", text)
  }
}
