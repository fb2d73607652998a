import Virtio

/// One descriptor as a driver writes it, right or wrong.
public struct RawDescriptor: Equatable, Sendable {
  /// Guest-physical, or an I/O virtual address.
  public var address: UInt64
  /// Bytes.
  public var length: UInt32
  /// `Descriptor.next`, `.write`, `.indirect` and any other bits. In a packed ring, the bits that make a descriptor
  /// available are added by exclusive or: setting one here makes it wrong.
  public var flags: UInt16
  /// `next` of a split ring, the buffer id of a packed one; nil for what a correct driver would write.
  public var link: UInt16?

  public init(_ address: UInt64, _ length: UInt32, flags: UInt16 = 0, link: UInt16? = nil) {
    self.address = address
    self.length = length
    self.flags = flags
    self.link = link
  }

  /// Writes 16 bytes: address, then length, flags and next (split), or length, id and flags (packed).
  func write(to ram: GuestRAM, at: UInt64, _ layout: GuestQueue.Layout, link: UInt16) {
    let (low, high) = layout == .split ? (flags, link) : (link, flags)
    ram.store64(address, at: at)
    ram.store64(UInt64(length) | UInt64(low) << 32 | UInt64(high) << 48, at: at + 8)
  }
}
