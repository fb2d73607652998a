/// One buffer a driver offers: its first descriptor, read once, and what names it when it goes back.
@frozen
public struct Element {
  public var descriptor: Descriptor
  /// The head of its chain in the descriptor table, or a packed ring's buffer id: what the driver knows it by.
  public var id: UInt16
  /// Packed rings: where its descriptors begin, and how many they are.
  public var slot: UInt16
  public var slots: UInt16
  /// Bytes the device wrote into it.
  public var written: UInt32 = 0

  /// What memory for elements begins as.
  @inlinable public static var zero: Element { Element(Descriptor(address: 0, word: 0), id: 0, slot: 0) }

  @inlinable @inline(__always)
  init(_ descriptor: Descriptor, id: UInt16, slot: UInt16, slots: UInt16 = 1) {
    self.descriptor = descriptor
    self.id = id
    self.slot = slot
    self.slots = slots
  }
}
