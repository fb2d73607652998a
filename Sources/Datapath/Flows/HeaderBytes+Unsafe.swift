// Fields of headers as they lie on the wire: big-endian, at any address.

// SAFETY: the bytes named are readable (writable) by the caller's duty; no alignment is assumed.
extension UnsafeRawPointer {
  @inline(__always)
  func byte(_ offset: Int) -> UInt8 { load(fromByteOffset: offset, as: UInt8.self) }

  @inline(__always)
  func network16(_ offset: Int) -> UInt16 {
    UInt16(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt16.self))
  }

  @inline(__always)
  func network32(_ offset: Int) -> UInt32 {
    UInt32(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt32.self))
  }

  @inline(__always)
  func network64(_ offset: Int) -> UInt64 {
    UInt64(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt64.self))
  }

  /// The six bytes at `offset` as a number.
  @inline(__always)
  func address(_ offset: Int) -> UInt64 {
    UInt64(network32(offset)) << 16 | UInt64(network16(offset &+ 4))
  }
}

// SAFETY: as above.
extension UnsafeMutableRawPointer {
  @inline(__always)
  func setByte(_ offset: Int, _ value: UInt8) {
    storeBytes(of: value, toByteOffset: offset, as: UInt8.self)
  }

  @inline(__always)
  func setNetwork16(_ offset: Int, _ value: UInt16) {
    storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt16.self)
  }

  @inline(__always)
  func setNetwork32(_ offset: Int, _ value: UInt32) {
    storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt32.self)
  }

  @inline(__always)
  func setNetwork64(_ offset: Int, _ value: UInt64) {
    storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt64.self)
  }

  /// The low 48 bits of `value`.
  @inline(__always)
  func setAddress(_ offset: Int, _ value: UInt64) {
    setNetwork32(offset, UInt32(truncatingIfNeeded: value >> 16))
    setNetwork16(offset &+ 4, UInt16(truncatingIfNeeded: value))
  }
}
