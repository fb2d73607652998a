import Synchronization

/// The map poll threads translate by, replaced while they do: a pointer that is loaded once a burst.
///
/// Whoever publishes another map frees the old one only after every poll thread has finished its turn. A guest's own
/// memory has a map that never changes; behind a vIOMMU every translation that comes or goes makes a new one.
public struct PublishedMap: ~Copyable {
  private let word: Atomic<UInt>

  public init(_ map: UnsafePointer<GuestMemoryMap>) { word = Atomic(UInt(bitPattern: map)) }

  /// Good for one turn.
  // SAFETY: the word is always the address of an initialised map, and that lives until the turn is over.
  public var map: UnsafePointer<GuestMemoryMap> {
    UnsafePointer(bitPattern: word.load(ordering: .acquiring)).unsafelyUnwrapped
  }

  /// A copy, good for one turn.
  public var current: GuestMemoryMap { map.pointee }

  public func publish(_ map: UnsafePointer<GuestMemoryMap>) {
    word.store(UInt(bitPattern: map), ordering: .releasing)
  }
}
