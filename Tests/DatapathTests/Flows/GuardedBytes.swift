import Glibc

/// Memory whose last byte lies before a page that must not be touched: who reads too far ends the test.
final class GuardedBytes {
  private let pages: UnsafeMutableRawPointer
  private static let size = 65_536 + 8192

  init() {
    pages = mmap(nil, Self.size + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    mprotect(pages + Self.size, 4096, PROT_NONE)
  }

  deinit { munmap(pages, Self.size + 4096) }

  /// The first `count` of `bytes`, ending at the guard.
  func place(_ bytes: [UInt8], count: Int) -> UnsafeMutableRawPointer {
    let start = pages + (Self.size - count)
    bytes.withUnsafeBytes { source in
      if count > 0 { start.copyMemory(from: source.baseAddress!, byteCount: count) }
    }
    return start
  }
}
