import Flow
import Packet

/// What a poll thread needs to take a burst through flows, kept from one to the next.
struct FlowScratch: ~Copyable {
  /// Bytes of a frame that are made private when its headers do not end within the snapshot.
  static var deepLength: Int { 240 }

  let learned: LearnedFlows
  /// Made when the first frame meets a bridge with flows.
  private(set) var cache: UnsafeMutablePointer<FlowCache>?
  /// A key for each frame of a burst.
  let keys: UnsafeMutablePointer<UInt64>
  let hashes: UnsafeMutablePointer<UInt64>
  /// Which frames of the burst are looked up, in order.
  let listed: UnsafeMutablePointer<UInt8>
  /// Per frame, a header slot for its snapshot made longer, and one for each form: they stay until the next burst, unlike
  /// those of the arena.
  private let slots: UnsafeMutableRawPointer
  /// Which rewrites the forms of the frame at hand are.
  var forms = InlineArray<4, UInt16>(repeating: 0)
  var formCount = 0

  init(learned: LearnedFlows) {
    self.learned = learned
    let words = Batch.capacity * FlowCache.keyStride
    keys = .allocate(capacity: words)
    keys.initialize(repeating: 0, count: words)
    hashes = .allocate(capacity: Batch.capacity)
    hashes.initialize(repeating: 0, count: Batch.capacity)
    listed = .allocate(capacity: Batch.capacity)
    listed.initialize(repeating: 0, count: Batch.capacity)
    slots = .allocate(
      byteCount: Batch.capacity * (1 + Outputs.formsPerFrame) * HeaderArena.slotLength, alignment: 64)
  }

  deinit {
    if let cache {
      cache.deinitialize(count: 1)
      cache.deallocate()
    }
    keys.deallocate()
    hashes.deallocate()
    listed.deallocate()
    slots.deallocate()
  }

  @inline(never)
  mutating func makeCache() -> UnsafeMutablePointer<FlowCache> {
    let made = UnsafeMutablePointer<FlowCache>.allocate(capacity: 1)
    made.initialize(to: FlowCache(learned: learned))
    cache = made
    return made
  }

  // SAFETY: `index` is below `Batch.capacity`, here and below.
  @inline(__always)
  func key(_ index: Int) -> UnsafeMutablePointer<UInt64> { keys + index &* FlowCache.keyStride }

  @inline(__always)
  func deepSlot(_ index: Int) -> UnsafeMutableRawPointer { slots + index &* HeaderArena.slotLength }

  /// The slot of form `form` (below `formsPerFrame`).
  @inline(__always)
  func formSlot(_ index: Int, _ form: Int) -> UnsafeMutableRawPointer {
    slots + (Batch.capacity &+ index &* Outputs.formsPerFrame &+ form) &* HeaderArena.slotLength
  }
}
