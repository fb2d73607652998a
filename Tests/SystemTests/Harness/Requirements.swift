import Glibc
import Testing

/// What a system test needs of the machine. A test that lacks it says so and is skipped.
extension Trait where Self == ConditionTrait {
  static var needsRoot: Self {
    .enabled(if: getuid() == 0, "needs root, for network namespaces and devices")
  }
  static var needsGuests: Self {
    .enabled(
      if: haveTools("qemu-system-x86_64", "busybox", "cpio"), "needs QEMU guests; run tools/setup test")
  }
  static func needs(_ programs: String...) -> Self {
    .enabled(
      if: programs.allSatisfy { haveTools($0) },
      "needs \(programs.joined(separator: ", ")); run tools/setup test")
  }
  /// A module of Debian's own Python.
  static func needsPython(_ module: String) -> Self {
    .enabled(
      if: (try? run(["/usr/bin/python3", "-c", "import \(module)"]).succeeded) == true,
      "needs the Python module \(module); run tools/setup test")
  }
  /// For guests that take minutes under software emulation.
  static var takesMinutes: Self {
    .enabled(if: getenv("SWITCHD_LONG_TESTS") != nil, "takes minutes; set SWITCHD_LONG_TESTS=1 to run it")
  }
}

private func haveTools(_ names: String...) -> Bool {
  let path = getenv("PATH").map { String(cString: $0) } ?? "/usr/sbin:/usr/bin"
  let directories = path.split(separator: ":")
  return names.allSatisfy { name in directories.contains { access("\($0)/\(name)", X_OK) == 0 } }
}

/// Where things are.
enum Location {
  /// The top of the source tree.
  static let package: String = {
    var parts = #filePath.split(separator: "/")
    parts.removeLast(4)
    return "/" + parts.joined(separator: "/")
  }()

  /// The directory with `switchd`, `switchdbd` and `switchctl`: where the tests were built, unless
  /// SWITCHD_PROGRAMS names another.
  static let programs: String = {
    if let directory = getenv("SWITCHD_PROGRAMS") { return String(cString: directory) }
    var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
    let count = readlink("/proc/self/exe", &buffer, buffer.count)
    let path = String(decoding: buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return "/" + path.split(separator: "/").dropLast().joined(separator: "/")
  }()
}

/// All system tests but those of `GuestSystem`: one at a time, because they share the machine's two or so processors
/// and its kernel.
@Suite(.serialized, .needsRoot)
enum System {}

/// Tests with QEMU's guests: one at a time too, but beside the others, because they wait most of the time, for a guest
/// that has one processor's attention at most.
@Suite(.serialized, .needsRoot)
enum GuestSystem {}
