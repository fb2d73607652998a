import Flow
import Synchronization

// A bridge's flows, as poll threads reach them
// ============================================
//
// A bridge has two sides of tables (`FlowPipeline`). The control thread changes the one nobody reads, publishes it here,
// waits until every poll thread has begun a new turn, and then does the same to the other side. A poll thread loads the
// pointer once a burst, and what it finds stays as it is until its turn ends.
//
// While a bridge holds only the NORMAL flow there is no pointer: its frames go straight to the MAC table.

/// One side of a bridge's tables, published.
struct PublishedFlows {
  let tables: FlowTables
  /// That of `tables` + 1, so that none is 0; what cached decisions are compared with.
  let generation: UInt64

  init(_ tables: FlowTables) {
    self.tables = tables
    generation = tables.generation + 1
  }
}

/// Where a bridge's current side is found; lives as long as the bridge.
struct BridgeFlows: ~Copyable {
  private let pointer = Atomic<UInt>(0)

  /// The current side, or nil: only NORMAL.
  // SAFETY: the pointee is freed only when every poll thread has begun another turn since it was replaced.
  @inline(__always)
  var current: UnsafePointer<PublishedFlows>? {
    UnsafePointer(bitPattern: pointer.load(ordering: .acquiring))
  }

  /// Shows poll threads `tables`, and ends the old side once `synchronize` has returned. Nothing is waited for when poll
  /// threads saw none before.
  // SAFETY: `synchronize` is the quiescent point between unpublishing and freeing.
  func publish(_ tables: FlowTables?, synchronize: () -> Void) {
    var next: UnsafeMutablePointer<PublishedFlows>?
    if let tables {
      next = .allocate(capacity: 1)
      next!.initialize(to: PublishedFlows(tables))
    }
    let old = pointer.exchange(UInt(bitPattern: next), ordering: .acquiringAndReleasing)
    guard let old = UnsafeMutablePointer<PublishedFlows>(bitPattern: old) else { return }
    synchronize()
    old.deinitialize(count: 1)
    old.deallocate()
  }
}
