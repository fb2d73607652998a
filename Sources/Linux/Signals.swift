import CLinux
import Glibc

/// Signals as events of the loop, through a signalfd.
///
/// `block` must run before the first thread starts, so that every thread inherits the mask.
public final class Signals {
  private let descriptor: FileDescriptor
  private var watch: EventLoop.Watch?

  public init(_ loop: EventLoop, _ numbers: [Int32], _ handler: @escaping (Int32) -> Void) throws(SystemError)
  {
    var set = Self.set(numbers)
    pthread_sigmask(SIG_BLOCK, &set, nil)
    let raw = signalfd(-1, &set, Int32(SFD_CLOEXEC | SFD_NONBLOCK))
    guard raw >= 0 else { throw .last("create a signalfd") }
    descriptor = FileDescriptor(owning: raw)
    watch = loop.watch(raw, .read) { _ in
      var info = signalfd_siginfo()
      while read(raw, &info, MemoryLayout<signalfd_siginfo>.size) == MemoryLayout<signalfd_siginfo>.size {
        handler(Int32(info.ssi_signo))
      }
    }
  }

  deinit { watch?.cancel() }

  private static func set(_ numbers: [Int32]) -> sigset_t {
    var set = sigset_t()
    sigemptyset(&set)
    for number in numbers { sigaddset(&set, number) }
    return set
  }

  /// Writing to a peer that went away is an error of that write, never the process's end.
  public static func ignoreBrokenPipes() { signal(SIGPIPE, SIG_IGN) }
}
