// The flow cache
// ==============
//
// One per poll thread, for all bridges, so that nothing in it is shared or locked. It remembers decisions of flow tables
// in two layers:
//
//     microflows   hash of the frame's key          -> entry        one probe of one cache line
//     entries      (mask, the key under that mask)  -> program      one probe for each mask there is
//
// An *entry* is a decision that holds for every frame that agrees with it in the bits of its mask ("megaflow"). A
// *microflow* only says which entry a frame of some hash went by last. It is 8 bytes, so that a hundred thousand fit a
// processor's cache, and it is believed only after the entry has been compared with the frame, under its mask: so a hash
// that collides costs a probe, never a wrong decision. What is hashed is the key under the union of all masks: bits that
// no decision ever depended on tell no microflows apart, and are not even extracted.
//
// A frame that no entry matches is translated, there and then, and its decision entered.
//
// *Validity.* An entry carries the generation of the tables it was made by, or last compared with. A frame that finds
// it under another generation first looks through what has changed since: if no change can concern the decision it
// goes on at the new generation, else it is made anew. So no frame is ever forwarded by a decision that has been
// overtaken, and a change costs those entries something that it may concern, when they are used again.
//
// *Bounds.* Entries, masks and microflows have a fixed number. Beyond the last mask, decisions are entered under the
// mask of all bits: narrower than need be, but right. A full cache gives up an entry that was not used for long.
//
// *Counting.* A hit counts in the entry. Entries that were hit are on a list, and a few of them a turn pass on what they
// counted to the flows and groups it belongs to, all within a quarter of a second, and at the latest before the thread
// sleeps.

import CLinux
import Flow

/// A decision: its key under its mask, its counts, and what to do.
struct FlowEntry {
  /// Of the `PublishedFlows` it was last compared with; 0: the entry is free.
  var generation: UInt64
  /// Not passed on yet.
  var packets: UInt64
  var bytes: UInt64
  /// When the latest came, in cycles.
  var lastUsed: UInt64
  var steps: UnsafePointer<FlowStep>?
  var stepCount: Int32
  var mask: UInt16
  var isQueued: Bool
  /// Whether the one step there is sends the frame, as it is, to `soleOutput`.
  var isSoleOutput: Bool
  var soleOutput: Int32
  /// Of the masked key; where the entry is in the index.
  var hash: UInt32
  var program: Unmanaged<FlowProgram>?
  /// The key under the mask, only words that the mask has.
  var words: InlineArray<16, UInt64>
}

/// A mask that entries have: the words that are not zero.
struct FlowMask {
  var count = 0
  var indices = InlineArray<16, UInt8>(repeating: 0)
  var bits = InlineArray<16, UInt64>(repeating: 0)
  /// How many entries have it; 0: the mask is free.
  var users = 0
  /// Frames found by it since masks were last put in order.
  var hits = 0
}

/// How much of a frame's headers decisions depend on.
enum FlowDepth {
  /// Only where the frame came from: all of a burst is one flow.
  case port
  /// Anything in the frame.
  case headers
}

struct FlowCache: ~Copyable {
  /// Entries at most, unless a test asks for fewer; a power of two. Memory is the kernel's until it is first used.
  static var standardCapacity: Int { 262_144 }
  static var maskCapacity: Int { 128 }
  static var bucketCount: Int { 65_536 }
  /// Microflows in a bucket, which is half a cache line.
  static var ways: Int { 4 }
  /// Words of a key, with one of padding.
  static var keyStride: Int { 16 }
  /// Words that frames without IPv6 and ARP headers have.
  static var shortWords: Int { 6 }

  private let memory: ZeroedMemory
  let entryCapacity: Int
  /// The index has twice as many slots as there can be entries; this picks one.
  let indexMask: Int
  let entries: UnsafeMutablePointer<FlowEntry>
  /// Open addressing with linear probing: hash in the upper half, entry + 1 in the lower, 0: empty.
  let index: UnsafeMutablePointer<UInt64>
  private let microflows: UnsafeMutablePointer<UInt64>
  let masks: UnsafeMutablePointer<FlowMask>
  /// Masks in use, the most used first.
  let order: UnsafeMutablePointer<UInt8>
  var maskCount = 0
  /// What all masks have together.
  var union = InlineArray<16, UInt64>(repeating: 0)
  private(set) var depth = FlowDepth.port
  /// Entries that were never used are from here on; those freed are in a list through `hash`.
  var unused = 0
  var firstFree: Int32 = -1
  var entryCount = 0
  /// Entries with counts to pass on, in a ring.
  let queue: UnsafeMutablePointer<UInt32>
  var queueHead = 0
  var queueTail = 0
  /// Entries before this are to be passed on now.
  var queueTarget = 0
  var sweepCursor = 0
  /// Frames that were no microflow; that no entry matched; entries that flows had changed under.
  private var searches: UInt64 = 0
  var misses: UInt64 = 0
  var renewals: UInt64 = 0
  let secrets: InlineArray<16, UInt64>
  /// The key at hand, under a mask: only words that the mask has.
  let words: UnsafeMutablePointer<UInt64>
  /// Who is told which flows were learned.
  let learned: LearnedFlows

