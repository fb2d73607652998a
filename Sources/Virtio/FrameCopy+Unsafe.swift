import Packet

// Copies between guests. Up to 256 bytes, 64-byte vector loads and stores beat a call; above, memcpy does.

// SAFETY: for all: source and target ranges are mapped for the given counts; see each for what is touched beside them.

@inlinable @inline(__always)
public func copy64(_ source: UnsafeRawPointer, to target: UnsafeMutableRawPointer) {
  target.storeBytes(of: source.loadUnaligned(as: SIMD64<UInt8>.self), as: SIMD64<UInt8>.self)
}

/// Copies exactly `count` bytes with few branches.
@inlinable @inline(__always)
public func copyShort(_ source: UnsafeRawPointer, to target: UnsafeMutableRawPointer, _ count: Int) {
  if count == 64 {
    copy64(source, to: target)
  } else if count >= 32 && count < 64 {
    let low = source.loadUnaligned(as: SIMD32<UInt8>.self)
    let high = (source + (count &- 32)).loadUnaligned(as: SIMD32<UInt8>.self)
    target.storeBytes(of: low, as: SIMD32<UInt8>.self)
    (target + (count &- 32)).storeBytes(of: high, as: SIMD32<UInt8>.self)
  } else {
    target.copyMemory(from: source, byteCount: count)
  }
}

/// Copies `count` bytes of payload. The 64 bytes that end each range are readable and writable, however small
/// `count` is: a last vector covers the rest and overlaps what lies before, which the caller writes afterwards.
@inlinable @inline(__always)
public func copyPayload(_ source: UnsafeRawPointer, to target: UnsafeMutableRawPointer, _ count: Int) {
  if count > 256 {
    target.copyMemory(from: source, byteCount: count)
    return
  }
  var offset = 0
  while offset &+ 64 <= count {
    copy64(source + offset, to: target + offset)
    offset = offset &+ 64
  }
  if offset < count { copy64(source + (count &- 64), to: target + (count &- 64)) }
}
