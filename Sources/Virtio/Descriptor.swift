/// One entry of a descriptor table (virtio 1.3 §2.7.5) or ring (§2.8.13), read once.
@frozen
public struct Descriptor {
  /// Guest-physical address.
  public let address: UInt64
  /// length, flags and next as one little-endian word.
  public let word: UInt64

  @inlinable
  public init(address: UInt64, word: UInt64) {
    self.address = address
    self.word = word
  }

  /// Of a packed ring, where id and flags are the other way round: `nextIndex` is then the buffer's id.
  @inlinable @inline(__always)
  init(address: UInt64, packed word: UInt64) {
    self.address = address
    let (id, flags) = (word >> 32 & 0xFFFF, word >> 48)
    self.word = (word & 0xFFFF_FFFF) | (flags << 32) | (id << 48)
  }

  @inlinable public static var next: UInt16 { 1 }
  @inlinable public static var write: UInt16 { 2 }
  @inlinable public static var indirect: UInt16 { 4 }

  /// Bytes.
  @inlinable public var length: UInt32 { UInt32(truncatingIfNeeded: word) }
  @inlinable public var flags: UInt16 { UInt16(truncatingIfNeeded: word >> 32) }
  @inlinable public var nextIndex: UInt16 { UInt16(truncatingIfNeeded: word >> 48) }

  /// One readable buffer, not part of a chain.
  @inlinable public var isPlainReadable: Bool { flags & 7 == 0 }
  /// One writable buffer, not part of a chain.
  @inlinable public var isPlainWritable: Bool { flags & 7 == Self.write }
}
