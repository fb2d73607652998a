/// The numbers 0 to `size` - 1 that are not in use: entries of a split ring's descriptor table, or buffer ids of a
/// packed ring.
struct DescriptorPool {
  private let isInOrder: Bool
  /// The next to take last; with in-order, a ring.
  private var free: [UInt16]
  private var first = 0
  private(set) var count: Int

  /// - Parameter isInOrder: take them one after the other, and again from the start. They come back so.
  init(size: Int, isInOrder: Bool) {
    self.isInOrder = isInOrder
    let all = (0..<size).map { UInt16($0) }
    free = isInOrder ? all : all.reversed()
    count = size
  }

  /// What `take` takes; there has to be one.
  var next: UInt16 { isInOrder ? free[first] : free[count - 1] }

  mutating func take() -> UInt16 {
    let number = next
    count -= 1
    if isInOrder { first = (first + 1) % free.count } else { free.removeLast() }
    return number
  }

  mutating func giveBack(_ numbers: [UInt16]) {
    count += numbers.count
    if !isInOrder { free += numbers }
  }
}
