import Packet
import Ports

/// Where a burst is going: frames to transmit, listed per output port, so that each port is entered once per burst.
///
/// `items` holds what to transmit; its first `Batch.capacity` places are the received frames as they are, some more are
/// for the forms that flows gave them, and the rest for variants (retagged, completed, segmented). A port's list holds indices into it, so that flooding a frame to
/// many ports does not copy its description.
struct Outputs: ~Copyable {
  static var itemCapacity: Int { 2048 }
  static var listCapacity: Int { 256 }
  /// Forms of a frame that have a place of their own.
  static var formsPerFrame: Int { 4 }
  /// Places that belong to frames and their forms, whatever else is made.
  static var reservedItems: Int { Batch.capacity * (1 + formsPerFrame) }

  struct List {
    let indices: UnsafeMutablePointer<UInt16>
    var count: Int
    /// Whether it is in `touched`; it stays there until `reset`, even if sent early.
    var isTouched: Bool
  }

  let items: UnsafeMutablePointer<Outgoing>
  /// Places of `items` in use; at least `reservedItems`.
  var itemCount = reservedItems
  /// Per port index.
  private var lists: UnsafeMutablePointer<List>
  private var listLimit = 0
  /// Ports whose lists are not empty.
  private var touched: UnsafeMutablePointer<UInt16>
  private(set) var touchedCount = 0

  init() {
    items = .allocate(capacity: Self.itemCapacity)
    let unused = Outgoing(
      header: UnsafeRawPointer(items), headerLength: 0, frame: 0, sourceOffset: 0, sourceLength: 0,
      offload: .none)
    items.initialize(repeating: unused, count: Self.itemCapacity)
    lists = .allocate(capacity: 1)
    touched = .allocate(capacity: 1)
  }

  deinit {
    for port in 0..<listLimit { lists[port].indices.deallocate() }
    lists.deallocate()
    touched.deallocate()
    items.deallocate()
  }

  /// Makes lists for ports below `limit`. Between bursts only: all lists are empty.
  mutating func grow(toPortLimit limit: Int) {
    guard limit > listLimit else { return }
    let larger = UnsafeMutablePointer<List>.allocate(capacity: limit)
    larger.moveInitialize(from: lists, count: listLimit)
    lists.deallocate()
    for port in listLimit..<limit {
      (larger + port).initialize(
        to: List(indices: .allocate(capacity: Self.listCapacity), count: 0, isTouched: false))
    }
    lists = larger
    listLimit = limit
    touched.deallocate()
    touched = .allocate(capacity: limit)
  }

  /// Lists item `item` for `port`; true when that filled the list, which has then to be sent.
  // SAFETY: `port` comes from the current view, whose limit `grow` was called with; a full list is emptied at once.
  @inline(__always)
  mutating func append(_ item: Int, to port: Int) -> Bool {
    let list = lists + port
    let count = list.pointee.count
    if !list.pointee.isTouched {
      list.pointee.isTouched = true
      touched[touchedCount] = UInt16(truncatingIfNeeded: port)
      touchedCount = touchedCount &+ 1
    }
    list.pointee.indices[count] = UInt16(truncatingIfNeeded: item)
    list.pointee.count = count &+ 1
    return count &+ 1 == Self.listCapacity
  }

  @inline(__always)
  func touchedPort(_ position: Int) -> Int { Int(touched[position]) }

  @inline(__always)
  func list(_ port: Int) -> List { lists[port] }

  @inline(__always)
  mutating func empty(_ port: Int) { lists[port].count = 0 }

  /// After every touched port was sent.
  @inline(__always)
  mutating func reset() {
    for position in 0..<touchedCount { lists[Int(touched[position])].isTouched = false }
    touchedCount = 0
    itemCount = Self.reservedItems
  }
}
