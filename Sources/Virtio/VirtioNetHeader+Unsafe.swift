import CLinux
import Packet

/// `struct virtio_net_hdr` before every frame in a virtqueue (virtio 1.3 §5.1.6): 10 bytes, or 12 with `num_buffers`.
public enum VirtioNetHeader {
  /// Legacy drivers without mergeable buffers leave `num_buffers` out (virtio 1.3 §5.1.6.1).
  public static func length(_ features: VirtioFeatures) -> Int {
    features.contains(.version1) || features.contains(.mergeableReceiveBuffers) ? 12 : 10
  }

  /// Copies the offload request out of guest memory. Decide on it only behind a compiler barrier.
  // SAFETY: 10 bytes at `header` are mapped.
  @inlinable @inline(__always)
  public static func read(_ header: UnsafeRawPointer) -> Offload {
    Offload(
      word: header.loadUnaligned(as: UInt64.self),
      checksumOffset: header.loadUnaligned(fromByteOffset: 8, as: UInt16.self))
  }

  /// Writes a header of `length` (10 or 12) bytes; words that would not change are left alone, so that an idle
  /// driver's copy of the cache line stays valid.
  // SAFETY: `length` bytes at `header` are mapped.
  @inlinable @inline(__always)
  public static func write(
    _ offload: Offload, bufferCount: UInt16, length: Int, to header: UnsafeMutableRawPointer
  ) {
    if header.loadUnaligned(as: UInt64.self) != offload.word {
      header.storeBytes(of: offload.word, as: UInt64.self)
    }
    if length == 12 {
      let tail = UInt32(offload.checksumOffset) | UInt32(bufferCount) << 16
      if header.loadUnaligned(fromByteOffset: 8, as: UInt32.self) != tail {
        header.storeBytes(of: tail, toByteOffset: 8, as: UInt32.self)
      }
    } else if header.loadUnaligned(fromByteOffset: 8, as: UInt16.self) != offload.checksumOffset {
      header.storeBytes(of: offload.checksumOffset, toByteOffset: 8, as: UInt16.self)
    }
  }
}

extension Offload {
  /// The request as a device may act on it: nil when it contradicts its frame of `length` bytes, or asks for what was
  /// not negotiated. Flags that mean nothing from a driver are cleared.
  public func accepted(length: Int, _ allowed: OffloadCapabilities) -> Offload? {
    if isNone { return Offload.none }
    guard allowed.allow(self) else { return nil }
    if needsChecksum {
      guard Int(checksumStart) + Int(checksumOffset) + 2 <= length, checksumStart >= 14 else { return nil }
    }
    if isGSO {
      guard gsoSize > 0, needsChecksum, Int(headerLength) <= length else { return nil }
    }
    var request = self
    request.word &= ~UInt64(Flag.dataValid)
    return request
  }
}
