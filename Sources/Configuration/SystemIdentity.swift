import Glibc
import Linux

/// The operating system's name and version, from os-release(5).
struct SystemIdentity: Equatable {
  /// `ID`: "debian".
  var type = ""
  /// `VERSION_ID`: "12".
  var version = ""

  static let current = SystemIdentity(osRelease: contents(of: "/etc/os-release"))

  init(osRelease text: String) {
    for line in text.split(separator: "\n") {
      let parts = line.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard parts.count == 2 else { continue }
      let value = parts[1].filter { $0 != "\"" && $0 != "'" }
      switch parts[0] {
      case "ID": type = value
      case "VERSION_ID": version = value
      default: break
      }
    }
  }

  /// The file's first 16 KiB; empty when it cannot be read.
  private static func contents(of path: String) -> String {
    guard let file = try? FileDescriptor.open(path, O_RDONLY) else { return "" }
    var bytes = [UInt8](repeating: 0, count: 16 << 10)
    let count = read(file.raw, &bytes, bytes.count)
    return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
  }
}