  // SAFETY: zero bytes are free entries, and empty slots of the index, microflows and ring; all lie in one mapping, in
  // order of their alignment.
  init(learned: LearnedFlows, entryCapacity: Int = standardCapacity) {
    precondition(entryCapacity > 0 && entryCapacity & (entryCapacity - 1) == 0, "a power of two")
    self.learned = learned
    self.entryCapacity = entryCapacity
    indexMask = 2 * entryCapacity - 1
    let entryBytes = entryCapacity * MemoryLayout<FlowEntry>.stride
    let indexBytes = 2 * entryCapacity * 8
    let microflowBytes = Self.bucketCount * Self.ways * 8
    memory = ZeroedMemory(bytes: microflowBytes + indexBytes + entryBytes + entryCapacity * 4)
    let base = memory.base
    microflows = base.bindMemory(to: UInt64.self, capacity: Self.bucketCount * Self.ways)
    index = (base + microflowBytes).bindMemory(to: UInt64.self, capacity: 2 * entryCapacity)
    entries = (base + microflowBytes + indexBytes).bindMemory(
      to: FlowEntry.self, capacity: entryCapacity)
    queue = (base + microflowBytes + indexBytes + entryBytes).bindMemory(
      to: UInt32.self, capacity: entryCapacity)
    masks = .allocate(capacity: Self.maskCapacity)
    masks.initialize(repeating: FlowMask(), count: Self.maskCapacity)
    order = .allocate(capacity: Self.maskCapacity)
    order.initialize(repeating: 0, count: Self.maskCapacity)
    var random = InlineArray<16, UInt64>(repeating: 0)
    for word in 0..<16 { random[word] = .random(in: .min ... .max) }
    secrets = random
    words = .allocate(capacity: Self.keyStride)
    words.initialize(repeating: 0, count: Self.keyStride)
  }

  deinit {
    for number in 0..<unused { entries[number].program?.release() }
    masks.deallocate()
    order.deallocate()
    words.deallocate()
  }

  // MARK: Hashing

  @inline(__always)
  private static func fold(_ left: UInt64, _ right: UInt64) -> UInt64 {
    let product = left.multipliedFullWidth(by: right)
    return product.high ^ product.low
  }

  /// The hash of `key` under the union of masks.
  ///
  /// - Parameter isShort: whether words from `shortWords` on are zero.
  // SAFETY: a key has `keyStride` words.
  @inline(__always)
  func hash(_ key: UnsafePointer<UInt64>, isShort: Bool) -> UInt64 {
    var sum =
      Self.fold(key[0] & union[0] ^ secrets[0], key[1] & union[1] ^ secrets[1])
      ^ Self.fold(key[2] & union[2] ^ secrets[2], key[3] & union[3] ^ secrets[3])
      ^ Self.fold(key[4] & union[4] ^ secrets[4], key[5] & union[5] ^ secrets[5])
    if !isShort {
      var word = Self.shortWords
      while word < Self.keyStride {
        sum ^= Self.fold(
          key[word] & union[word] ^ secrets[word], key[word &+ 1] & union[word &+ 1] ^ secrets[word &+ 1])
        word = word &+ 2
      }
    }
    return sum
  }

  /// The hash of the words of `key` that mask `number` has, which are left in `words`.
  // SAFETY: `number` is below `maskCapacity`, and a mask's indices below `keyStride`.
  @inline(__always)
  func hash(_ key: UnsafePointer<UInt64>, under number: Int) -> UInt32 {
    let mask = masks + number
    var sum = secrets[15] &+ UInt64(truncatingIfNeeded: number)
    var place = 0
    while place < mask.pointee.count {
      let word = key[Int(mask.pointee.indices[place])] & mask.pointee.bits[place]
      words[place] = word
      sum = Self.fold(sum ^ word, secrets[place])
      place = place &+ 1
    }
    return UInt32(truncatingIfNeeded: sum >> 32 ^ sum)
  }

  // MARK: Finding

  /// Brings the microflows of `hash` into the cache.
  @inline(__always)
  func prefetch(_ hash: UInt64) { cl_prefetch_read(bucket(hash)) }

  // SAFETY: the mask keeps the bucket inside the table.
  @inline(__always)
  private func bucket(_ hash: UInt64) -> UnsafeMutablePointer<UInt64> {
    microflows + Int(truncatingIfNeeded: hash & UInt64(Self.bucketCount &- 1)) &* Self.ways
  }

