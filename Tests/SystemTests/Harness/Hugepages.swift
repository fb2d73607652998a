/// Sees to it that there are so many pages of 2 MiB while `body` runs.
func withHugepages(_ count: Int, _ body: () throws -> Void) throws {
  let setting = "/proc/sys/vm/nr_hugepages"
  let before = Int(readFile(setting).filter(\.isNumber)) ?? 0
  if before < count { try writeFile(setting, "\(count)") }
  defer { if before < count { try? writeFile(setting, "\(before)") } }
  try body()
}
