import Glibc

/// Accounts of the system by name.
enum Accounts {
  // SAFETY: the record belongs to the C library and is read at once, on the control thread.
  static func user(_ name: String) -> uid_t? { getpwnam(name)?.pointee.pw_uid }
  static func group(_ name: String) -> gid_t? { getgrnam(name)?.pointee.gr_gid }
}