  /// The entry that matches `key`, whose hash is `hash`; nil: none does.
  // SAFETY: what is in the microflows is 0 or an entry's number + 1.
  @inline(__always)
  mutating func find(_ key: UnsafePointer<UInt64>, _ hash: UInt64) -> UnsafeMutablePointer<FlowEntry>? {
    let bucket = bucket(hash)
    var way = 0
    while way < Self.ways {
      let slot = bucket[way]
      if (slot ^ hash) >> 32 == 0 && slot & 0xFFFF_FFFF != 0 {
        let entry = entries + (Int(truncatingIfNeeded: slot & 0xFFFF_FFFF) &- 1)
        if matches(entry, key) { return entry }
      }
      way = way &+ 1
    }
    return findByMasks(key, hash)
  }

  /// Whether the entry is in use, and agrees with `key` under its mask.
  // SAFETY: an entry's mask is below `maskCapacity`; a free entry has generation 0.
  @inline(__always)
  private func matches(_ entry: UnsafeMutablePointer<FlowEntry>, _ key: UnsafePointer<UInt64>) -> Bool {
    let mask = masks + Int(entry.pointee.mask)
    let count = mask.pointee.count
    var place = 0
    while place < count {
      if key[Int(mask.pointee.indices[place])] & mask.pointee.bits[place] != entry.pointee.words[place] {
        return false
      }
      place = place &+ 1
    }
    return entry.pointee.generation != 0
  }

  /// Asks every mask, and remembers what was found as a microflow.
  @inline(never)
  private mutating func findByMasks(_ key: UnsafePointer<UInt64>, _ hash: UInt64)
    -> UnsafeMutablePointer<FlowEntry>?
  {
    searches &+= 1
    var position = 0
    while position < maskCount {
      let number = Int(order[position])
      let found = find(self.hash(key, under: number), number)
      if found >= 0 {
        masks[number].hits = masks[number].hits &+ 1
        remember(found, hash)
        return entries + found
      }
      position = position &+ 1
    }
    return nil
  }

  /// The entry of mask `number` with `words`, or -1.
  // SAFETY: the mask keeps slots inside the index, which is never full.
  @inline(__always)
  func find(_ hash: UInt32, _ number: Int) -> Int {
    var slot = Int(hash) & indexMask
    while true {
      let found = index[slot]
      if found == 0 { return -1 }
      if UInt32(truncatingIfNeeded: found >> 32) == hash {
        let candidate = Int(truncatingIfNeeded: found & 0xFFFF_FFFF) &- 1
        if isEqual(entries + candidate, number) { return candidate }
      }
      slot = (slot &+ 1) & indexMask
    }
  }

  @inline(__always)
  private func isEqual(_ entry: UnsafeMutablePointer<FlowEntry>, _ number: Int) -> Bool {
    if Int(entry.pointee.mask) != number { return false }
    var place = 0
    while place < masks[number].count {
      if entry.pointee.words[place] != words[place] { return false }
      place = place &+ 1
    }
    return true
  }

  /// Enters a microflow: in place of one of the same hash or a free one, else of one that the hash picks.
  mutating func remember(_ entry: Int, _ hash: UInt64) {
    let bucket = bucket(hash)
    var victim = Int(truncatingIfNeeded: hash >> 20) & (Self.ways &- 1)
    var way = 0
    while way < Self.ways {
      let slot = bucket[way]
      if slot == 0 || (slot ^ hash) >> 32 == 0 {
        victim = way
        break
      }
      way = way &+ 1
    }
    bucket[victim] = hash & ~0xFFFF_FFFF | UInt64(truncatingIfNeeded: entry &+ 1)
  }

  // MARK: Counting

  /// Counts a frame of `length` bytes.
  // SAFETY: an entry is in the ring at most once, so the ring, which has a place for each, never overflows.
  @inline(__always)
  mutating func count(
    _ entry: UnsafeMutablePointer<FlowEntry>, packets: UInt64, bytes: UInt64, at time: UInt64
  ) {
    entry.pointee.packets = entry.pointee.packets &+ packets
    entry.pointee.bytes = entry.pointee.bytes &+ bytes
    entry.pointee.lastUsed = time
    if !entry.pointee.isQueued {
      entry.pointee.isQueued = true
      queue[queueTail & (entryCapacity &- 1)] = UInt32(truncatingIfNeeded: entry - entries)
      queueTail = queueTail &+ 1
    }
  }

  /// Lets the control thread see how full the cache is, and how well it works.
  func report(to counters: WorkCounters) {
    counters.set(.flowEntries, UInt64(truncatingIfNeeded: entryCount))
    counters.set(.flowMasks, UInt64(truncatingIfNeeded: maskCount))
    counters.set(.flowSearches, searches)
    counters.set(.flowMisses, misses)
    counters.set(.flowRenewals, renewals)
  }

  /// Sets the union of masks, which changes what microflows are found by.
  mutating func setUnion(_ words: InlineArray<16, UInt64>) {
    union = words
    var beyond = words[0] & 0xFFFF
    for word in 1..<16 { beyond |= words[word] }
    depth = beyond == 0 ? .port : .headers
  }
}
