import Linux
import VhostUser
import Virtio

/// The IOMMU before a device with VIRTIO_F_ACCESS_PLATFORM: what I/O virtual addresses (IOVA) mean, and what a front-end
/// tells its back-end about that (vhost-user, "IOTLB").
public final class GuestIOMMU {
  public enum Mode: Sendable, Equatable {
    /// All guest memory, mapped for good: an IOVA is the guest-physical address plus `offset`.
    case fixed(offset: UInt64 = 0)
    /// Each buffer is mapped when it is offered, and unmapped when it comes back. IOVAs are used again at once.
    case perBuffer
  }

  /// The bits of a message's `perm`.
  public struct Access: OptionSet, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    public static let read = Access(rawValue: 1)
    public static let write = Access(rawValue: 2)
    public static let readWrite: Access = [.read, .write]
  }

  /// A mapped buffer. Whole pages around it are.
  public struct Mapping: Equatable, Sendable {
    public var iova: UInt64
    /// Guest-physical.
    public var address: UInt64
    public var length: Int
    public var access: Access
  }

  /// `struct vhost_iotlb_msg`, 32 bytes on the wire.
  public struct Message: Equatable, Sendable {
    public enum Kind: UInt8, Sendable { case miss = 1, update, invalidate, accessFailed }

    public var iova: UInt64
    public var size: UInt64
    /// The front-end's virtual address.
    public var userAddress: UInt64
    public var access: Access
    /// The raw number of a `Kind`.
    public var kind: UInt8

    public init(
      _ kind: Kind, iova: UInt64, size: UInt64 = 0, userAddress: UInt64 = 0, access: Access = []
    ) {
      self.iova = iova
      self.size = size
      self.userAddress = userAddress
      self.access = access
      self.kind = kind.rawValue
    }

    /// Nil unless the payload has 32 bytes.
    public init?(_ message: VhostUser.Message) {
      guard message.payload.count == 32 else { return nil }
      iova = message.word(0)
      size = message.word(8)
      userAddress = message.word(16)
      access = Access(rawValue: message.payload[24])
      kind = message.payload[25]
    }

    public var bytes: [UInt8] {
      littleEndian(iova) + littleEndian(size) + littleEndian(userAddress) + [access.rawValue, kind]
        + [UInt8](repeating: 0, count: 6)
    }
  }

  public static let pageSize: UInt64 = 4096

  public let ram: GuestRAM
  public let mode: Mode
  /// Called when a range is unmapped, before its IOVA is used again: tells the back-end, and returns when that has
  /// forgotten it.
  public var invalidate: (Message) -> Void = { _ in }

  private struct Page {
    var address: UInt64
    var access: Access
  }

  private var pages: [UInt64: Page] = [:]
  /// IOVAs that were unmapped, by their number of pages.
  private var spare: [Int: [UInt64]] = [:]
  private var next: UInt64 = 1 << 40

  public init(_ ram: GuestRAM, _ mode: Mode = .fixed()) {
    self.ram = ram
    self.mode = mode
  }

  /// Makes guest-physical memory accessible to the device.
  public func map(_ address: UInt64, _ length: Int, _ access: Access) -> Mapping {
    if case .fixed(let offset) = mode {
      return Mapping(iova: address &+ offset, address: address, length: length, access: access)
    }
    let within = address % Self.pageSize
    let count = Self.pageCount(within, length)
    let start = spare[count]?.popLast() ?? fresh(count)
    for index in 0..<UInt64(count) {
      pages[start / Self.pageSize + index] = Page(
        address: address - within + index * Self.pageSize, access: access)
    }
    return Mapping(iova: start + within, address: address, length: length, access: access)
  }

  private func fresh(_ count: Int) -> UInt64 {
    defer { next += UInt64(count) * Self.pageSize }
    return next
  }

  private static func pageCount(_ within: UInt64, _ length: Int) -> Int {
    max(1, Int((within + UInt64(length) + pageSize - 1) / pageSize))
  }

  /// Takes it away again; does nothing when everything is mapped for good.
  public func unmap(_ mapping: Mapping) {
    guard mode == .perBuffer else { return }
    let within = mapping.iova % Self.pageSize
    let start = mapping.iova - within
    let count = Self.pageCount(within, mapping.length)
    for index in 0..<UInt64(count) { pages[start / Self.pageSize + index] = nil }
    invalidate(Message(.invalidate, iova: start, size: UInt64(count) * Self.pageSize))
    spare[count, default: []].append(start)
  }

  /// What a front-end answers to a miss: the page around the address or, of memory mapped for good, the region. Nil
  /// when nothing is mapped there, or not for that access.
  public func update(for miss: Message) -> Message? {
    if case .fixed(let offset) = mode { return region(miss.iova, offset) }
    guard let page = pages[miss.iova / Self.pageSize], page.access.isSuperset(of: miss.access) else {
      return nil
    }
    return Message(
      .update, iova: miss.iova & ~(Self.pageSize - 1), size: Self.pageSize,
      userAddress: ram.userAddress(page.address), access: page.access)
  }

  private func region(_ iova: UInt64, _ offset: UInt64) -> Message? {
    let address = iova &- offset
    for region in ram.regions where address &- region.guestAddress < region.size {
      return Message(
        .update, iova: region.guestAddress &+ offset, size: region.size, userAddress: region.userAddress,
        access: .readWrite)
    }
    return nil
  }
}
