// The MAC table
// =============
//
// One per bridge, shared by all poll threads. It maps (VLAN, address) to the port the address was last seen on.
//
// *Lookups* take no lock. Slots are an open-addressing hash table with linear probing, at most half full, of two words
// each: the key, and a value packing port, time last seen and a node number. Four slots share a cache line, so that a
// lookup nearly always costs one. A slot changes hands only through "key cleared, value written, key written", each
// store releasing, so a reader that finds its key, reads the value and finds the key again has a value that belonged
// to it. The hash is keyed with a random secret: a guest that chooses its addresses cannot choose their slots.
//
// *Learning* what is known already touches the slot at most once a second, to note the time. A new or moved address
// is inserted under a lock that is only ever *tried*: if another thread holds it, the address is learned from a later
// frame. A poll thread never waits here, and what it does under the lock is bounded.
//
// *Eviction* is fair between ports (`MACQueues`). When the table is full, a port that holds its share (capacity ÷ ports
// with entries) or more gives up its own oldest entry; a port below its share takes from one that is above. A guest
// flooding the switch with addresses displaces its own, and other ports' entries survive. "Oldest" is second-chance: an
// entry seen since it was queued goes to the back once.
//
// *Deletion* moves later entries of the probe run back into the gap, so there are no tombstones. A reader that meets a
// run being moved may miss an entry: that frame is flooded, which is always correct.
//
// *Memory* is 16 bytes a slot and 16 an entry, from the kernel as it is first written: a table for a million entries
// takes 48 MiB when it is full, and next to nothing while it is empty. (Huge pages were measured to gain nothing.)

import CLinux
import Packet
import Synchronization

struct MACTable: ~Copyable {
  /// Entries at most.
  let capacity: Int
  private let mask: Int
  private let secret: Secret
  private let memory: ZeroedMemory
  private let slots: UnsafeMutablePointer<Atomic<UInt64>>
  private let lock = Atomic<Bool>(false)

  // Guarded by `lock`, and behind a pointer because poll threads share the table itself:
  private let state: UnsafeMutablePointer<State>

  private struct State: ~Copyable {
    var queues: MACQueues
    /// The slot where aging goes on.
    var sweepCursor = 0
  }

  /// What keys the hash. The factor has to be odd.
  struct Secret {
    let mask: UInt64
    let factor: UInt64

    static func random() -> Secret {
      Secret(mask: .random(in: .min ... .max), factor: .random(in: .min ... .max) | 1)
    }
  }

  typealias Entry = (port: UInt16, vlan: Int, address: MACAddress, seen: UInt32)

  static var maximumCapacity: Int { 1_000_000 }

  // SAFETY: zero bytes are empty slots. What is behind `state` lives as long as the table.
  init(capacity: Int, secret: Secret = .random()) {
    let capacity = min(max(capacity, 1), Self.maximumCapacity)
    var slotCount = 16
    while slotCount < capacity * 2 { slotCount *= 2 }
    self.capacity = capacity
    self.secret = secret
    mask = slotCount - 1
    memory = ZeroedMemory(bytes: slotCount * 16)
    slots = memory.base.bindMemory(to: Atomic<UInt64>.self, capacity: slotCount * 2)
    state = .allocate(capacity: 1)
    state.initialize(to: State(queues: MACQueues(capacity: capacity)))
  }

  deinit {
    state.deinitialize(count: 1)
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

  /// Too large for a processor's own caches: prefetching pays.
  @inline(__always)
  var isLarge: Bool { mask >= 1 << 16 }

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
    var index = find(key)
    if keyWord(index).pointee.load(ordering: .relaxed) == key {
      let value = value(index)
      state.pointee.queues.remove(value.node, from: value.port)
      state.pointee.queues.append(value.node, to: port, now: now)
      set(index, Value(port: port, seen: now, node: value.node))
      return
    }
    if state.pointee.queues.count == capacity {
      guard evict(for: port) else { return }
      // Closing the gap may have moved the end of the run.
      index = find(key)
    }
    let node = state.pointee.queues.take(slot: index)
    state.pointee.queues.append(node, to: port, now: now)
    set(index, Value(port: port, seen: now, node: node))
    keyWord(index).pointee.store(key, ordering: .releasing)
  }

  /// Makes room for one entry of `port`, or says that it has to come again.
  private func evict(for port: UInt16) -> Bool {
    guard let donor = state.pointee.queues.donor(for: port) else { return false }
    remove(at: oldest(of: donor))
    return true
  }

  /// The slot of the entry `port` is to give up: its first one not seen since it was queued, within a bounded search.
  private func oldest(of port: UInt16) -> Int {
    for _ in 0..<8 {
      let node = state.pointee.queues.first(of: port)
      let index = state.pointee.queues.slot(of: node)
      let seen = value(index).seen
      if seen == state.pointee.queues.queuedAt(node) { return index }
      state.pointee.queues.remove(node, from: port)
      state.pointee.queues.append(node, to: port, now: seen)
    }
    return state.pointee.queues.slot(of: state.pointee.queues.first(of: port))
  }

