import FuzzTargets
import Glibc

// libFuzzer's entry: it has the `main`. Built by tools/fuzz/run only.

private let target: FuzzTarget = {
  let name = getenv("FUZZ_TARGET").map { String(cString: $0) } ?? ""
  guard let target = FuzzTarget.named(name) else {
    fputs("fuzz: FUZZ_TARGET names none of \(FuzzTarget.all.map(\.name).joined(separator: ", "))\n", stderr)
    exit(2)
  }
  return target
}()

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  do { try target.run(Array(UnsafeBufferPointer(start: data, count: count))) } catch {
    fatalError("fuzz: the machine ran out of something: \(error)")
  }
  return 0
}
