/// What a frame's sender left for hardware to do: `struct virtio_net_hdr` (virtio 1.3 §5.1.6), which TAP devices and
/// packet sockets use too.
///
/// The value is a guest's claim. Every offset in it has to be checked against the frame before it is followed:
/// `Checksum` and `Segmentation` do.
@frozen
public struct Offload: Equatable, Sendable {
  /// Flags of `flags`.
  public enum Flag {
    /// VIRTIO_NET_HDR_F_NEEDS_CSUM: bytes from `checksumStart` on need their checksum put at `checksumOffset` after it.
    public static let needsChecksum: UInt8 = 1
    /// VIRTIO_NET_HDR_F_DATA_VALID: somebody has verified the checksum.
    public static let dataValid: UInt8 = 2
  }

  /// Values of `gsoType`; `ecn` is a bit beside them.
  public enum GSO {
    public static let none: UInt8 = 0
    public static let tcp4: UInt8 = 1
    /// IPv4 UDP fragmentation, long deprecated.
    public static let udpFragment: UInt8 = 3
    public static let tcp6: UInt8 = 4
    /// UDP segmentation: one datagram per segment.
    public static let udp: UInt8 = 5
    public static let ecn: UInt8 = 0x80
  }

  /// The first eight bytes of the header as a little-endian word: flags, gso_type, hdr_len, gso_size, csum_start.
  public var word: UInt64
  /// From `checksumStart` to the checksum field, in bytes.
  public var checksumOffset: UInt16

  @inlinable
  public init(word: UInt64, checksumOffset: UInt16) {
    self.word = word
    self.checksumOffset = checksumOffset
  }

  @inlinable
  public init(
    flags: UInt8, gsoType: UInt8 = 0, headerLength: UInt16 = 0, gsoSize: UInt16 = 0,
    checksumStart: UInt16 = 0, checksumOffset: UInt16 = 0
  ) {
    word =
      UInt64(flags) | UInt64(gsoType) << 8 | UInt64(headerLength) << 16 | UInt64(gsoSize) << 32
      | UInt64(checksumStart) << 48
    self.checksumOffset = checksumOffset
  }

  @inlinable public static var none: Offload { Offload(word: 0, checksumOffset: 0) }

  @inlinable public var flags: UInt8 { UInt8(truncatingIfNeeded: word) }
  @inlinable public var gsoType: UInt8 { UInt8(truncatingIfNeeded: word >> 8) }
  /// Length of all headers before the payload: a hint, never trusted.
  @inlinable public var headerLength: UInt16 { UInt16(truncatingIfNeeded: word >> 16) }
  /// Payload bytes per segment.
  @inlinable public var gsoSize: UInt16 { UInt16(truncatingIfNeeded: word >> 32) }
  /// Where checksumming begins, from the frame's first byte.
  @inlinable public var checksumStart: UInt16 { UInt16(truncatingIfNeeded: word >> 48) }

  @inlinable public var needsChecksum: Bool { flags & Flag.needsChecksum != 0 }
  @inlinable public var isGSO: Bool { gsoType != GSO.none }
  /// Nothing is left to do: any receiver can take the frame as it is.
  @inlinable public var isNone: Bool { word & 0xFF01 == 0 }

  /// The same work on a frame whose bytes from the first header field on moved by `delta` (a tag pushed or popped).
  @inlinable
  public func shifted(by delta: Int) -> Offload {
    var copy = self
    if needsChecksum { copy.setChecksumStart(UInt16(truncatingIfNeeded: Int(checksumStart) &+ delta)) }
    if isGSO {
      let length = UInt16(truncatingIfNeeded: Int(headerLength) &+ delta)
      copy.word = copy.word & ~0xFFFF_0000 | UInt64(length) << 16
    }
    return copy
  }

  @inlinable
  mutating func setChecksumStart(_ start: UInt16) {
    word = word & 0x0000_FFFF_FFFF_FFFF | UInt64(start) << 48
  }
}

/// What a receiver can be given unfinished.
@frozen
public struct OffloadCapabilities: OptionSet, Sendable {
  public let rawValue: UInt32
  @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Partial checksums (VIRTIO_NET_F_GUEST_CSUM, TUN_F_CSUM).
  @inlinable public static var checksum: OffloadCapabilities { .init(rawValue: 1) }
  @inlinable public static var tcp4: OffloadCapabilities { .init(rawValue: 2) }
  @inlinable public static var tcp6: OffloadCapabilities { .init(rawValue: 4) }
  /// TCP segmentation of frames with the ECN bit.
  @inlinable public static var ecn: OffloadCapabilities { .init(rawValue: 8) }
  @inlinable public static var udpFragment: OffloadCapabilities { .init(rawValue: 16) }
  @inlinable public static var udp: OffloadCapabilities { .init(rawValue: 32) }

  /// Everything: what a packet socket or TAP with a vnet header takes.
  @inlinable public static var all: OffloadCapabilities { .init(rawValue: 63) }

  /// Whether a receiver with these capabilities can take `offload` as it is.
  @inlinable
  public func allow(_ offload: Offload) -> Bool {
    if offload.needsChecksum && !contains(.checksum) { return false }
    switch offload.gsoType & ~Offload.GSO.ecn {
    case Offload.GSO.none: return true
    case Offload.GSO.tcp4:
      return contains(.tcp4) && (offload.gsoType & Offload.GSO.ecn == 0 || contains(.ecn))
    case Offload.GSO.tcp6:
      return contains(.tcp6) && (offload.gsoType & Offload.GSO.ecn == 0 || contains(.ecn))
    case Offload.GSO.udpFragment: return contains(.udpFragment)
    case Offload.GSO.udp: return contains(.udp)
    default: return false
    }
  }

  /// Linux, as a host or a guest, takes no more datagrams in one frame (UDP_MAX_SEGMENTS).
  @inlinable public static var maximumDatagrams: Int { 128 }

  /// Whether a receiver with these capabilities can take a frame of `length` bytes with `offload` as it is.
  @inlinable
  public func take(_ offload: Offload, length: Int) -> Bool {
    allow(offload)
      && (offload.gsoType != Offload.GSO.udp || length <= Int(offload.gsoSize) &* Self.maximumDatagrams)
  }
}
