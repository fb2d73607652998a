import CLinux
import Glibc
import Linux
import Synchronization
import Virtio

/// A guest's memory as its driver sees it: a memory file, mapped here a first time (the switch maps it a second), and
/// the table of regions a front-end would send. Everything is named by guest-physical address.
public final class GuestRAM {
  /// How guest-physical addresses lie in the file.
  public enum Shape: Sendable {
    /// One region.
    case single
    /// Two regions, adjacent in guest-physical addresses, whose bytes lie in the file in the opposite order: a buffer
    /// across their border is contiguous for the guest only.
    case swappedHalves
  }

  public let file: FileDescriptor
  public let regions: [GuestRegionDescription]
  public let size: Int
  private let mapping: Mapping
  private var next: UInt64 = 0

  /// - Parameters:
  ///   - size: bytes, a multiple of two pages.
  ///   - start: the lowest guest-physical address.
  public init(size: Int = 8 << 20, shape: Shape = .single, start: UInt64 = 0) throws {
    file = try makeMemoryFile(name: "guest", size: size)
    mapping = try Mapping(shared: file.raw, length: size)
    self.size = size
    next = start
    let user = UInt64(UInt(bitPattern: mapping.base))
    let half = UInt64(size / 2)
    switch shape {
    case .single:
      regions = [
        GuestRegionDescription(guestAddress: start, size: UInt64(size), userAddress: user, fileOffset: 0)
      ]
    case .swappedHalves:
      regions = [
        GuestRegionDescription(guestAddress: start, size: half, userAddress: user + half, fileOffset: half),
        GuestRegionDescription(guestAddress: start + half, size: half, userAddress: user, fileOffset: 0),
      ]
    }
  }

  /// Fresh memory for a ring or a buffer, within one region.
  public func allocate(_ bytes: Int, alignment: UInt64 = 64) -> UInt64 {
    guard let address = allocateIfRoom(bytes, alignment: alignment) else {
      preconditionFailure("the test guest is out of memory")
    }
    return address
  }

  /// The same, or nil when the guest is out of memory.
  public func allocateIfRoom(_ bytes: Int, alignment: UInt64 = 64) -> UInt64? {
    var address = (next + alignment - 1) & ~(alignment - 1)
    for region in regions where address >= region.guestAddress {
      let end = region.guestAddress + region.size
      if address < end && address + UInt64(bytes) > end { address = end }
    }
    let end = address + UInt64(bytes)
    guard regions.contains(where: { end <= $0.guestAddress + $0.size }) else { return nil }
    next = end
    return address
  }

  /// The address of the border between two regions, or nil if there is one region only.
  public var border: UInt64? { regions.count > 1 ? regions[1].guestAddress : nil }

  /// The front-end's virtual address of guest-physical `address`.
  public func userAddress(_ address: UInt64) -> UInt64 {
    let region = region(address)
    return region.userAddress + (address - region.guestAddress)
  }

  public func write(_ bytes: [UInt8], at address: UInt64) {
    bytes.withUnsafeBytes { source in
      forEachPiece(address, bytes.count) { piece, offset, length in
        piece.copyMemory(from: source.baseAddress! + offset, byteCount: length)
      }
    }
  }

  public func read(_ address: UInt64, _ count: Int) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: count) { target, filled in
      let bytes = UnsafeMutableRawBufferPointer(target)
      forEachPiece(address, count) { piece, offset, length in
        (bytes.baseAddress! + offset).copyMemory(from: piece, byteCount: length)
      }
      filled = count
    }
  }

  /// `count` bytes from `address` on, region by region: where they are, how many come before, how many they are.
  // SAFETY: each piece is clipped to its region, and all regions are mapped.
  private func forEachPiece(
    _ address: UInt64, _ count: Int, _ body: (UnsafeMutableRawPointer, Int, Int) -> Void
  ) {
    var offset = 0
    while offset < count {
      let start = address + UInt64(offset)
      let region = region(start)
      let length = min(count - offset, Int(region.guestAddress + region.size - start))
      body(host(start), offset, length)
      offset += length
    }
  }

  public func load16(_ address: UInt64) -> UInt16 { word16(address).pointee.load(ordering: .acquiring) }
  public func store16(_ value: UInt16, at address: UInt64) {
    word16(address).pointee.store(value, ordering: .releasing)
  }
  public func load64(_ address: UInt64) -> UInt64 { word64(address).pointee.load(ordering: .acquiring) }
  public func store64(_ value: UInt64, at address: UInt64) {
    word64(address).pointee.store(value, ordering: .releasing)
  }

  // SAFETY: addresses come from `allocate` or the test that made the guest; a wrong one stops the test.
  private func word16(_ address: UInt64) -> UnsafePointer<Atomic<UInt16>> { guestWord16(host(address), 0) }
  private func word64(_ address: UInt64) -> UnsafePointer<Atomic<UInt64>> { guestWord64(host(address), 0) }

  private func host(_ address: UInt64) -> UnsafeMutableRawPointer {
    UnsafeMutableRawPointer(bitPattern: UInt(userAddress(address)))!
  }

  private func region(_ address: UInt64) -> GuestRegionDescription {
    regions.first { address >= $0.guestAddress && address - $0.guestAddress < $0.size }!
  }
}
