import CLinux
import Glibc
import Synchronization

/// One contiguous range of guest memory, mapped here.
@frozen
public struct GuestRegion {
  /// Guest-physical address, as descriptors use it.
  public var guestAddress: UInt64
  /// Bytes.
  public var size: UInt64
  /// The front-end's virtual address, as SET_VRING_ADDR uses it.
  public var userAddress: UInt64
  /// Where it is mapped in this process.
  public var host: UInt64

  @inlinable
  public init(guestAddress: UInt64, size: UInt64, userAddress: UInt64, host: UInt64) {
    self.guestAddress = guestAddress
    self.size = size
    self.userAddress = userAddress
    self.host = host
  }
}

/// Translates guest-physical addresses for one poll thread: a trivial copy of what its `GuestMemory` owns, valid
/// while that lives. An address never passes without its length.
@frozen
public struct GuestMemoryMap {
  // The largest region, which serves nearly every lookup.
  @usableFromInline var hotAddress: UInt64
  @usableFromInline var hotSize: UInt64
  @usableFromInline var hotDelta: UInt64
  /// In the order of their guest addresses, none overlapping another.
  @usableFromInline let regions: UnsafePointer<GuestRegion>
  /// The guest addresses of `regions` by themselves: what a search reads lies close together.
  @usableFromInline let starts: UnsafePointer<UInt64>
  @usableFromInline let count: Int
  @usableFromInline let fault: UnsafePointer<Atomic<UInt32>>
  /// Addresses are those of the device behind a vIOMMU. One that is in no region may only not be translated yet.
  public let isTranslated: Bool
  /// Differs from that of the map before.
  public let edition: UInt64

  init(
    regions: UnsafePointer<GuestRegion>, starts: UnsafePointer<UInt64>, count: Int, hot: GuestRegion,
    fault: UnsafePointer<Atomic<UInt32>>, isTranslated: Bool = false, edition: UInt64 = 0
  ) {
    self.regions = regions
    self.starts = starts
    self.count = count
    self.fault = fault
    self.isTranslated = isTranslated
    self.edition = edition
    hotAddress = hot.guestAddress
    hotSize = hot.size
    hotDelta = hot.host &- hot.guestAddress
  }

  /// Whether a page of the memory went away under an access (SIGBUS). What was read since is zeroes.
  @inlinable @inline(__always)
  public var hasFaulted: Bool { fault.pointee.load(ordering: .relaxed) != 0 }

  /// The `length` bytes at guest-physical `address`, if they lie within one region.
  // SAFETY: `length <= size - offset` cannot overflow once `offset < size`, so the result and all its bytes lie in
  // the region's mapping.
  @inlinable @inline(__always)
  public func translate(_ address: UInt64, _ length: UInt64) -> UnsafeMutableRawPointer? {
    let offset = address &- hotAddress
    if offset < hotSize && length <= hotSize &- offset {
      return UnsafeMutableRawPointer(bitPattern: UInt(truncatingIfNeeded: address &+ hotDelta))
    }
    return translateElsewhere(address, length)
  }

  @usableFromInline @inline(never)
  func translateElsewhere(_ address: UInt64, _ length: UInt64) -> UnsafeMutableRawPointer? {
    guard let region = region(containing: address) else { return nil }
    let offset = address &- region.guestAddress
    guard length <= region.size &- offset else { return nil }
    return UnsafeMutableRawPointer(bitPattern: UInt(truncatingIfNeeded: region.host &+ offset))
  }

  /// The `length` bytes at the front-end's virtual `address`, if they lie within one region.
  // SAFETY: as for `translate`.
  public func translate(user address: UInt64, _ length: UInt64) -> UnsafeMutableRawPointer? {
    for index in 0..<count {
      let region = regions[index]
      let offset = address &- region.userAddress
      if offset < region.size && length <= region.size &- offset {
        return UnsafeMutableRawPointer(bitPattern: UInt(truncatingIfNeeded: region.host &+ offset))
      }
    }
    return nil
  }

