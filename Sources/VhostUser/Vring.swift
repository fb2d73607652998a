import CLinux
import Glibc
import Linux
import Virtio

/// What the front-end has said about one ring.
public struct Vring {
  /// Entries: a power of two; 0 until told.
  public var size: UInt32 = 0
  /// Where to continue. Split: the index in the available ring. Packed: offset and wrap counter of the next buffer
  /// offered (bits 0-14 and 15) and of the next completed (bits 16-30 and 31).
  public var base: UInt32 = 0
  /// The base was told by the front-end, and has yet to be compared with the ring in memory.
  public var baseIsNew = true
  public var addresses: VringAddresses?
  /// The eventfd the driver kicks with; nil also when the front-end wants the ring polled.
  public var kick: OwnedDescriptor?
  public var call: OwnedDescriptor?
  public var error: OwnedDescriptor?
  /// A kick descriptor (or the wish to be polled) starts a ring, GET_VRING_BASE stops it.
  public var isStarted = false
  /// SET_VRING_ENABLE; a started ring that is not enabled moves no frames.
  public var isEnabled = false
  /// It was enabled once, and then not: what the driver sends meanwhile is thrown away. Before, it waits.
  public var isDisabled = false
  /// It was in memory that is no longer there.
  public internal(set) var isDisplaced = false

  public init() {}

  /// Everything needed to use the ring is known.
  public var isRunnable: Bool { isStarted && size > 0 && addresses != nil }

  /// Forgets addresses and descriptors; the position remains for whoever asks.
  mutating func stop() {
    isStarted = false
    addresses = nil
    kick = nil
    call = nil
  }

  mutating func enable() {
    isEnabled = true
    isDisabled = false
  }

  /// What was never enabled is not disabled either: it still waits.
  mutating func disable() {
    isDisabled = isDisabled || isEnabled
    isEnabled = false
  }

  /// One part of a ring: where it is said to be, its length, and what is done with it.
  struct Part {
    var address: UInt64
    var bytes: UInt64
    var permissions: TranslationCache.Permissions

    /// The last address; the end of the address space when it would be beyond.
    var last: UInt64 {
      let (last, overflow) = address.addingReportingOverflow(bytes - 1)
      return overflow ? .max : last
    }
  }

  /// Descriptors, available and used ring, or what a packed ring has in their place: descriptors, driver and device
  /// event suppression (virtio 1.3 §2.7 and §2.8). Nil until size and addresses are known.
  func parts(isPacked: Bool) -> [Part]? {
    typealias Layout = VirtqueueLayout
    guard let addresses, size > 0 else { return nil }
    let bytes = [
      Layout.descriptorBytes(size), Layout.availableBytes(size, packed: isPacked),
      Layout.usedBytes(size, packed: isPacked),
    ]
    return [
      Part(address: addresses.descriptors, bytes: bytes[0], permissions: isPacked ? [.read, .write] : .read),
      Part(address: addresses.available, bytes: bytes[1], permissions: .read),
      Part(address: addresses.used, bytes: bytes[2], permissions: [.read, .write]),
    ]
  }

  /// Whether a part of the ring lies between the addresses `first` and `last`.
  func overlaps(_ first: UInt64, _ last: UInt64, isPacked: Bool) -> Bool {
    parts(isPacked: isPacked)?.contains { $0.address <= last && first <= $0.last } ?? false
  }

  /// Checks what is known so far.
  func check(_ index: Int, isPacked: Bool) throws(SessionError) {
    if let addresses {
      guard addresses.descriptors % 16 == 0, addresses.available % (isPacked ? 4 : 2) == 0,
        addresses.used % 4 == 0
      else { throw .violation("SET_VRING_ADDR: the parts of ring \(index) are not aligned") }
    }
    guard isStarted, size > 0 else { return }
    // Front-ends say where a ring begins before they start it, but in any order with its size and layout.
    let isWithin = isPacked ? base & 0x7FFF < size && base >> 16 & 0x7FFF < size : base <= UInt32(UInt16.max)
    guard isWithin else {
      throw .violation("ring \(index) of \(size) entries cannot begin at 0x\(hexadecimal(base))")
    }
  }
}

extension OwnedDescriptor {
  /// Whether it is an eventfd. Anything else could make a write block for as long as its owner likes.
  var isEventDescriptor: Bool {
    var target = [CChar](repeating: 0, count: 64)
    let length = readlink("/proc/self/fd/\(raw)", &target, target.count)
    guard length > 0 else { return false }
    return target.prefix(length).elementsEqual("anon_inode:[eventfd]".utf8.lazy.map { CChar($0) })
  }

  /// Keeps writes to it from blocking.
  func setNonBlocking() -> Bool {
    let flags = fcntl(raw, F_GETFL)
    return flags >= 0 && fcntl(raw, F_SETFL, flags | O_NONBLOCK) == 0
  }
}