  /// Removes the entry in slot `index`; the slot may hold another one afterwards.
  private func remove(at index: Int) {
    let value = value(index)
    state.pointee.queues.remove(value.node, from: value.port)
    state.pointee.queues.free(value.node)
    clearSlot(index)
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
        let moved = value(index)
        set(gap, moved)
        keyWord(gap).pointee.store(key, ordering: .releasing)
        state.pointee.queues.move(moved.node, toSlot: gap)
        keyWord(index).pointee.store(0, ordering: .releasing)
        gap = index
      }
      index = (index &+ 1) & mask
    }
  }

  /// The slot that holds `key`, or the empty one where it belongs.
  private func find(_ key: UInt64) -> Int {
    var index = home(key)
    while true {
      let found = keyWord(index).pointee.load(ordering: .relaxed)
      if found == key || found == 0 { return index }
      index = (index &+ 1) & mask
    }
  }

  // MARK: The control thread

  /// Forgets every address behind `port`.
  func flush(port: UInt16) {
    spinLock()
    defer { unlock() }
    while state.pointee.queues.count(of: port) > 0 {
      remove(at: state.pointee.queues.slot(of: state.pointee.queues.first(of: port)))
    }
  }

  func flushAll() {
    spinLock()
    defer { unlock() }
    // Only what is there is written: an empty table stays unwritten memory.
    for index in 0...mask where keyWord(index).pointee.load(ordering: .relaxed) != 0 {
      keyWord(index).pointee.store(0, ordering: .releasing)
    }
    state.pointee.queues.reset()
  }

  /// Forgets addresses not seen for `seconds`. Passes over no more than `limit` slots, going on where it stopped: the
  /// largest table is swept in 16 calls of a millisecond each.
  func expire(olderThan seconds: UInt32, now: UInt32, limit: Int = 131_072) {
    var left = min(limit, mask + 1)
    while left > 0 {
      // In small steps, so that learning is not kept out for long.
      spinLock()
      for _ in 0..<512 where left > 0 {
        let index = state.pointee.sweepCursor
        let isEntry = keyWord(index).pointee.load(ordering: .relaxed) != 0
        let seen = isEntry ? value(index).seen : now
        if now >= seen && now &- seen >= seconds && isEntry {
          // Another entry may have moved here: it is looked at before the cursor moves on.
          remove(at: index)
        } else {
          state.pointee.sweepCursor = (index &+ 1) & mask
          left -= 1
        }
      }
      unlock()
    }
  }

  /// Every entry: port, VLAN, address and when it was last seen, in no order.
  func entries() -> [Entry] {
    spinLock()
    defer { unlock() }
    var result: [Entry] = []
    result.reserveCapacity(state.pointee.queues.count)
    for index in 0...mask {
      let key = keyWord(index).pointee.load(ordering: .relaxed)
      guard key != 0 else { continue }
      let value = value(index)
      result.append(
        (value.port, Int(key & 0xFFF), MACAddress(bits: key >> 12 & 0xFFFF_FFFF_FFFF), value.seen))
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
    // One multiplication alone keeps arithmetic progressions, and under one secret in a hundred they pile up. The
    // second, by the golden ratio, breaks them: probe runs are then as short as random numbers make them.
    let product = (key ^ secret.mask).multipliedFullWidth(by: secret.factor)
    let mixed = (product.high ^ product.low) &* 0x9E37_79B9_7F4A_7C15
    return Int(truncatingIfNeeded: mixed &>> 32) & mask
  }

  /// How many slots a search for `key` looks at, the last one included.
  func probes(for key: UInt64) -> Int { (find(key) &- home(key)) & mask &+ 1 }

  // SAFETY: an index is always masked, and `slots` holds two words for each.
  @inline(__always)
  private func keyWord(_ index: Int) -> UnsafeMutablePointer<Atomic<UInt64>> { slots + index &* 2 }
  @inline(__always)
  private func valueWord(_ index: Int) -> UnsafeMutablePointer<Atomic<UInt64>> { slots + (index &* 2 &+ 1) }
  private func value(_ index: Int) -> Value { Value(valueWord(index).pointee.load(ordering: .relaxed)) }
  private func set(_ index: Int, _ value: Value) {
    valueWord(index).pointee.store(value.word, ordering: .releasing)
  }

  private func tryLock() -> Bool { !lock.exchange(true, ordering: .acquiring) }
  private func spinLock() {
    while !tryLock() { cl_pause() }
  }
  private func unlock() { lock.store(false, ordering: .releasing) }
}
