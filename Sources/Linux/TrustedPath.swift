import CLinux
import Glibc

/// Files found without the help of a stranger's symbolic link, which may lead to one that only we can use.
enum TrustedPath {
  /// The most links followed on one way, as in the kernel.
  private static let maximumLinks = 40

  /// Finds the file at `path` (`O_PATH`: it is not opened itself). Links on the way, and at its end, are followed if
  /// they belong to root or to the user we are.
  ///
  /// The path is walked name by name, so that what was looked at is what is found, whoever changes links meanwhile.
  ///
  /// - Parameter action: what is being done, for errors ("connect to /run/vm1").
  static func find(_ path: String, _ action: String) throws(SystemError) -> FileDescriptor {
    var place = try step(path.hasPrefix("/") ? "/" : ".", from: AT_FDCWD, action)
    var names = path.split(separator: "/").reversed().map(String.init)
    var links = 0
    while let name = names.popLast() {
      let next = try step(name, from: place.raw, action)
      var status = stat()
      guard fstat(next.raw, &status) == 0 else { throw .last(action) }
      guard status.st_mode & S_IFMT == S_IFLNK else {
        place = next
        continue
      }
      guard status.st_uid == 0 || status.st_uid == geteuid() else {
        throw SystemError(
          "\(action): \(name) is a symbolic link of \(accountName(status.st_uid)), who is neither root nor "
            + "\(accountName(geteuid())); give the path that it leads to, or change its owner", code: 0)
      }
      links += 1
      guard links <= maximumLinks else { throw SystemError(action, code: ELOOP) }
      let target = try read(next, action)
      if target.hasPrefix("/") { place = try step("/", from: AT_FDCWD, action) }
      names += target.split(separator: "/").reversed().map(String.init)
    }
    return place
  }

  private static func step(_ name: String, from directory: Int32, _ action: String) throws(SystemError)
    -> FileDescriptor
  {
    let raw = retryingInterrupts { cl_find(directory, name) }
    guard raw >= 0 else { throw .last(action) }
    return FileDescriptor(owning: raw)
  }

  private static func read(_ link: borrowing FileDescriptor, _ action: String) throws(SystemError) -> String {
    var target = [CChar](repeating: 0, count: Int(PATH_MAX))
    let count = readlinkat(link.raw, "", &target, target.count)
    guard count > 0 else { throw .last(action) }
    return String(decoding: target.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
