import Glibc

/// Zeroed memory straight from the kernel: what is never written costs nothing, however large it is.
struct ZeroedMemory: ~Copyable {
  let base: UnsafeMutableRawPointer
  private let bytes: Int

  // SAFETY: the mapping is this value's alone, and goes with it.
  init(bytes: Int) {
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
    let start = mmap(nil, bytes, PROT_READ | PROT_WRITE, flags, -1, 0)
    guard let start, start != MAP_FAILED else { fatalError("out of memory: \(bytes) bytes for a table") }
    base = start
    self.bytes = bytes
  }

  deinit { munmap(base, bytes) }
}
