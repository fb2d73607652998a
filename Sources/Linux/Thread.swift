import CLinux
import Glibc

/// A POSIX thread with a name and, optionally, one processor of its own.
///
/// `body` runs on the new thread; whatever it captures has to be safe to use there, which the compiler cannot see:
/// the caller vouches for it.
public struct Thread: ~Copyable {
  private let handle: pthread_t

  /// - Parameters:
  ///   - name: at most 15 bytes are shown by the kernel.
  ///   - cpu: pins the thread; an impossible number is ignored after a log line.
  public init(name: String, cpu: Int? = nil, _ body: @escaping @Sendable () -> Void) throws(SystemError) {
    let start = Start(name: name, cpu: cpu, body: body)
    let context = Unmanaged.passRetained(start).toOpaque()
    var handle = pthread_t()
    let result = pthread_create(&handle, nil, threadMain, context)
    guard result == 0 else {
      Unmanaged<Start>.fromOpaque(context).release()
      throw SystemError("start thread \(name)", code: result)
    }
    self.handle = handle
  }

  /// Waits until the thread's body has returned.
  public consuming func join() { pthread_join(handle, nil) }

  fileprivate final class Start: Sendable {
    let name: String
    let cpu: Int?
    let body: @Sendable () -> Void
    init(name: String, cpu: Int?, body: @escaping @Sendable () -> Void) {
      self.name = name
      self.cpu = cpu
      self.body = body
    }
  }
}

private func threadMain(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  let start = Unmanaged<Thread.Start>.fromOpaque(context!).takeRetainedValue()
  cl_name_current_thread(String(start.name.prefix(15)))
  if let cpu = start.cpu {
    let result = cl_pin_current_thread(Int32(truncatingIfNeeded: cpu))
    if result != 0 {
      Log.warning(
        "thread", "\(start.name): CPU \(cpu) cannot be used: \(SystemError("pin", code: result).reason)")
    }
  }
  start.body()
  return nil
}

/// Monotonic time in nanoseconds.
@inline(__always)
public func monotonicNanoseconds() -> UInt64 {
  var now = timespec()
  clock_gettime(CLOCK_MONOTONIC, &now)
  return UInt64(now.tv_sec) &* 1_000_000_000 &+ UInt64(now.tv_nsec)
}
