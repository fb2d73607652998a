import Glibc

/// What a process holds.
struct Footprint {
  /// Open file descriptors.
  let descriptors: Int
  /// Mappings of the memory of guests that the test itself plays.
  let mappings: Int
  /// Resident memory.
  let kilobytes: Int

  init(of process: pid_t) throws {
    descriptors = directoryEntries("/proc/\(process)/fd").count
    mappings = readFile("/proc/\(process)/maps").split(separator: "\n").count { $0.contains("memfd:guest") }
    let lines = readFile("/proc/\(process)/status").split(separator: "\n")
    guard descriptors > 0, let resident = lines.first(where: { $0.hasPrefix("VmRSS:") }),
      let kilobytes = Int(resident.filter(\.isNumber))
    else { throw HarnessError("process \(process) is gone") }
    self.kilobytes = kilobytes
  }
}
