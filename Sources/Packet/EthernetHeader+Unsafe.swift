/// An Ethernet II header (IEEE 802.3 §3.1.1): destination, source, EtherType, in that order on the wire.
@frozen
public struct EthernetHeader: Equatable, Sendable {
  @inlinable public static var length: Int { 14 }
  /// Both addresses: where the EtherType, or a tag, begins.
  @inlinable public static var addressesLength: Int { 12 }

  public var destination: MACAddress
  public var source: MACAddress
  /// The EtherType, a tag's TPID, or a length (up to 1500), in host byte order.
  public var etherType: UInt16

  @inlinable
  public init(destination: MACAddress, source: MACAddress, etherType: UInt16) {
    self.destination = destination
    self.source = source
    self.etherType = etherType
  }

  /// Reads the header at `bytes`, of which at least `length` are there.
  // SAFETY: 14 readable bytes are the caller's duty; the three loads touch bytes 0 ..< 14.
  @inlinable @inline(__always)
  public init(reading bytes: UnsafeRawPointer) {
    let first = bytes.bigEndian64(0)
    destination = MACAddress(bits: first >> 16)
    source = MACAddress(bits: (first & 0xFFFF) << 32 | UInt64(bytes.bigEndian32(8)))
    etherType = bytes.bigEndian16(12)
  }

  /// Writes the header to `bytes`, which has room for `length`.
  // SAFETY: 14 writable bytes are the caller's duty.
  @inlinable @inline(__always)
  public func write(to bytes: UnsafeMutableRawPointer) {
    bytes.setBigEndian64(0, destination.bits << 16 | source.bits >> 32)
    bytes.setBigEndian32(8, UInt32(truncatingIfNeeded: source.bits))
    bytes.setBigEndian16(12, etherType)
  }
}

/// EtherTypes that are looked for.
public enum EtherType {
  public static let ipv4: UInt16 = 0x0800
  public static let ipv6: UInt16 = 0x86DD
}

// SAFETY: the bytes named are readable (writable) by the caller's duty; no alignment is assumed.
extension UnsafeRawPointer {
  @inlinable @inline(__always)
  func bigEndian16(_ offset: Int) -> UInt16 {
    UInt16(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt16.self))
  }
  @inlinable @inline(__always)
  func bigEndian32(_ offset: Int) -> UInt32 {
    UInt32(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt32.self))
  }
  @inlinable @inline(__always)
  func bigEndian64(_ offset: Int) -> UInt64 {
    UInt64(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt64.self))
  }
  @inlinable @inline(__always)
  func byte(_ offset: Int) -> UInt8 { load(fromByteOffset: offset, as: UInt8.self) }
}

extension UnsafeMutableRawPointer {
  @inlinable @inline(__always)
  func setBigEndian16(_ offset: Int, _ value: UInt16) {
    storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt16.self)
  }
  @inlinable @inline(__always)
  func setBigEndian32(_ offset: Int, _ value: UInt32) {
    storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt32.self)
  }
  @inlinable @inline(__always)
  func setBigEndian64(_ offset: Int, _ value: UInt64) {
    storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt64.self)
  }
}
