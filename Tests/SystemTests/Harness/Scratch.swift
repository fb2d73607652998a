import Glibc
import Synchronization

/// This test run's directory under /tmp, and the list of everything it has started there.
///
/// A run that was itself killed leaves programs and namespaces behind; the next run finds its directory and ends
/// them. Both are named after the process id of the run, so two runs at once do not meet.
final class Scratch: Sendable {
  static let shared = Scratch()

  let directory: String
  private let counter = Atomic<Int>(0)
  private static let prefix = "switchd-test-"

  private init() {
    Self.removeLeftovers()
    directory = "/tmp/\(Self.prefix)\(getpid())"
    mkdir(directory, 0o755)
    atexit { Scratch.shared.removeAll() }
  }

  func path(_ name: String) -> String { "\(directory)/\(name)" }

  /// A number no other caller in this run gets.
  func number() -> Int { counter.add(1, ordering: .relaxed).newValue }

  /// A name for a namespace or a network device that no other run or test uses (at most 15 bytes).
  func deviceName(_ stem: String) -> String { "\(stem)-\(getpid() % 100_000)-\(number())" }

  func remember(_ pid: pid_t) { append("pids", "\(pid)") }
  func remember(namespace: String) { append("namespaces", namespace) }

  private func append(_ list: String, _ line: String) {
    let descriptor = open(path(list), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { return }
    let bytes = Array("\(line)\n".utf8)
    _ = write(descriptor, bytes, bytes.count)
    close(descriptor)
  }

  private func removeAll() { Self.remove(directory) }

  private static func removeLeftovers() {
    for entry in directoryEntries("/tmp") where entry.hasPrefix(prefix) {
      guard let pid = pid_t(entry.dropFirst(prefix.count)), kill(pid, 0) != 0 else { continue }
      remove("/tmp/\(entry)")
    }
  }

  /// Ends what `directory` lists and removes it. A process id may have been given to a stranger since: only a
  /// process whose command line names the directory is ended.
  private static func remove(_ directory: String) {
    for line in readFile("\(directory)/pids").split(separator: "\n") {
      guard let pid = pid_t(line), readFile("/proc/\(pid)/cmdline").contains(directory) else { continue }
      kill(pid, SIGKILL)
    }
    for name in readFile("\(directory)/namespaces").split(separator: "\n") {
      let path = "/run/netns/\(name)"
      if umount2(path, Int32(MNT_DETACH)) == 0 { unlink(path) }
    }
    removeTree(directory)
  }

  private static func removeTree(_ path: String) {
    for entry in directoryEntries(path) { removeTree("\(path)/\(entry)") }
    if unlink(path) != 0 { rmdir(path) }
  }
}

/// The names in a directory, without `.` and `..`; none when it is no directory. Symbolic links are not followed.
func directoryEntries(_ path: String) -> [String] {
  var status = stat()
  guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR, let stream = opendir(path) else {
    return []
  }
  defer { closedir(stream) }
  var names: [String] = []
  while let entry = readdir(stream) {
    let name = withUnsafeBytes(of: &entry.pointee.d_name) {
      String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
    }
    if name != ".", name != ".." { names.append(name) }
  }
  return names
}
