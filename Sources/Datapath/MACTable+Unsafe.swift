// The MAC table
// =============
//
// One per bridge, shared by all poll threads. It maps (VLAN, address) to the port the address was last seen on.
//
// *Lookups* take no lock. Slots are an open-addressing hash table with linear probing, at most half full, of two words
// each: the key, and a value packing port, time last seen and a node number. A slot changes hands only through "key
// cleared, value written, key written", each store releasing, so a reader that finds its key, reads the value and
// finds the key again has a value that belonged to it. The hash is keyed with a random secret: a guest that chooses
// its addresses cannot choose their slots.
//
// *Learning* what is known already touches the slot at most once a second, to note the time. A new or moved address
// is inserted under a lock that is only ever *tried*: if another thread holds it, the address is learned from a later
// frame. A poll thread never waits here.
//
// *Eviction* is fair between ports. A node per entry sits in its port's list, oldest first. When the table is full, a
// port that holds its share (capacity ÷ ports with entries) or more gives up its own oldest entry; a port below its
// share takes from one that is above. A guest flooding the switch with addresses displaces its own, and other ports'
// entries survive. "Oldest" is second-chance: an entry seen since it was queued goes to the back once.
//
// *Deletion* moves later entries of the probe run back into the gap, so there are no tombstones. A reader that meets a
// run being moved may miss an entry: that frame is flooded, which is always correct.

import CLinux
import Packet
import Synchronization

struct MACTable: ~Copyable {
  /// Entries at most.
  let capacity: Int
  private let mask: Int
  private let secret: (UInt64, UInt64)
  private let slots: UnsafeMutablePointer<Atomic<UInt64>>
  private let lock = Atomic<Bool>(false)

  // Guarded by `lock`, and behind pointers because poll threads share the table itself:
  private let nodes: UnsafeMutablePointer<Node>
  private let lists: UnsafeMutablePointer<PortList>
  private let state: UnsafeMutablePointer<Bookkeeping>

  private struct Bookkeeping {
    var freeNode: Int32 = 0
    var count = 0
    var portsWithEntries = 0
    var donorCursor = 0
    var highestPort = 0
    var sweepCursor = 0
  }

  private struct Node {
    var key: UInt64 = 0
    var previous: Int32 = -1
    var next: Int32 = -1
    var queuedAt: UInt32 = 0
    var port: UInt16 = 0
  }

  private struct PortList {
    var first: Int32 = -1
    var last: Int32 = -1
    var count: Int32 = 0
  }

  typealias Entry = (port: UInt16, vlan: Int, address: MACAddress, seen: UInt32)

  /// Ports are numbered below this.
  static var portLimit: Int { 65_536 }
  static var maximumCapacity: Int { 1_000_000 }

  init(capacity: Int) {
    let capacity = min(max(capacity, 1), Self.maximumCapacity)
    var slotCount = 16
    while slotCount < capacity * 2 { slotCount *= 2 }
    self.capacity = capacity
    mask = slotCount - 1
    secret = (UInt64.random(in: .min ... .max), UInt64.random(in: .min ... .max) | 1)
    slots = .allocate(capacity: slotCount * 2)
    for word in 0..<slotCount * 2 { (slots + word).initialize(to: Atomic(0)) }
    nodes = .allocate(capacity: capacity)
    for index in 0..<capacity {
      (nodes + index).initialize(to: Node(next: index + 1 < capacity ? Int32(index + 1) : -1))
    }
    state = .allocate(capacity: 1)
    state.initialize(to: Bookkeeping())
    lists = .allocate(capacity: Self.portLimit)
    lists.initialize(repeating: PortList(), count: Self.portLimit)
  }

  deinit {
    slots.deallocate()
    nodes.deallocate()
    lists.deallocate()
    state.deallocate()
  }

  // MARK: The packet path

  /// (VLAN, address) as one word that is never 0.
  @inline(__always)
  static func key(_ address: UInt64, vlan: Int) -> UInt64 { 1 << 63 | address << 12 | UInt64(vlan) }

  /// Brings the slot where a search for `key` begins into the cache. A burst that prefetches all its addresses before it
  /// looks up the first waits for memory once, not once a frame.
  @inline(__always)
  func prefetch(_ key: UInt64) { cl_prefetch_read(keyWord(home(key))) }

  /// The port behind `key`, or -1.
  @inline(__always)
  func lookup(_ key: UInt64) -> Int {
    var index = home(key)
    while true {
      let found = keyWord(index).pointee.load(ordering: .acquiring)
      if found == key {
        let value = valueWord(index).pointee.load(ordering: .acquiring)
        if keyWord(index).pointee.load(ordering: .relaxed) == key { return Int(Value(value).port) }
        return -1
      }
      if found == 0 { return -1 }
      index = (index &+ 1) & mask
    }
  }

