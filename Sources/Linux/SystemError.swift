import CLinux
import Glibc

/// A failed system call, as a sentence: what was tried on what, and the kernel's reason.
public struct SystemError: Error, CustomStringConvertible, Equatable {
  /// The errno value (`ENOENT`, …); 0 when `action` is the whole sentence.
  public let code: Int32
  /// What was being done, with the object's name: "open /dev/net/tun".
  public let action: String

  public init(_ action: String, code: Int32) {
    self.action = action
    self.code = code
  }

  /// Takes the calling thread's `errno`; call it before anything else can change that.
  public static func last(_ action: String) -> SystemError { SystemError(action, code: errno) }

  public var reason: String { code == 0 ? action : String(cString: strerror(code)) }
  public var description: String { code == 0 ? action : "\(action): \(reason)" }
}

/// Repeats a call that a signal interrupted.
@inline(__always)
func retryingInterrupts<Result: FixedWidthInteger>(_ call: () -> Result) -> Result {
  while true {
    let result = call()
    if result != -1 || errno != EINTR { return result }
  }
}
