import CLinux
import Glibc

/// A file held under an exclusive `fcntl` lock for as long as the object lives.
///
/// Such a lock belongs to the process, is not inherited by `fork`, names its owner to whoever is refused, and is lost
/// when *any* descriptor of that file is closed by the process. Therefore a file that this process has locked is
/// refused here, and never opened a second time.
public final class LockFile {
  public let path: String
  private let raw: Int32
  private let identity: Identity

  /// Which file it is, by whatever name.
  private struct Identity: Hashable {
    let device: UInt64
    let inode: UInt64

    init(_ status: stat) {
      device = UInt64(status.st_dev)
      inode = UInt64(status.st_ino)
    }

    init?(_ path: String) {
      var status = stat()
      guard stat(path, &status) == 0 else { return nil }
      self.init(status)
    }
  }

  /// What this process has locked.
  private static let held = Locked<Set<Identity>>([])

  private init(_ path: String, _ file: consuming FileDescriptor, _ identity: Identity) {
    self.path = path
    raw = file.release()
    self.identity = identity
  }

  deinit {
    let (raw, identity) = (raw, identity)
    Self.held.withLock {
      close(raw)
      $0.remove(identity)
    }
  }

  /// Creates `path` when missing, and locks it.
  public static func acquire(_ path: String) throws(LockError) -> LockFile {
    while true {
      if let identity = Identity(path), held.withLock({ $0.contains(identity) }) {
        throw .held(path, by: getpid())
      }
      let file: FileDescriptor
      do throws(SystemError) {
        file = try FileDescriptor.open(path, O_RDWR | O_CREAT, mode: 0o644)
      } catch { throw .system(error) }
      var lock = exclusiveLock()
      if fcntl(file.raw, F_SETLK, &lock) != 0 {
        guard errno == EACCES || errno == EAGAIN else { throw .system(.last("lock \(path)")) }
        if fcntl(file.raw, F_GETLK, &lock) == 0, lock.l_type != F_UNLCK { throw .held(path, by: lock.l_pid) }
        continue  // released in between
      }
      // Whoever held it before may have removed the file: then this lock is on a file nobody else sees.
      var opened = stat()
      guard fstat(file.raw, &opened) == 0, Identity(path) == Identity(opened) else { continue }
      let identity = Identity(opened)
      held.withLock { _ = $0.insert(identity) }
      return LockFile(path, file, identity)
    }
  }

  /// The same, but when another process holds the file, with a new one in its place.
  static func replace(_ path: String) throws(LockError) -> LockFile {
    do throws(LockError) { return try acquire(path) } catch {
      guard case .held = error else { throw error }
      unlink(path)
      return try acquire(path)
    }
  }

  /// Replaces the file's text.
  public func write(_ text: String) throws(SystemError) {
    let bytes = Array(text.utf8)
    guard ftruncate(raw, 0) == 0, pwrite(raw, bytes, bytes.count, 0) == bytes.count else {
      throw .last("write \(path)")
    }
  }

  /// Makes the file the user's.
  func give(to user: UserIdentity) throws(SystemError) { try user.own(raw, path) }

  /// Removes the file; the lock goes with the object.
  public func remove() { unlink(path) }

  private static func exclusiveLock() -> flock {
    var lock = flock()
    lock.l_type = Int16(F_WRLCK)
    lock.l_whence = Int16(SEEK_SET)
    return lock
  }
}

/// Why a file could not be locked.
public enum LockError: Error, CustomStringConvertible {
  case held(String, by: pid_t)
  case system(SystemError)

  public var description: String {
    switch self {
    case .held(let path, let pid): "\(path) is locked by process \(pid)"
    case .system(let error): error.description
    }
  }
}
