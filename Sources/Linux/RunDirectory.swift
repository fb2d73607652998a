import CLinux
import Glibc

/// Where daemons keep their sockets and pid files.
public enum RunDirectory {
  public static let standard = "/run/switchd"

  /// `option` if given, else the environment's `OVS_RUNDIR`, else `/run/switchd`; absolute.
  public static func resolve(_ option: String? = nil) -> String {
    if let option, !option.isEmpty { return absolutePath(option) }
    if let environment = getenv("OVS_RUNDIR"), environment.pointee != 0 {
      return absolutePath(String(cString: environment))
    }
    return standard
  }

  /// Makes sure that the directory exists; its parent must.
  public static func create(_ path: String) throws(SystemError) {
    if mkdir(path, 0o755) == 0 || errno == EEXIST { return }
    throw .last("create the run directory \(path)")
  }
}

/// `path` seen from the current directory.
public func absolutePath(_ path: String) -> String {
  if path.hasPrefix("/") { return path }
  guard let current = getcwd(nil, 0) else { return path }
  defer { free(current) }
  return String(cString: current) + "/" + path
}

/// The database file when none is named: `conf.db` in the environment's `OVS_DBDIR`, else in /var/lib/switchd.
public func defaultDatabaseFile() -> String {
  if let environment = getenv("OVS_DBDIR"), environment.pointee != 0 {
    return absolutePath(String(cString: environment)) + "/conf.db"
  }
  return "/var/lib/switchd/conf.db"
}

/// Makes the directory at `path` (absolute), and those above it, as far as they are missing.
public func createDirectories(_ path: String) throws(SystemError) {
  var made = ""
  for name in path.split(separator: "/") {
    made += "/" + name
    if mkdir(made, 0o755) == 0 || errno == EEXIST { continue }
    let code = errno
    // A read-only file system refuses even what exists.
    guard access(made, F_OK) == 0 else { throw SystemError("create the directory \(made)", code: code) }
  }
}
