import CLinux
import Glibc
import Linux
import Virtio

/// What the front-end has said about one ring.
public struct Vring {
  /// Entries: a power of two; 0 until told.
  public var size: UInt32 = 0
  /// Where to continue in the available ring.
  public var base: UInt16 = 0
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

  /// Where the ring's parts are mapped here, checked as a whole.
  public func layout(in memory: GuestMemory, index: Int) throws(SessionError) -> SplitVirtqueue.Layout {
    typealias Layout = SplitVirtqueue.Layout
    guard let addresses else { throw .violation("ring \(index) has no addresses") }
    guard let descriptors = memory.map.translate(user: addresses.descriptors, Layout.descriptorBytes(size)),
      let available = memory.map.translate(user: addresses.available, Layout.availableBytes(size)),
      let used = memory.map.translate(user: addresses.used, Layout.usedBytes(size))
    else { throw .violation("ring \(index) of \(size) entries lies outside the front-end's memory") }
    return Layout(size: size, descriptors: descriptors, available: available, used: used)
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
