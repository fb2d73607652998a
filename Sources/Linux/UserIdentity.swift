import CLinux
import Glibc

/// A user and a group to run as.
public struct UserIdentity: Equatable, Sendable {
  /// As the user wrote it.
  public let name: String
  public let user: uid_t
  public let group: gid_t
  /// Whether the system knows the user, and so which other groups it is in.
  let hasAccount: Bool

  /// Reads `USER[:GROUP]`, each a name or a number. Without a group it is the user's own.
  public init(_ text: String) throws(UsageError) {
    let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    let number = UInt32(parts[0])
    let account = number.map { getpwuid($0) } ?? getpwnam(parts[0])
    guard let user = number ?? account?.pointee.pw_uid, user != .max else {
      throw UsageError("there is no user \"\(parts[0])\"")
    }
    name = parts[0]
    self.user = user
    hasAccount = account != nil
    if parts.count > 1 {
      guard let group = UInt32(parts[1]) ?? getgrnam(parts[1])?.pointee.gr_gid, group != .max else {
        throw UsageError("there is no group \"\(parts[1])\"")
      }
      self.group = group
    } else {
      guard let group = account?.pointee.pw_gid else {
        throw UsageError("user \(text) has no account and so no group: write \(text):GROUP")
      }
      self.group = group
    }
  }

  /// Whether the process runs as this user and group.
  var isCurrent: Bool { geteuid() == user && getuid() == user && getegid() == group && getgid() == group }

  /// Makes the file behind `descriptor` this user's, unless the process is this user.
  func own(_ descriptor: Int32, _ path: String) throws(SystemError) {
    guard !isCurrent, fchown(descriptor, user, group) != 0 else { return }
    throw .last("give \(path) to user \(name)")
  }

  /// The same of a directory.
  func own(directory path: String) throws(SystemError) {
    try own(try FileDescriptor.open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW).raw, path)
  }
}
