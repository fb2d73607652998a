import CLinux
import Flow
import Linux

// How the flow cache changes: between frames, when one misses, and a little in every turn.
extension FlowCache {
  // MARK: Entering

  /// Enters a decision for frames that agree with `key` in `mask`, and returns its entry.
  // SAFETY: `claim` and `maskNumber` return numbers within their arrays.
  mutating func enter(
    _ program: FlowProgram, _ key: UnsafePointer<UInt64>, mask: FlowWords, generation: UInt64, at time: UInt64
  ) -> UnsafeMutablePointer<FlowEntry> {
    let number = claim(at: time)
    let maskNumber = maskNumber(mask)
    masks[maskNumber].users += 1
    let hash = hash(key, under: maskNumber)
    let old = find(hash, maskNumber)
    if old >= 0 { remove(old) }
    var words = InlineArray<16, UInt64>(repeating: 0)
    for place in 0..<masks[maskNumber].count { words[place] = self.words[place] }
    let sole = program.stepCount == 1 && program.steps[0].kind == .output && program.steps[0].rewrite == 0
    (entries + number).initialize(
      to: FlowEntry(
        generation: generation, packets: 0, bytes: 0, lastUsed: time, steps: UnsafePointer(program.steps),
        stepCount: Int32(program.stepCount), mask: UInt16(maskNumber), isQueued: false, isSoleOutput: sole,
        soleOutput: sole ? program.steps[0].port : -1, hash: hash, program: .passRetained(program),
        words: words))
    link(number, hash)
    entryCount += 1
    return entries + number
  }

  /// A free entry; when there is none, one that is given up for it.
  private mutating func claim(at time: UInt64) -> Int {
    if firstFree < 0 && unused < entryCapacity {
      unused += 1
      return unused - 1
    }
    if firstFree < 0 { remove(victim(at: time)) }
    // What was given up may have counts to pass on first; so then have all others in the ring before it.
    while firstFree < 0 { takeFromQueue() }
    let number = Int(firstFree)
    firstFree = Int32(bitPattern: entries[number].hash)
    return number
  }

  /// Of a few entries picked at random the one not used for longest.
  private func victim(at time: UInt64) -> Int {
    var oldest = 0
    var age: UInt64 = 0
    var random = secrets[7] &* (time | 1)
    for _ in 0..<16 {
      random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      let candidate = Int(truncatingIfNeeded: random >> 33) & (entryCapacity - 1)
      guard entries[candidate].generation != 0 else { continue }
      let candidateAge = time &- entries[candidate].lastUsed
      if candidateAge >= age {
        age = candidateAge
        oldest = candidate
      }
    }
    return oldest
  }

  private func link(_ number: Int, _ hash: UInt32) {
    var slot = Int(hash) & indexMask
    while index[slot] != 0 { slot = (slot + 1) & indexMask }
    index[slot] = UInt64(hash) << 32 | UInt64(number + 1)
  }

  // MARK: Leaving

  /// Forgets an entry, once it has passed on what it counted. Microflows that name it are told apart by its key.
  mutating func remove(_ number: Int) {
    let entry = entries + number
    guard entry.pointee.generation != 0 else { return }
    passOn(entry)
    unlink(number, entry.pointee.hash)
    let mask = Int(entry.pointee.mask)
    entry.pointee.generation = 0
    entry.pointee.program?.release()
    entry.pointee.program = nil
    entry.pointee.steps = nil
    // An entry that is still in the ring comes back to the free ones when it leaves that.
    if !entry.pointee.isQueued { release(number) }
    entryCount -= 1
    masks[mask].users -= 1
    if masks[mask].users == 0 { removeMask(mask) }
  }

  private mutating func release(_ number: Int) {
    entries[number].hash = UInt32(bitPattern: firstFree)
    firstFree = Int32(number)
  }

  /// Takes an entry out of the index, and closes the gap in its probe run.
  private func unlink(_ number: Int, _ hash: UInt32) {
    var gap = Int(hash) & indexMask
    while index[gap] & 0xFFFF_FFFF != UInt64(number + 1) { gap = (gap + 1) & indexMask }
    index[gap] = 0
    var slot = (gap + 1) & indexMask
    while index[slot] != 0 {
      let home = Int(index[slot] >> 32) & indexMask
      if (slot - home) & indexMask >= (slot - gap) & indexMask {
        index[gap] = index[slot]
        index[slot] = 0
        gap = slot
      }
      slot = (slot + 1) & indexMask
    }
  }

  /// Forgets everything.
  mutating func removeAll() {
    for number in 0..<unused { remove(number) }
  }

  // MARK: Masks

