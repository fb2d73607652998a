// The file behind shared memory belongs to a peer, who can truncate it whenever he likes. Touching a page that went
// away raises SIGBUS; that must stop the peer's port, never the process. So every such mapping is registered with a
// handler, which lays zero pages over it and raises a flag (CLinux, guest_fault.h).

import CLinux
import Glibc
import Linux
import Synchronization

/// The word a SIGBUS handler raises; shared by all mappings of one memory.
final class FaultFlag {
  let word: UnsafeMutablePointer<Atomic<UInt32>>

  init() {
    word = .allocate(capacity: 1)
    word.initialize(to: Atomic(0))
  }

  deinit { word.deallocate() }
}

/// A part of a peer's file, mapped and guarded while this object lives.
final class GuardedMapping {
  /// The first byte asked for; the mapping may begin before it.
  let start: UnsafeMutableRawPointer
  /// The size of the file's pages.
  let pageSize: UInt64
  private let base: UnsafeMutableRawPointer
  private let length: Int
  private let slot: Int32
  private let fault: FaultFlag

  /// Maps `size` bytes from `offset` on, shared and writable. `name` says in errors what it is.
  // SAFETY: the file is a regular one that covers the range when it is mapped; should it shrink, the guard covers the
  // mapping with zero pages. The flag outlives the registration because this object holds it.
  init(_ file: Int32, offset: UInt64, size: UInt64, _ name: String, _ fault: FaultFlag)
    throws(GuestMemoryError)
  {
    let granule = try Self.granule(file, offset, size, name)
    let begin = offset & ~(granule - 1)
    let (end, overflow) = (offset + size).addingReportingOverflow(granule - 1)
    guard !overflow, let length = Int(exactly: (end & ~(granule - 1)) - begin),
      let fileOffset = off_t(exactly: begin)
    else { throw GuestMemoryError("\(name) ends beyond the address space") }
    guard cl_guest_fault_install() == 0 else {
      throw GuestMemoryError("the guard for truncated guest memory cannot be installed")
    }
    let flags = MAP_SHARED | MAP_NORESERVE
    guard let base = mmap(nil, length, PROT_READ | PROT_WRITE, flags, file, fileOffset), base != MAP_FAILED
    else { throw GuestMemoryError("\(name) cannot be mapped: \(SystemError.last("map").reason)") }
    let slot = fault.word.withMemoryRebound(to: UInt32.self, capacity: 1) {
      cl_guest_fault_register(base, length, $0)
    }
    guard slot >= 0 else {
      munmap(base, length)
      throw GuestMemoryError("more than \(CL_GUEST_FAULT_SLOTS) guest memory regions are mapped")
    }
    pageSize = granule
    self.base = base
    self.length = length
    self.slot = slot
    self.fault = fault
    start = base + Int(truncatingIfNeeded: offset &- begin)
  }

  deinit {
    cl_guest_fault_unregister(slot)
    munmap(base, length)
  }

  /// What offset and length of a mapping must be multiples of: the page size of the file (huge pages).
  private static func granule(_ file: Int32, _ offset: UInt64, _ size: UInt64, _ name: String)
    throws(GuestMemoryError) -> UInt64
  {
    var status = stat()
    guard fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
      throw GuestMemoryError("\(name) came with a descriptor that is not a memory file")
    }
    let (end, overflow) = offset.addingReportingOverflow(size)
    guard let bytes = UInt64(exactly: status.st_size), !overflow, end <= bytes else {
      throw GuestMemoryError("\(name) is larger than its file of \(status.st_size) bytes")
    }
    let block = UInt64(max(4096, status.st_blksize))
    return block & (block - 1) == 0 ? block : 4096
  }
}
