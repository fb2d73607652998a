import CLinux
import Glibc

/// Where daemons keep their sockets and pid files.
public enum RunDirectory {
  public static let standard = "/run/switchd"

  /// `option` if given, else the environment's `OVS_RUNDIR`, else `/run/switchd`; absolute.
  public static func resolve(_ option: String? = nil) -> String {
    if let option, !option.isEmpty { return absolutePath(option) }
    return environmentPath("OVS_RUNDIR") ?? standard
  }

  /// Makes sure that the directory exists; its parent must. One that is made here is the user's.
  public static func create(_ path: String, for user: UserIdentity? = nil) throws(SystemError) {
    if mkdir(path, 0o755) == 0 {
      try user?.own(directory: path)
    } else if errno != EEXIST {
      throw .last("create the run directory \(path)")
    }
  }
}

/// `path` seen from the current directory.
public func absolutePath(_ path: String) -> String {
  if path.hasPrefix("/") { return path }
  guard let current = getcwd(nil, 0) else { return path }
  defer { free(current) }
  return String(cString: current) + "/" + path
}

/// The path that an environment variable holds, absolute; nil when it is unset or empty.
func environmentPath(_ name: String) -> String? {
  guard let value = getenv(name), value.pointee != 0 else { return nil }
  return absolutePath(String(cString: value))
}

/// The database file when none is named: `conf.db` in the environment's `OVS_DBDIR`, else in /var/lib/switchd.
public func defaultDatabaseFile(in directories: StandardDirectories = .own) -> String {
  directories.database + "/conf.db"
}

/// Makes the directory at `path` (absolute), and those above it, as far as they are missing; those are then the user's.
public func createDirectories(_ path: String, for user: UserIdentity? = nil) throws(SystemError) {
  var made = ""
  for name in path.split(separator: "/") {
    made += "/" + name
    if mkdir(made, 0o755) == 0 {
      try user?.own(directory: made)
      continue
    }
    let code = errno
    if code == EEXIST { continue }
    // A read-only file system refuses even what exists.
    guard faccessat(AT_FDCWD, made, F_OK, AT_EACCESS) == 0 else {
      throw SystemError("create the directory \(made)", code: code)
    }
  }
}

/// Whether there is something at `path`, or nothing that this process could see. (`access` would ask for the user alone,
/// without its capabilities.)
public func exists(_ path: String) -> Bool {
  faccessat(AT_FDCWD, path, F_OK, AT_EACCESS) == 0 || errno != ENOENT
}

/// Refuses a directory that this process cannot make files in, as it is now: `purpose` says what they are.
public func checkWritable(directory path: String, _ purpose: String) throws(SystemError) {
  guard faccessat(AT_FDCWD, path, W_OK | X_OK, AT_EACCESS) != 0, errno == EACCES else { return }
  var status = stat()
  let owner = stat(path, &status) == 0 ? accountName(status.st_uid) : "another user"
  throw SystemError(
    "\(path), for \(purpose), belongs to \(owner) and cannot be written by \(accountName(geteuid())): "
      + "change its owner, choose another directory, or start with --user=\(owner)", code: 0)
}

/// The user's name, or number if it has none.
func accountName(_ user: uid_t) -> String {
  getpwuid(user).map { String(cString: $0.pointee.pw_name) } ?? String(user)
}
