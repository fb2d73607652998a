/// Where the three parts of a ring lie in this process. Both layouts have three, told by the same message.
///
/// | part | split ring | packed ring |
/// |---|---|---|
/// | `descriptors` | descriptor table | descriptor ring |
/// | `available` | available ring | driver event suppression |
/// | `used` | used ring | device event suppression |
// SAFETY: whoever makes one has translated each part with its length; it is valid as long as that translation.
public struct VirtqueueLayout {
  public static let maximumSize: UInt32 = 32_768

  /// Entries: a power of two, at most `maximumSize`.
  public var size: UInt32
  public var descriptors: UnsafeMutableRawPointer
  public var available: UnsafeMutableRawPointer
  public var used: UnsafeMutableRawPointer

  public init(
    size: UInt32, descriptors: UnsafeMutableRawPointer, available: UnsafeMutableRawPointer,
    used: UnsafeMutableRawPointer
  ) {
    self.size = size
    self.descriptors = descriptors
    self.available = available
    self.used = used
  }

  /// Bytes of each part for a ring of `size` entries (virtio 1.3 §2.7 and §2.8.10), event index included.
  public static func descriptorBytes(_ size: UInt32) -> UInt64 { 16 * UInt64(size) }
  public static func availableBytes(_ size: UInt32, packed: Bool) -> UInt64 {
    packed ? 4 : 6 + 2 * UInt64(size)
  }
  public static func usedBytes(_ size: UInt32, packed: Bool) -> UInt64 { packed ? 4 : 6 + 8 * UInt64(size) }
}
