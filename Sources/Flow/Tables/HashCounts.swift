/// A set of hashes that counts how often each was added: what tells a search early that no rule agrees with a frame in
/// the first few fields. Open addressing with linear probing; empty places are 0.
struct HashCounts {
  /// A hash in the upper half, never 0; its count in the lower.
  private var entries: ContiguousArray<UInt64> = [0, 0, 0, 0]
  private var used = 0

  private var mask: Int { entries.count - 1 }

  @inline(__always)
  func contains(_ hash: UInt32) -> Bool {
    let mask = entries.count &- 1
    var place = Int(hash) & mask
    while true {
      let entry = entries[place]
      if entry == 0 { return false }
      if UInt32(truncatingIfNeeded: entry >> 32) == hash { return true }
      place = (place &+ 1) & mask
    }
  }

  mutating func insert(_ hash: UInt32) {
    let place = find(hash)
    if entries[place] != 0 {
      entries[place] += 1
      return
    }
    entries[place] = UInt64(hash) << 32 | 1
    used += 1
    if used * 4 > entries.count * 3 { resize(to: entries.count * 2) }
  }

  mutating func remove(_ hash: UInt32) {
    let place = find(hash)
    guard entries[place] != 0 else { return }
    if UInt32(truncatingIfNeeded: entries[place]) > 1 {
      entries[place] -= 1
      return
    }
    used -= 1
    close(place)
    if entries.count > 4 && used * 8 < entries.count { resize(to: entries.count / 2) }
  }

  /// Where `hash` is, or the empty place where it would be.
  private func find(_ hash: UInt32) -> Int {
    var place = Int(hash) & mask
    while entries[place] != 0 && UInt32(truncatingIfNeeded: entries[place] >> 32) != hash {
      place = (place + 1) & mask
    }
    return place
  }

  /// Empties a place, and moves up what would not be found behind it any longer.
  private mutating func close(_ place: Int) {
    var hole = place
    var next = (place + 1) & mask
    while entries[next] != 0 {
      let home = Int(entries[next] >> 32) & mask
      if (next &- home) & mask >= (next &- hole) & mask {
        entries[hole] = entries[next]
        hole = next
      }
      next = (next + 1) & mask
    }
    entries[hole] = 0
  }

  private mutating func resize(to capacity: Int) {
    let old = entries
    entries = ContiguousArray(repeating: 0, count: capacity)
    for entry in old where entry != 0 { entries[find(UInt32(truncatingIfNeeded: entry >> 32))] = entry }
  }
}