  /// The guest-physical address of what is mapped at `host`, and how many bytes of its region follow from there.
  @inlinable
  public func guestAddress(host: UInt64) -> (address: UInt64, room: UInt64)? {
    let offset = host &- (hotAddress &+ hotDelta)
    if offset < hotSize { return (hotAddress &+ offset, hotSize &- offset) }
    return guestAddressElsewhere(host)
  }

  @usableFromInline @inline(never)
  func guestAddressElsewhere(_ host: UInt64) -> (address: UInt64, room: UInt64)? {
    for index in 0..<count {
      let region = regions[index]
      let offset = host &- region.host
      if offset < region.size { return (region.guestAddress &+ offset, region.size &- offset) }
    }
    return nil
  }

  /// Appends the `length` bytes at guest-physical `address` to `pieces`, one for each region they lie in: adjacent
  /// guest addresses need not be adjacent here. Returns how many pieces, or nil when a byte is in no region or
  /// `capacity` does not suffice. A valid address with length 0 has no pieces.
  // SAFETY: every piece is clipped to its region; at most `capacity` are written.
  @inlinable
  public func pieces(
    _ address: UInt64, _ length: UInt64, into pieces: UnsafeMutablePointer<iovec>, capacity: Int
  ) -> Int? {
    if let whole = translate(address, length) {
      if length == 0 { return 0 }
      if capacity == 0 { return nil }
      pieces[0] = iovec(iov_base: whole, iov_len: Int(truncatingIfNeeded: length))
      return 1
    }
    return split(address, length, into: pieces, capacity: capacity)
  }

  @usableFromInline @inline(never)
  func split(
    _ address: UInt64, _ length: UInt64, into pieces: UnsafeMutablePointer<iovec>, capacity: Int
  ) -> Int? {
    if address &+ length < address { return nil }
    var address = address
    var left = length
    var used = 0
    while left > 0 {
      guard used < capacity, let region = region(containing: address) else { return nil }
      let offset = address &- region.guestAddress
      let size = min(left, region.size &- offset)
      let base = UnsafeMutableRawPointer(bitPattern: UInt(truncatingIfNeeded: region.host &+ offset))
      pieces[used] = iovec(iov_base: base, iov_len: Int(truncatingIfNeeded: size))
      used &+= 1
      address &+= size
      left &-= size
    }
    return used == 0 ? nil : used
  }

  /// The first of `length` bytes from `address` on that is in no region; nil if all are, or the range is none.
  func firstMissing(_ address: UInt64, _ length: UInt64) -> UInt64? {
    let (end, overflow) = address.addingReportingOverflow(max(length, 1))
    if overflow { return nil }
    var next = address
    while next < end {
      guard let region = region(containing: next) else { return next }
      next = region.guestAddress &+ region.size
      if next <= region.guestAddress { return nil }
    }
    return nil
  }

  /// Calls `body` with the first address of each 4 KiB page, of `length` bytes from `address` on, that is in no region,
  /// until it returns false; returns whether it never did.
  func forEachMissingPage(_ address: UInt64, _ length: UInt64, _ body: (UInt64) -> Bool) -> Bool {
    let (end, overflow) = address.addingReportingOverflow(length)
    guard !overflow else { return true }
    var next = address
    while next < end, let missing = firstMissing(next, end - next) {
      guard body(missing) else { return false }
      let (following, isLast) = (missing | 0xFFF).addingReportingOverflow(1)
      if isLast { break }
      next = following
    }
    return true
  }

  /// The only region that can hold `address` is the last that does not begin behind it. Behind a vIOMMU there may be
  /// thousands: the search takes no branch by what it finds, so that those for several frames overlap.
  // SAFETY: both tables are `count` long, and the place found is below that.
  private func region(containing address: UInt64) -> GuestRegion? {
    guard count > 0 else { return nil }
    let region = regions[cl_last_at_most(starts, count, address)]
    return address &- region.guestAddress < region.size ? region : nil
  }
}
