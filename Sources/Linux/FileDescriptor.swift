import CLinux
import Glibc

/// Sole owner of one open file descriptor; closed when the owner goes.
public struct FileDescriptor: ~Copyable {
  /// The number, for system calls made while the owner lives.
  public let raw: Int32

  /// Takes ownership of `raw`, an open descriptor.
  public init(owning raw: Int32) { self.raw = raw }

  deinit { close(raw) }

  /// Gives the number up without closing it.
  public consuming func release() -> Int32 {
    let number = raw
    discard self
    return number
  }

  /// Opens a file, close-on-exec. `mode` is used when `flags` has `O_CREAT`.
  public static func open(_ path: String, _ flags: Int32, mode: mode_t = 0o640) throws(SystemError)
    -> FileDescriptor
  {
    let raw = retryingInterrupts { Glibc.open(path, flags | O_CLOEXEC, mode) }
    guard raw >= 0 else { throw .last("open \(path)") }
    return FileDescriptor(owning: raw)
  }

  /// A second descriptor of the same open file, close-on-exec.
  public func duplicate() throws(SystemError) -> FileDescriptor {
    let raw = fcntl(self.raw, F_DUPFD_CLOEXEC, 0)
    guard raw >= 0 else { throw .last("duplicate a file descriptor") }
    return FileDescriptor(owning: raw)
  }

  public func setNonBlocking() throws(SystemError) {
    let flags = fcntl(raw, F_GETFL)
    guard flags >= 0, fcntl(raw, F_SETFL, flags | O_NONBLOCK) == 0 else {
      throw .last("make a file descriptor non-blocking")
    }
  }

  /// Size in bytes of the file behind it.
  public func fileSize() throws(SystemError) -> UInt64 {
    var status = stat()
    guard fstat(raw, &status) == 0 else { throw .last("read the size of a file") }
    return UInt64(status.st_size)
  }
}
