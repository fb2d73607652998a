/// Private memory for the headers of frames that software finishes: slots handed out one after another, taken back
/// all at once when what pointed to them has been transmitted. One per poll thread.
public struct HeaderArena: ~Copyable {
  /// Bytes in a slot: two tags, an IP header with options or extensions, a TCP header, and what else of the frame was
  /// already private.
  @inlinable public static var slotLength: Int { 256 }

  @usableFromInline let memory: UnsafeMutableRawPointer
  public let capacity: Int
  public private(set) var used = 0

  /// Room for `capacity` headers; more than `SoftwareOffload.maximumSegments`, so that any one frame fits.
  public init(capacity: Int = 2 * SoftwareOffload.maximumSegments) {
    precondition(capacity > SoftwareOffload.maximumSegments, "a header arena holds the segments of one frame")
    self.capacity = capacity
    memory = .allocate(byteCount: capacity * Self.slotLength, alignment: 64)
  }

  deinit { memory.deallocate() }

  public var remaining: Int { capacity &- used }

  /// Takes all slots back.
  public mutating func reset() { used = 0 }

  /// The next slot; its bytes are undefined.
  // SAFETY: `remaining > 0` is the caller's duty, so the slot lies in the allocation.
  public mutating func take() -> UnsafeMutableRawPointer {
    let slot = memory + used &* Self.slotLength
    used = used &+ 1
    return slot
  }

  /// Takes back the slots handed out since `used` was `mark`.
  mutating func giveBack(to mark: Int) { used = min(used, mark) }
}
