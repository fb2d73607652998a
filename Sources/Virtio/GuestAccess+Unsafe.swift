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
public func guestWord32(_ base: UnsafeMutableRawPointer, _ offset: Int) -> UnsafePointer<Atomic<UInt32>> {
  UnsafePointer((base + offset).assumingMemoryBound(to: Atomic<UInt32>.self))
}

@inlinable @inline(__always)
public func guestWord64(_ base: UnsafeMutableRawPointer, _ offset: Int) -> UnsafePointer<Atomic<UInt64>> {
  UnsafePointer((base + offset).assumingMemoryBound(to: Atomic<UInt64>.self))
}

/// Reads 16 bytes as a descriptor, once. A table need not be aligned, so they are copied, and decided upon only behind a
/// barrier.
@inline(never)
func readDescriptor(_ entry: UnsafeMutableRawPointer, packed: Bool) -> Descriptor {
  let address = entry.loadUnaligned(as: UInt64.self)
  let word = entry.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
  // Past the barrier the values are in registers: the compiler cannot go back for them.
  cl_barrier()
  return packed ? Descriptor(address: address, packed: word) : Descriptor(address: address, word: word)
}

extension UnsafePointer where Pointee == Atomic<UInt16> {
  /// Publishes `value`: what was written before is visible to whoever reads it.
  // SAFETY: the pointer came from mutable guest memory (`guestWord16`).
  @inlinable @inline(__always)
  func publish(_ value: UInt16) { pointee.store(value, ordering: .releasing) }
}
