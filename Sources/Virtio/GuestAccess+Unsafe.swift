import CLinux
import Synchronization

// Memory the guest can write at any moment is read through relaxed atomics only: the one way in Swift to promise that
// the compiler neither tears, repeats nor invents a load.

// SAFETY: for all: the caller has translated the address, and checked that the access is aligned and inside the
// mapping. Atomic<T> has the layout of T.

@inlinable @inline(__always)
public func guestWord16(_ base: UnsafeMutableRawPointer, _ offset: Int) -> UnsafePointer<Atomic<UInt16>> {
  UnsafePointer((base + offset).assumingMemoryBound(to: Atomic<UInt16>.self))
}

@inlinable @inline(__always)
public func guestWord64(_ base: UnsafeMutableRawPointer, _ offset: Int) -> UnsafePointer<Atomic<UInt64>> {
  UnsafePointer((base + offset).assumingMemoryBound(to: Atomic<UInt64>.self))
}

/// Reads 16 possibly unaligned bytes as a descriptor, once.
@inline(never)
func readDescriptor(_ entry: UnsafeMutableRawPointer) -> Descriptor {
  let address = entry.loadUnaligned(as: UInt64.self)
  let word = entry.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
  // Past the barrier the values are in registers: the compiler cannot go back for them.
  cl_barrier()
  return Descriptor(address: address, word: word)
}
