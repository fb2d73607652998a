// Quiescence
// ==========
//
// Poll threads read what the control thread publishes (the view, rings, memory tables) without locks. The control
// thread may free or alter such a thing once no poll thread can still be using it. Each poll thread holds nothing from
// one turn to the next, so it is enough that every one has begun a new turn since the thing was unpublished.
//
// The control thread counts epochs; a poll thread notes the current epoch when it begins a turn, and 0 while it sleeps.
// `synchronize` starts a new epoch and waits until each thread shows it, or sleeps. A turn takes microseconds.

import CLinux
import Glibc
import Synchronization

struct Quiescence: ~Copyable {
  static var threadLimit: Int { 64 }
  /// Words apart, so that each thread's note has cache lines of its own.
  private static var stride: Int { 16 }

  private let epoch: UnsafeMutablePointer<Atomic<UInt64>>
  private let seen: UnsafeMutablePointer<Atomic<UInt64>>

  init() {
    let words = Self.stride * (Self.threadLimit + 1)
    let memory = UnsafeMutableRawPointer.allocate(byteCount: words * 8, alignment: 128)
    epoch = memory.bindMemory(to: Atomic<UInt64>.self, capacity: words)
    for word in 0..<words { (epoch + word).initialize(to: Atomic(0)) }
    epoch.pointee.store(1, ordering: .relaxed)
    seen = epoch + Self.stride
  }

  deinit { UnsafeMutableRawPointer(epoch).deallocate() }

  /// A thread's own handle, for its lifetime.
  func participant(_ thread: Int) -> Participant {
    Participant(epoch: epoch, seen: seen + thread * Self.stride)
  }

  /// One poll thread's part.
  struct Participant {
    fileprivate let epoch: UnsafeMutablePointer<Atomic<UInt64>>
    fileprivate let seen: UnsafeMutablePointer<Atomic<UInt64>>

    /// Begins a turn: whatever was read in earlier turns is given up.
    // SAFETY: the words outlive the threads, which are joined before `Quiescence` goes.
    @inline(__always)
    func beginTurn() {
      let current = epoch.pointee.load(ordering: .acquiring)
      if seen.pointee.load(ordering: .relaxed) != current {
        seen.pointee.store(current, ordering: .releasing)
      }
    }

    /// Gives everything up until `comeBack`.
    func leave() { seen.pointee.store(0, ordering: .releasing) }

    /// After this the thread may read published things again. The full fence pairs with `synchronize`'s: either that
    /// sees this thread awake, or this thread sees what was published.
    func comeBack() {
      seen.pointee.store(epoch.pointee.load(ordering: .acquiring), ordering: .relaxed)
      atomicMemoryFence(ordering: .sequentiallyConsistent)
    }
  }

  /// Returns once every poll thread has begun a turn that started after this call, or sleeps.
  func synchronize() {
    let current = epoch.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent).newValue
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    for thread in 0..<Self.threadLimit {
      var attempts = 0
      while true {
        let noted = seen[thread * Self.stride].load(ordering: .acquiring)
        if noted == 0 || noted >= current { break }
        attempts += 1
        if attempts > 100 { usleep(10) } else { cl_pause() }
      }
    }
  }
}