  /// Notes that `key` was seen on `port` at `now` (seconds).
  @inline(__always)
  func learn(_ key: UInt64, port: UInt16, now: UInt32) {
    var index = home(key)
    while true {
      let found = keyWord(index).pointee.load(ordering: .acquiring)
      if found == key {
        let word = valueWord(index).pointee.load(ordering: .relaxed)
        let value = Value(word)
        if value.port == port {
          if value.seen == now { return }
          // An entry that was moved meanwhile fails the exchange, and is noted by a later frame.
          let renewed = Value(port: port, seen: now, node: value.node).word
          _ = valueWord(index).pointee.compareExchange(expected: word, desired: renewed, ordering: .releasing)
          return
        }
        break
      }
      if found == 0 { break }
      index = (index &+ 1) & mask
    }
    insert(key, port: port, now: now)
  }

  // MARK: Under the lock

  /// Inserts `key`, or moves it to `port`.
  @inline(never)
  private func insert(_ key: UInt64, port: UInt16, now: UInt32) {
    guard tryLock() else { return }
    defer { unlock() }
    if let index = find(key) {
      let node = Int(Value(valueWord(index).pointee.load(ordering: .relaxed)).node)
      unlink(node)
      link(node, port: port, now: now)
      valueWord(index).pointee.store(
        Value(port: port, seen: now, node: UInt32(node)).word, ordering: .releasing)
      return
    }
    if state.pointee.count == capacity { evict(for: port) }
    let node = Int(state.pointee.freeNode)
    state.pointee.freeNode = nodes[node].next
    nodes[node].key = key
    link(node, port: port, now: now)
    state.pointee.count += 1
    var index = home(key)
    while keyWord(index).pointee.load(ordering: .relaxed) != 0 { index = (index &+ 1) & mask }
    valueWord(index).pointee.store(
      Value(port: port, seen: now, node: UInt32(node)).word, ordering: .releasing)
    keyWord(index).pointee.store(key, ordering: .releasing)
  }

  /// Makes room for one entry of `port`.
  private func evict(for port: UInt16) {
    let claimants = state.pointee.portsWithEntries + (lists[Int(port)].count == 0 ? 1 : 0)
    let share = max(1, capacity / claimants)
    let donor = lists[Int(port)].count >= share ? Int(port) : nextDonor(above: share)
    remove(node: oldest(of: donor))
  }

  /// A port holding more than `share`; the cursor spreads the burden. There is one, or the table would not be full.
  private func nextDonor(above share: Int) -> Int {
    var largest = 0
    for _ in 0...state.pointee.highestPort {
      state.pointee.donorCursor =
        state.pointee.donorCursor >= state.pointee.highestPort ? 0 : state.pointee.donorCursor + 1
      if lists[state.pointee.donorCursor].count > share { return state.pointee.donorCursor }
      if lists[state.pointee.donorCursor].count > lists[largest].count { largest = state.pointee.donorCursor }
    }
    return largest
  }

  /// The entry of `port` to give up: its first one not seen since it was queued, within a bounded search.
  private func oldest(of port: Int) -> Int {
    for _ in 0..<8 {
      let node = Int(lists[port].first)
      guard let index = find(nodes[node].key) else { return node }
      let seen = Value(valueWord(index).pointee.load(ordering: .relaxed)).seen
      if seen == nodes[node].queuedAt { return node }
      unlink(node)
      link(node, port: UInt16(port), now: seen)
    }
    return Int(lists[port].first)
  }

  private func remove(node: Int) {
    if let index = find(nodes[node].key) { clearSlot(index) }
    unlink(node)
    nodes[node].key = 0
    nodes[node].next = state.pointee.freeNode
    state.pointee.freeNode = Int32(node)
    state.pointee.count -= 1
  }

  /// Empties a slot and closes the gap in its probe run.
  private func clearSlot(_ start: Int) {
    var gap = start
    keyWord(gap).pointee.store(0, ordering: .releasing)
    var index = (gap &+ 1) & mask
    while true {
      let key = keyWord(index).pointee.load(ordering: .relaxed)
      if key == 0 { return }
      // Does the entry's probe run, from its home to where it is, pass the gap?
      if (index &- home(key)) & mask >= (index &- gap) & mask {
        valueWord(gap).pointee.store(valueWord(index).pointee.load(ordering: .relaxed), ordering: .releasing)
        keyWord(gap).pointee.store(key, ordering: .releasing)
        keyWord(index).pointee.store(0, ordering: .releasing)
        gap = index
      }
      index = (index &+ 1) & mask
    }
  }

  private func find(_ key: UInt64) -> Int? {
    var index = home(key)
    while true {
      let found = keyWord(index).pointee.load(ordering: .relaxed)
      if found == key { return index }
      if found == 0 { return nil }
      index = (index &+ 1) & mask
    }
  }

