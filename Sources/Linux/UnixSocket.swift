import CLinux
import Glibc

/// Stream sockets in the file system.
public enum UnixSocket {
  /// Longest path the kernel takes, in bytes.
  public static let maximumPathLength = 107

  /// A non-blocking listener at `path`.
  ///
  /// A socket file nobody listens on is replaced; one with a live listener is refused, and so is anything that is
  /// not a socket, or a symbolic link (another user could aim it anywhere).
  public static func listen(_ path: String, backlog: Int32 = 64, mode: mode_t? = nil) throws(SystemError)
    -> FileDescriptor
  {
    var status = stat()
    if lstat(path, &status) == 0 {
      guard status.st_mode & S_IFMT == S_IFSOCK else {
        throw SystemError("listen on \(path): the file there is not a socket", code: EEXIST)
      }
      if isListening(path) {
        throw SystemError("listen on \(path): another process listens there", code: EADDRINUSE)
      }
      guard unlink(path) == 0 else { throw .last("remove the dead socket \(path)") }
    }
    let socket = try make("listen on \(path)")
    try withAddress(path, "listen on \(path)") { address, length in bind(socket.raw, address, length) }
    if let mode, chmod(path, mode) != 0 { throw .last("set the mode of \(path)") }
    guard Glibc.listen(socket.raw, backlog) == 0 else { throw .last("listen on \(path)") }
    return socket
  }

  /// A non-blocking connection to the listener at `path`. Unix sockets connect at once or fail; `EAGAIN` means a
  /// full backlog.
  public static func connect(_ path: String) throws(SystemError) -> FileDescriptor {
    let socket = try make("connect to \(path)")
    try withAddress(path, "connect to \(path)") { address, length in
      Glibc.connect(socket.raw, address, length)
    }
    return socket
  }

  /// The same, but refuses to follow a symbolic link of somebody who is neither root nor the user we are, on the way or
  /// at its end: what listens where that leads may be meant for us alone.
  public static func connect(trusted path: String) throws(SystemError) -> FileDescriptor {
    let action = "connect to \(path)"
    let file = try TrustedPath.find(path, action)
    let socket = try make(action)
    try withAddress("/proc/self/fd/\(file.raw)", action) { address, length in
      Glibc.connect(socket.raw, address, length)
    }
    return socket
  }

  /// Two connected, non-blocking ends; the caller owns both numbers.
  public static func pair() throws(SystemError) -> (Int32, Int32) {
    let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
    var ends: [Int32] = [-1, -1]
    guard socketpair(AF_UNIX, type, 0, &ends) == 0 else { throw .last("create a socket pair") }
    return (ends[0], ends[1])
  }

  /// The next waiting connection, non-blocking, or nil when there is none.
  public static func accept(_ listener: Int32) throws(SystemError) -> FileDescriptor? {
    let raw = retryingInterrupts { cl_accept(listener) }
    if raw >= 0 { return FileDescriptor(owning: raw) }
    if errno == EAGAIN || errno == ECONNABORTED { return nil }
    throw .last("accept a connection")
  }

  public static func isListening(_ path: String) -> Bool {
    do {
      _ = try connect(path)
      return true
    } catch {
      return error.code == EAGAIN
    }
  }

  /// Removes the sockets in `directory` whose names satisfy `isOurs` and nobody listens on: what a process that was
  /// killed left behind.
  public static func removeDead(in directory: String, where isOurs: (String) -> Bool) {
    guard let listing = opendir(directory) else { return }
    defer { closedir(listing) }
    while let entry = readdir(listing) {
      // SAFETY: the record ends with the name; reading `d_name` as a whole would run past it.
      let bytes = UnsafeRawPointer(entry) + MemoryLayout<dirent>.offset(of: \.d_name)!
      let name = String(cString: bytes.assumingMemoryBound(to: CChar.self))
      let path = directory + "/" + name
      var status = stat()
      guard isOurs(name), lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK, !isListening(path)
      else { continue }
      unlink(path)
    }
  }

  private static func make(_ action: String) throws(SystemError) -> FileDescriptor {
    let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
    let raw = socket(AF_UNIX, type, 0)
    guard raw >= 0 else { throw .last(action) }
    return FileDescriptor(owning: raw)
  }

  private static func withAddress(
    _ path: String, _ action: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
  ) throws(SystemError) {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    guard !bytes.isEmpty, bytes.count <= maximumPathLength else {
      throw SystemError("\(action): the path must have 1 to \(maximumPathLength) bytes", code: ENAMETOOLONG)
    }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    let result = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    guard result == 0 else { throw .last(action) }
  }
}
