import CLinux
import Glibc

/// Sole owner of one memory mapping; unmapped when the owner goes.
public struct Mapping: ~Copyable {
  public let base: UnsafeMutableRawPointer
  /// Bytes mapped.
  public let length: Int

  /// Maps `length` bytes of `descriptor` from `offset` (page aligned), shared, readable and writable.
  public init(shared descriptor: Int32, length: Int, offset: Int64 = 0) throws(SystemError) {
    let address = mmap(
      nil, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, descriptor, off_t(offset))
    guard let address, address != MAP_FAILED else { throw .last("map \(length) bytes of shared memory") }
    base = address
    self.length = length
  }

  /// Anonymous private memory, zero-filled and touched only when used.
  public init(anonymous length: Int) throws(SystemError) {
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
    let address = mmap(nil, length, PROT_READ | PROT_WRITE, flags, -1, 0)
    guard let address, address != MAP_FAILED else { throw .last("map \(length) bytes of memory") }
    base = address
    self.length = length
  }

  deinit { munmap(base, length) }
}

/// An unnamed file of `size` bytes in memory, to share with another process.
public func makeMemoryFile(name: String, size: Int) throws(SystemError) -> FileDescriptor {
  let raw = cl_memfd_create(name, 1)  // MFD_CLOEXEC
  guard raw >= 0 else { throw .last("create the memory file \(name)") }
  let file = FileDescriptor(owning: raw)
  guard ftruncate(raw, off_t(size)) == 0 else { throw .last("size the memory file \(name)") }
  return file
}
