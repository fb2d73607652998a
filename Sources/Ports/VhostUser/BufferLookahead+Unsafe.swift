import Glibc
import Linux
import Packet
import Virtio

/// Asks ahead for the translations of buffers a guest behind a vIOMMU offers, by one ring.
///
/// A poll thread finds one address at a time that has no translation, and each costs a question to the front-end. So the
/// control thread looks at what the guest offers, whenever translations have come or gone, and asks for all it will need.
/// A ring the guest receives by is also looked at as soon as the guest says that there is something (its kicks, which are
/// asked for on such rings): a frame that has to wait is copied once more. The control thread only reads, from the place
/// the ring itself says the device has reached, and remembers nothing.
final class BufferLookahead {
  /// Buffers looked at: what a burst or two can use.
  private static let reach = 256
  /// Missing pages looked at, however often a guest names the same ones.
  private static let pages = 1024

  private let layout: VirtqueueLayout
  private let base: RingPosition
  private let features: VirtioFeatures
  private let isWritable: Bool
  private let maps: UnsafePointer<PublishedMap>
  private let tables: UnsafePointer<PublishedMap>
  private let ask: (UInt64, Bool) -> Bool
  private var watch: EventLoop.Watch?

  /// - Parameters:
  ///   - isWritable: whether the buffers are to be received by.
  ///   - maps: what may be done with buffers; `tables`: what may be read.
  ///   - ask: called with each address that has no translation, and whether it is to be written; false when no more is
  ///     to be asked for now.
  init(
    _ layout: VirtqueueLayout, _ base: RingPosition, _ features: VirtioFeatures, isWritable: Bool,
    _ maps: UnsafePointer<PublishedMap>, tables: UnsafePointer<PublishedMap>,
    ask: @escaping (UInt64, Bool) -> Bool
  ) {
    self.layout = layout
    self.base = base
    self.features = features
    self.isWritable = isWritable
    self.maps = maps
    self.tables = tables
    self.ask = ask
  }

  /// Looks whenever the guest kicks, too; `count` learns how often it did.
  func watch(_ kick: Int32, on loop: EventLoop, count: @escaping (UInt64) -> Void) {
    watch = loop.watch(kick, .read) { [unowned self] _ in
      count(EventFD.drainPeer(kick))
      look()
    }
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
    var left = Self.pages
    for offset in 0..<max(0, queue.pending(atMost: Self.reach)) where left > 0 {
      queue.forEachMissing(
        in: queue.element(offset), writable: isWritable, memory, tables: tables,
        atMost: Batch.maximumSegments
      ) { address, isWritten in
        left = ask(address, isWritten) ? left - 1 : 0
        return left > 0
      }
    }
  }
}
