import Glibc

// What Tests/Fuzzer/main.c calls.

private let target = getenv("FUZZ_TARGET").flatMap { FuzzTarget.named(String(cString: $0)) }

/// Writes the target's seeds into the corpus; 0 when there is no such target or directory.
@_cdecl("fuzz_write_seeds")
public func writeSeeds(_ directory: UnsafePointer<CChar>) -> Int32 {
  guard let target, access(directory, W_OK) == 0 else { return 0 }
  for (number, bytes) in target.seeds().enumerated() {
    let descriptor = open("\(String(cString: directory))/seed-\(number)", O_WRONLY | O_CREAT | O_TRUNC, 0o644)
    guard descriptor >= 0 else { return 0 }
    _ = write(descriptor, bytes, bytes.count)
    close(descriptor)
  }
  return 1
}

// SAFETY: libFuzzer lends `count` readable bytes for the call.
@_cdecl("fuzz_one")
public func runOne(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
  do { try target?.run(Array(UnsafeBufferPointer(start: bytes, count: count))) } catch {
    fatalError("fuzz: the machine ran out of something: \(error)")
  }
  return 0
}
