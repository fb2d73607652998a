import CLinux
import Glibc
import Linux

/// The listening socket of a port in the server role, and the file that goes with it.
final class VhostUserSocket {
  let descriptor: FileDescriptor
  private let path: String
  private let identity: (dev_t, ino_t)

  /// Listens at `options.socket` with the owner, group and mode asked for.
  init(_ name: String, _ options: VhostUserOptions) throws(PortError) {
    path = options.socket
    do {
      // Nobody but us may connect until the file has its final owner.
      let restricted = options.owner != nil || options.group != nil || options.mode != nil
      descriptor = try UnixSocket.listen(path, mode: restricted ? 0o600 : nil)
    } catch { throw Self.explain(name, options.socket, error) }
    var status = stat()
    guard lstat(path, &status) == 0 else {
      throw Self.explain(name, path, .last("examine \(path)"))
    }
    identity = (status.st_dev, status.st_ino)
    do {
      try setAccess(options, status)
    } catch {
      unlink(path)
      throw Self.explain(name, path, error)
    }
  }

  /// Removes the file, unless it is somebody else's by now.
  deinit {
    var status = stat()
    if lstat(path, &status) == 0, status.st_dev == identity.0, status.st_ino == identity.1 { unlink(path) }
  }

  private func setAccess(_ options: VhostUserOptions, _ status: stat) throws(SystemError) {
    if options.owner != nil || options.group != nil {
      let owner = options.owner ?? status.st_uid
      let group = options.group ?? status.st_gid
      guard lchown(path, owner, group) == 0 else { throw .last("change the owner of \(path)") }
    }
    if let mode = options.mode {
      guard chmod(path, mode) == 0 else { throw .last("change the mode of \(path)") }
    } else if options.owner != nil || options.group != nil {
      guard chmod(path, 0o660) == 0 else { throw .last("change the mode of \(path)") }
    }
  }

  /// The failure as a sentence with its remedy.
  static func explain(_ name: String, _ path: String, _ error: SystemError) -> PortError {
    let remedy: String
    switch error.code {
    case ENOENT, ENOTDIR: remedy = "create its directory first"
    case EACCES, EPERM, EROFS: remedy = "run the switch as a user who may, or choose another directory"
    case EADDRINUSE: remedy = "stop that process, or choose another name or run directory"
    case EEXIST: remedy = "move that file away, or choose another name"
    default: return PortError("\(name): \(error.description)")
    }
    return PortError("\(name): \(error.description); \(remedy)")
  }
}