  private func link(_ node: Int, port: UInt16, now: UInt32) {
    let list = lists + Int(port)
    nodes[node].port = port
    nodes[node].queuedAt = now
    nodes[node].previous = list.pointee.last
    nodes[node].next = -1
    if list.pointee.last >= 0 {
      nodes[Int(list.pointee.last)].next = Int32(node)
    } else {
      list.pointee.first = Int32(node)
      state.pointee.portsWithEntries += 1
      state.pointee.highestPort = max(state.pointee.highestPort, Int(port))
    }
    list.pointee.last = Int32(node)
    list.pointee.count += 1
  }

  private func unlink(_ node: Int) {
    let entry = nodes[node]
    let list = lists + Int(entry.port)
    if entry.previous >= 0 {
      nodes[Int(entry.previous)].next = entry.next
    } else {
      list.pointee.first = entry.next
    }
    if entry.next >= 0 {
      nodes[Int(entry.next)].previous = entry.previous
    } else {
      list.pointee.last = entry.previous
    }
    list.pointee.count -= 1
    if list.pointee.count == 0 { state.pointee.portsWithEntries -= 1 }
  }

  // MARK: The control thread

  /// Forgets every address behind `port`.
  func flush(port: UInt16) {
    spinLock()
    defer { unlock() }
    while lists[Int(port)].first >= 0 { remove(node: Int(lists[Int(port)].first)) }
  }

  func flushAll() {
    spinLock()
    defer { unlock() }
    for port in 0...state.pointee.highestPort {
      while lists[port].first >= 0 { remove(node: Int(lists[port].first)) }
    }
  }

  /// Forgets addresses not seen for `seconds`. Looks at no more than `limit` entries, going on where it stopped.
  func expire(olderThan seconds: UInt32, now: UInt32, limit: Int = 65_536) {
    var left = min(limit, capacity)
    while left > 0 {
      // In small steps, so that learning is not kept out for long.
      let step = min(left, 512)
      spinLock()
      for _ in 0..<step {
        let node = state.pointee.sweepCursor
        state.pointee.sweepCursor =
          state.pointee.sweepCursor + 1 == capacity ? 0 : state.pointee.sweepCursor + 1
        guard nodes[node].key != 0, let index = find(nodes[node].key) else { continue }
        let seen = Value(valueWord(index).pointee.load(ordering: .relaxed)).seen
        if now &- seen >= seconds && now >= seen { remove(node: node) }
      }
      unlock()
      left -= step
    }
  }

  /// Every entry: port, VLAN, address and when it was last seen, in no order.
  func entries() -> [Entry] {
    spinLock()
    defer { unlock() }
    var result: [Entry] = []
    result.reserveCapacity(state.pointee.count)
    for node in 0..<capacity where nodes[node].key != 0 {
      let key = nodes[node].key
      guard let index = find(key) else { continue }
      let seen = Value(valueWord(index).pointee.load(ordering: .relaxed)).seen
      let address = MACAddress(bits: key >> 12)
      result.append((nodes[node].port, Int(key & 0xFFF), address, seen))
    }
    return result
  }

  /// Takes over another table's entries, as far as there is room.
  func adopt(_ entries: [Entry]) {
    for entry in entries.sorted(by: { $0.seen < $1.seen }) {
      insert(Self.key(entry.address.bits, vlan: entry.vlan), port: entry.port, now: entry.seen)
    }
  }

  // MARK: Words

  /// A slot's second word: port (16 bits), seconds last seen (28), node (20).
  private struct Value {
    let word: UInt64
    init(_ word: UInt64) { self.word = word }
    init(port: UInt16, seen: UInt32, node: UInt32) {
      word = UInt64(port) | UInt64(seen & 0xFFF_FFFF) << 16 | UInt64(node) << 44
    }
    var port: UInt16 { UInt16(truncatingIfNeeded: word) }
    var seen: UInt32 { UInt32(truncatingIfNeeded: word >> 16) & 0xFFF_FFFF }
    var node: UInt32 { UInt32(truncatingIfNeeded: word >> 44) }
  }

  @inline(__always)
  private func home(_ key: UInt64) -> Int {
    let product = (key ^ secret.0).multipliedFullWidth(by: secret.1)
    return Int(truncatingIfNeeded: product.high ^ product.low) & mask
  }

  // SAFETY: an index is always masked, and `slots` holds two words for each.
  @inline(__always)
  private func keyWord(_ index: Int) -> UnsafeMutablePointer<Atomic<UInt64>> { slots + index &* 2 }
  @inline(__always)
  private func valueWord(_ index: Int) -> UnsafeMutablePointer<Atomic<UInt64>> { slots + (index &* 2 &+ 1) }

  private func tryLock() -> Bool { !lock.exchange(true, ordering: .acquiring) }
  private func spinLock() {
    while !tryLock() { cl_pause() }
  }
  private func unlock() { lock.store(false, ordering: .releasing) }
}
