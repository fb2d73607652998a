import Linux
import Synchronization
import Virtio

/// An address a queue cannot go on without, because the vIOMMU has not translated it yet. Set by the poll thread; the
/// queue rests until the control thread forgets it, when translations have come or gone.
struct MissedAddress: ~Copyable {
  private let isPresent = Atomic<Bool>(false)
  private let value = Atomic<UInt64>(0)
  private let writes = Atomic<Bool>(false)

  // SAFETY: the half that makes it frees it.
  static func make() -> UnsafePointer<MissedAddress> {
    let address = UnsafeMutablePointer<MissedAddress>.allocate(capacity: 1)
    address.initialize(to: MissedAddress())
    return UnsafePointer(address)
  }

  static func free(_ address: UnsafePointer<MissedAddress>) {
    UnsafeMutablePointer(mutating: address).deinitialize(count: 1)
    address.deallocate()
  }

  var isSet: Bool { isPresent.load(ordering: .acquiring) }
  var address: UInt64? { isSet ? value.load(ordering: .relaxed) : nil }
  /// Whether the address is to be written.
  var isForWriting: Bool { writes.load(ordering: .relaxed) }

  @inline(never)
  func set(_ chain: DescriptorChain, _ gate: UnsafePointer<VhostUserGate>) {
    if isSet { return }
    value.store(chain.missing, ordering: .relaxed)
    writes.store(chain.missesWriting, ordering: .relaxed)
    isPresent.store(true, ordering: .releasing)
    gate.pointee.signal.signal()
  }

  func forget() { isPresent.store(false, ordering: .releasing) }
}
