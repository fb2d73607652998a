import CCapNG
import CLinux
import Glibc

/// Gives up what a daemon does not need.
///
/// Capabilities belong to threads, and a new thread has those of the one that starts it: drop them before the first.
public enum Privileges {
  /// Keeps nothing but those of `wanted` that the process has, and becomes `user` if there is one. Bounding, ambient
  /// and inheritable sets end up empty, and no program started from here on can gain anything (no_new_privs).
  ///
  /// Without CAP_SETPCAP the bounding set stays: the kernel lets nobody else clear it, and no_new_privs makes up
  /// for it.
  ///
  /// - Returns: what of `wanted` the process does not have.
  public static func drop(keeping wanted: [Capability], user: UserIdentity?) throws(SystemError)
    -> [Capability]
  {
    try read()
    let held = wanted.filter { isPermitted($0.rawValue) }
    var flags = CAPNG_CLEAR_AMBIENT.rawValue
    if isPermitted(UInt32(CAP_SETPCAP)) { flags |= CAPNG_CLEAR_BOUNDING.rawValue }
    // Whoever it is already, it need not become, which not everybody may.
    let identity = user.flatMap { $0.isCurrent ? nil : $0 }
    if let identity {
      flags |= (identity.hasAccount ? CAPNG_INIT_SUPP_GRP : CAPNG_DROP_SUPP_GRP).rawValue
    }
    capng_clear(CAPNG_SELECT_ALL)
    let sets = capng_type_t(CAPNG_EFFECTIVE.rawValue | CAPNG_PERMITTED.rawValue)
    for capability in held where capng_update(CAPNG_ADD, sets, capability.rawValue) != 0 {
      throw SystemError("keep \(capability.name): libcap-ng does not know it", code: 0)
    }
    let result = capng_change_id(
      Int32(bitPattern: identity?.user ?? .max), Int32(bitPattern: identity?.group ?? .max),
      capng_flags_t(flags))
    guard result == 0 else { throw failure(result, user) }
    guard cl_forbid_new_privileges() == 0 else { throw .last("give up new privileges for good") }
    return wanted.filter { !held.contains($0) }
  }

  /// Whether the process may use `capability`.
  static func have(_ capability: Capability) throws(SystemError) -> Bool {
    try read()
    return isPermitted(capability.rawValue)
  }

  /// What the process has becomes what libcap-ng works on.
  private static func read() throws(SystemError) {
    guard capng_get_caps_process() == 0 else { throw .last("read the capabilities of this process") }
  }

  private static func isPermitted(_ number: UInt32) -> Bool {
    capng_have_capability(CAPNG_PERMITTED, number) == 1
  }

  /// What `capng_change_id` returned, as a sentence.
  private static func failure(_ result: Int32, _ user: UserIdentity?) -> SystemError {
    let code = errno
    guard let user, result <= -3 else { return SystemError("give up privileges", code: code) }
    return switch result {
    case -3, -4, -5, -6, -10:
      SystemError(
        "become user \(user.name): \(SystemError("", code: code).reason); start as root, or leave --user out",
        code: 0)
    default: SystemError("give up privileges as user \(user.name)", code: code)
    }
  }
}