  /// The number of a mask; that of all bits when there is no room for another.
  private mutating func maskNumber(_ words: FlowWords) -> Int {
    var words = words
    // The bridge always matters.
    words[FlowWord.inPort] |= 0xFFFF_FFFF_0000_0000
    let wanted = FlowMask(words)
    if let number = find(wanted) { return number }
    // The last place is kept for the mask of all bits.
    if maskCount < Self.maskCapacity - 1 { return add(wanted) }
    let all = FlowMask(.wholePacket)
    return find(all) ?? add(all)
  }

  private func find(_ wanted: FlowMask) -> Int? {
    for position in 0..<maskCount where wanted.isEqual(to: masks[Int(order[position])]) {
      return Int(order[position])
    }
    return nil
  }

  private mutating func add(_ mask: FlowMask) -> Int {
    var number = 0
    while masks[number].count > 0 { number += 1 }
    masks[number] = mask
    order[maskCount] = UInt8(number)
    maskCount += 1
    var words = union
    for place in 0..<mask.count { words[Int(mask.indices[place])] |= mask.bits[place] }
    setUnion(words)
    return number
  }

  private mutating func removeMask(_ number: Int) {
    masks[number] = FlowMask()
    var position = 0
    while Int(order[position]) != number { position += 1 }
    maskCount -= 1
    for later in position..<maskCount { order[later] = order[later + 1] }
    var words = InlineArray<16, UInt64>(repeating: 0)
    for position in 0..<maskCount {
      let mask = masks + Int(order[position])
      for place in 0..<mask.pointee.count {
        words[Int(mask.pointee.indices[place])] |= mask.pointee.bits[place]
      }
    }
    setUnion(words)
  }

  /// Puts the masks that found most first.
  private func sortMasks() {
    for position in stride(from: 1, to: maskCount, by: 1) {
      let number = order[position]
      var place = position
      while place > 0 && masks[Int(order[place - 1])].hits < masks[Int(number)].hits {
        order[place] = order[place - 1]
        place -= 1
      }
      order[place] = number
    }
    for position in 0..<maskCount { masks[Int(order[position])].hits /= 2 }
  }

  // MARK: In every turn

  static var agedOut: UInt64 { 10 }

  /// Some times a second: what was counted so far is to be passed on, and masks are put in order.
  mutating func beginRound() {
    queueTarget = queueTail
    sortMasks()
  }

  /// Whether `work` has something to do.
  @inline(__always)
  var hasWork: Bool { queueHead != queueTarget }

  /// Passes on what a few entries counted.
  @inline(never)
  mutating func work(limit: Int) {
    var left = limit
    while left > 0 && hasWork {
      takeFromQueue()
      left -= 1
    }
  }

  /// Before the thread sleeps: passes on all that was counted.
  mutating func finish() {
    queueTarget = queueTail
    work(limit: .max)
  }

  /// Passes on what the first entry of the ring counted, and has its flows refresh what they learned.
  private mutating func takeFromQueue() {
    let number = Int(queue[queueHead & (entryCapacity - 1)])
    if queueHead == queueTarget { queueTarget &+= 1 }
    queueHead &+= 1
    let entry = entries + number
    entry.pointee.isQueued = false
    guard entry.pointee.generation != 0 else { return release(number) }
    passOn(entry)
    guard let program = entry.pointee.program?.takeUnretainedValue(), !program.learned.isEmpty else { return }
    learned.submit(LearnedFlows.Request(bridge: program.bridge, flows: program.learned))
  }

  /// Forgets, of the next `limit` entries, those that nothing went by for `agedOut` seconds.
  mutating func age(limit: Int, at time: UInt64) {
    let oldest = Self.agedOut &* TSCClock.shared.cyclesPerSecond
    for _ in 0..<min(limit, unused) {
      if sweepCursor >= unused { sweepCursor = 0 }
      let entry = entries + sweepCursor
      if entry.pointee.generation != 0 && time > entry.pointee.lastUsed
        && time - entry.pointee.lastUsed > oldest
      {
        remove(sweepCursor)
      }
      sweepCursor += 1
    }
  }

  private func passOn(_ entry: UnsafeMutablePointer<FlowEntry>) {
    guard entry.pointee.packets > 0, let program = entry.pointee.program?.takeUnretainedValue() else {
      return
    }
    program.credit(
      packets: entry.pointee.packets, bytes: entry.pointee.bytes,
      at: TSCClock.shared.milliseconds(at: entry.pointee.lastUsed))
    entry.pointee.packets = 0
    entry.pointee.bytes = 0
  }
}

extension FlowMask {
  /// Of the frame's words only.
  init(_ words: FlowWords) {
    for word in 0..<FlowWords.packetCount where words[word] != 0 {
      indices[count] = UInt8(word)
      bits[count] = words[word]
      count += 1
    }
  }

  func isEqual(to other: FlowMask) -> Bool {
    guard count == other.count else { return false }
    for place in 0..<count where indices[place] != other.indices[place] || bits[place] != other.bits[place] {
      return false
    }
    return true
  }
}
