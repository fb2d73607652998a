import Packet
import Virtio

/// A network card's driver: pairs of receive and transmit queues in a guest's memory. What is said of no pair in
/// particular concerns the first.
public final class GuestDriver {
  /// A frame as the driver got it.
  public struct Received: Equatable, Sendable {
    public var bytes: [UInt8]
    public var offload: Offload
    /// `num_buffers`; 1 for headers without it.
    public var bufferCount: Int
  }

  public let ram: GuestRAM
  public let features: VirtioFeatures
  /// Pair q has ring 2q, by which the guest receives, and ring 2q + 1.
  public let pairs: [GuestQueuePair]
  public var receiveQueue: GuestQueue { pairs[0].receiveQueue }
  public var transmitQueue: GuestQueue { pairs[0].transmitQueue }
  public var headerLength: Int { pairs[0].headerLength }
  /// All rings in the order of their numbers.
  public var queues: [GuestQueue] { pairs.flatMap { [$0.receiveQueue, $0.transmitQueue] } }

  /// - Parameters:
  ///   - features: as negotiated; they decide the rings' layout as well.
  ///   - iommu: before the device, which has then negotiated `accessPlatform`.
  public init(
    ram: GuestRAM? = nil, features: VirtioFeatures = [.version1, .mergeableReceiveBuffers],
    ringSize: Int = 256, pairs: Int = 1, iommu: GuestIOMMU? = nil
  ) throws {
    let ram = try ram ?? GuestRAM()
    self.ram = ram
    self.features = features
    self.pairs = try (0..<pairs).map { _ in
      try GuestQueuePair(ram, features: features, ringSize: ringSize)
    }
    if let iommu { for queue in queues { queue.attach(iommu) } }
  }

  /// See `GuestQueuePair`.
  public func send(
    _ frame: [UInt8], offload: Offload = .none, cuts: [Int] = [], indirect: Bool = false, at: UInt64? = nil
  ) -> Bool {
    pairs[0].send(frame, offload: offload, cuts: cuts, indirect: indirect, at: at)
  }

  public func offer(
    _ frame: [UInt8], offload: Offload = .none, cuts: [Int] = [], indirect: Bool = false, at: UInt64? = nil
  ) -> Bool {
    pairs[0].offer(frame, offload: offload, cuts: cuts, indirect: indirect, at: at)
  }

  @discardableResult
  public func reclaim() -> Int { pairs[0].reclaim() }

  public func post(_ count: Int, sizes: [Int], indirect: Bool = false) {
    pairs[0].post(count, sizes: sizes, indirect: indirect)
  }

  public func post(_ buffers: [GuestQueue.Buffer], indirect: Bool = false) -> Bool {
    pairs[0].post(buffers, indirect: indirect)
  }

  public func receive(repost: Bool = true) -> Received? { pairs[0].receive(repost: repost) }
}
