import Glibc
import Linux
import Packet
import Virtio

/// Asks ahead for the translations of buffers a guest behind a vIOMMU offers to receive by.
///
/// A frame cannot wait for a translation: nothing holds it. So the control thread looks at what the guest offers as soon
/// as it says so (its kicks, which are asked for on such rings) and whenever translations have come or gone. It only
/// reads, from the place the ring itself says the device has reached, and remembers nothing.
final class ReceiveLookahead {
  /// Buffers looked at: what a burst or two can use.
  private static let reach = 256

  private let layout: VirtqueueLayout
  private let base: RingPosition
  private let features: VirtioFeatures
  private let maps: UnsafePointer<PublishedMap>
  private let tables: UnsafePointer<PublishedMap>
  private let ask: (DescriptorChain) -> Void
  private var watch: EventLoop.Watch?

  /// - Parameters:
  ///   - maps: what may be written; `tables`: what may be read.
  ///   - ask: called for each chain that misses a translation.
  init(
    _ layout: VirtqueueLayout, _ base: RingPosition, _ features: VirtioFeatures,
    _ maps: UnsafePointer<PublishedMap>, tables: UnsafePointer<PublishedMap>,
    ask: @escaping (DescriptorChain) -> Void
  ) {
    self.layout = layout
    self.base = base
    self.features = features
    self.maps = maps
    self.tables = tables
    self.ask = ask
  }

  /// Looks whenever the guest kicks; `count` learns how often it did.
  func watch(_ kick: Int32?, on loop: EventLoop, count: @escaping (UInt64) -> Void) {
    if let kick {
      watch = loop.watch(kick, .read) { [unowned self] _ in
        count(EventFD.drainPeer(kick))
        look()
      }
    }
    look()
  }

  func stop() {
    watch?.cancel()
    watch = nil
  }

  // SAFETY: the layout and the maps are the session's, which stops this before it lets go of either.
  func look() {
    let packed = features.contains(.packedRing)
    let position = RingPosition.reached(layout, packed: packed) ?? base
    var queue = Virtqueue(layout, position: position, features: features, call: -1)
    let (memory, tables) = (maps.pointee.current, tables.pointee.current)
    withUnsafeTemporaryAllocation(of: iovec.self, capacity: Batch.maximumSegments) { pieces in
      for offset in 0..<max(0, queue.pending(atMost: Self.reach)) {
        let chain = queue.walk(
          queue.element(offset), writable: true, memory, tables: tables, into: pieces.baseAddress!,
          capacity: Batch.maximumSegments)
        if chain.outcome == .untranslated { ask(chain) }
      }
    }
  }
}
