// The order in which a MAC table gives entries up
// ===============================================
//
// Each entry of the table is a node, queued behind the others of its port: the front is the one to give up next. The
// nodes of all ports come from one pool, whose size is the table's capacity. Everything is numbered so that zero means
// "none", and lies in memory that is zero until it is used: a large table that is nearly empty is small.
//
// All of it is guarded by the table's lock.

/// The entries of one MAC table in queues by port.
struct MACQueues: ~Copyable {
  /// Nodes are numbered from 1 to this.
  let capacity: Int
  private(set) var count = 0
  private let memory: ZeroedMemory
  private let nodes: UnsafeMutablePointer<Node>
  private let portMemory: ZeroedMemory
  private let ports: UnsafeMutablePointer<Queue>
  /// The ports that have entries, in no order.
  private let holders: UnsafeMutablePointer<UInt16>
  private(set) var holderCount = 0
  /// Where in `holders` the search for a donor goes on.
  private var donorCursor = 0
  private var freeNode: UInt32 = 0
  /// Nodes above this have never been used.
  private var highestNode: UInt32 = 0

  /// 16 bytes: four to a cache line.
  private struct Node {
    var slot: UInt32
    var previous: UInt32
    var next: UInt32
    var queuedAt: UInt32
  }

  private struct Queue {
    var first: UInt32
    var last: UInt32
    var count: UInt32
    /// Index in `holders`, while there are entries.
    var place: UInt32
  }

  /// Ports are numbered below this.
  static var portLimit: Int { 65_536 }
  /// How many ports one search for a donor looks at.
  private static var donorSearch: Int { 32 }

  // SAFETY: zero bytes are valid nodes and queues. Node numbers come from `take` and are at most `capacity`; port
  // numbers have 16 bits; an index into `holders` is below `holderCount`.
  init(capacity: Int) {
    self.capacity = capacity
    memory = ZeroedMemory(bytes: (capacity + 1) * MemoryLayout<Node>.stride)
    nodes = memory.base.bindMemory(to: Node.self, capacity: capacity + 1)
    let queueBytes = Self.portLimit * MemoryLayout<Queue>.stride
    portMemory = ZeroedMemory(bytes: queueBytes + Self.portLimit * 2)
    ports = portMemory.base.bindMemory(to: Queue.self, capacity: Self.portLimit)
    holders = (portMemory.base + queueBytes).bindMemory(to: UInt16.self, capacity: Self.portLimit)
  }

  // MARK: nodes

  /// A node for the entry in `slot`; 0 when all are in use.
  mutating func take(slot: Int) -> UInt32 {
    var node = freeNode
    if node != 0 {
      freeNode = nodes[Int(node)].next
    } else {
      guard Int(highestNode) < capacity else { return 0 }
      highestNode += 1
      node = highestNode
    }
    nodes[Int(node)].slot = UInt32(slot)
    count += 1
    return node
  }

  /// Takes a node, which is in no queue, back.
  mutating func free(_ node: UInt32) {
    nodes[Int(node)].next = freeNode
    freeNode = node
    count -= 1
  }

  /// Forgets all nodes and empties all queues.
  mutating func reset() {
    for index in 0..<holderCount { ports[Int(holders[index])] = Queue(first: 0, last: 0, count: 0, place: 0) }
    holderCount = 0
    count = 0
    freeNode = 0
    highestNode = 0
  }

  /// Where in the table the node's entry is.
  func slot(of node: UInt32) -> Int { Int(nodes[Int(node)].slot) }
  func move(_ node: UInt32, toSlot slot: Int) { nodes[Int(node)].slot = UInt32(slot) }
  func queuedAt(_ node: UInt32) -> UInt32 { nodes[Int(node)].queuedAt }

  // MARK: queues

  /// The entry of `port` to give up first; 0 when it has none.
  func first(of port: UInt16) -> UInt32 { ports[Int(port)].first }
  func count(of port: UInt16) -> Int { Int(ports[Int(port)].count) }

  mutating func append(_ node: UInt32, to port: UInt16, now: UInt32) {
    let queue = ports + Int(port)
    if queue.pointee.count == 0 {
      queue.pointee.place = UInt32(holderCount)
      holders[holderCount] = port
      holderCount += 1
    }
    nodes[Int(node)].previous = queue.pointee.last
    nodes[Int(node)].next = 0
    nodes[Int(node)].queuedAt = now
    if queue.pointee.last != 0 {
      nodes[Int(queue.pointee.last)].next = node
    } else {
      queue.pointee.first = node
    }
    queue.pointee.last = node
    queue.pointee.count += 1
  }

  mutating func remove(_ node: UInt32, from port: UInt16) {
    let queue = ports + Int(port)
    let entry = nodes[Int(node)]
    if entry.previous != 0 {
      nodes[Int(entry.previous)].next = entry.next
    } else {
      queue.pointee.first = entry.next
    }
    if entry.next != 0 {
      nodes[Int(entry.next)].previous = entry.previous
    } else {
      queue.pointee.last = entry.previous
    }
    queue.pointee.count -= 1
    if queue.pointee.count == 0 {
      holderCount -= 1
      let moved = holders[holderCount]
      holders[Int(queue.pointee.place)] = moved
      ports[Int(moved)].place = queue.pointee.place
    }
  }

  /// The port that gives up an entry so that `port` can have one more; nil when a bounded search found none, and
  /// the next one goes on where it stopped.
  ///
  /// A port's share is the capacity divided by the ports with entries. Who has its share gives up an entry of its own;
  /// who has less takes from one with more. There is one with more, or the table would not be full; only if there are
  /// more ports than entries, anybody's will do.
  mutating func donor(for port: UInt16) -> UInt16? {
    let own = count(of: port)
    let claimants = holderCount + (own == 0 ? 1 : 0)
    let share = max(1, capacity / claimants)
    if own >= share { return port }
    let bar = claimants > capacity ? 0 : share
    for _ in 0..<min(holderCount, Self.donorSearch) {
      donorCursor = donorCursor + 1 < holderCount ? donorCursor + 1 : 0
      let candidate = holders[donorCursor]
      if count(of: candidate) > bar { return candidate }
    }
    return nil
  }
}
