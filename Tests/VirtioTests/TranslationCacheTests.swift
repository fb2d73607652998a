import Glibc
import Linux
import Seeded
import Testing
import VirtioTesting

@testable import Virtio

/// Translations against a model that knows each 256 bytes' place.
@Suite struct TranslationCacheTests {
  private static let granule: UInt64 = 256
  private static let count = 1024

  /// What is known of 256 bytes.
  private struct Known: Equatable {
    var host: UInt64
    var permissions: TranslationCache.Permissions
  }

  private func makeMemory() throws -> GuestMemory {
    let file = try makeMemoryFile(name: "guest", size: 1 << 20)
    return try GuestMemory(
      [
        .init(guestAddress: 0, size: 0x80000, userAddress: 0x7000_0000, fileOffset: 0x80000),
        .init(guestAddress: 0x80000, size: 0x80000, userAddress: 0x9000_0000, fileOffset: 0),
      ], files: [file.raw, file.raw])
  }

  private func host(_ memory: GuestMemory, _ user: UInt64) -> UInt64 {
    UInt64(UInt(bitPattern: memory.map.translate(user: user, 1)))
  }

  /// Random updates and invalidations, at the beginning and at the end of the addresses there are.
  @Test(arguments: [0, UInt64.max - 256 * 1024 + 1], [1, 2] as [UInt64])
  func `the cache and its maps know what was said last`(_ base: UInt64, _ seed: UInt64) throws {
    let memory = try makeMemory()
    let cache = TranslationCache(memory)
    var model = [Known?](repeating: nil, count: Self.count)
    var random = SeededRandom(seed: seed)
    for _ in 0..<600 {
      let first = Int.random(in: 0..<Self.count, using: &random)
      let length = Int.random(in: 1...min(Self.count - first, 64), using: &random)
      let address = base + UInt64(first) * Self.granule
      let size = UInt64(length) * Self.granule
      if Int.random(in: 0..<3, using: &random) == 0 {
        let known = model[first..<first + length].contains { $0 != nil }
        #expect(cache.invalidate(address, address + (size - 1)) == known)
        for index in first..<first + length { model[index] = nil }
      } else {
        // Half of them lead where the neighbours do, so that they are joined.
        let isLinear = Bool.random(using: &random)
        let offset = UInt64(isLinear ? first : Int.random(in: 0..<Self.count, using: &random)) * Self.granule
        let user = 0x7000_0000 + offset
        let permissions = TranslationCache.Permissions(rawValue: UInt8.random(in: 1...3, using: &random))
        try cache.update(address, size: size, user: user, permissions)
        for index in 0..<length {
          model[first + index] = Known(
            host: host(memory, user) + UInt64(index) * Self.granule, permissions: permissions)
        }
      }
      cache.publish()
      cache.release()
      checkEntries(cache, base, model)
      try checkLookups(cache, base, model, &random)
    }
  }

  /// Entries are in order, disjoint, and say what the model says.
  private func checkEntries(_ cache: TranslationCache, _ base: UInt64, _ model: [Known?]) {
    var found = [Known?](repeating: nil, count: Self.count)
    for entry in cache.entries {
      for index in Int((entry.first - base) / Self.granule)...Int((entry.last - base) / Self.granule) {
        #expect(found[index] == nil)
        let offset = base + UInt64(index) * Self.granule - entry.first
        found[index] = Known(host: entry.host + offset, permissions: entry.permissions)
      }
    }
    #expect(found == model)
    for (lower, upper) in zip(cache.entries, cache.entries.dropFirst()) { #expect(lower.last < upper.first) }
  }

  private func checkLookups(
    _ cache: TranslationCache, _ base: UInt64, _ model: [Known?], _ random: inout SeededRandom
  ) throws {
    for _ in 0..<8 {
      let first = Int.random(in: 0..<Self.count, using: &random)
      let length = Int.random(in: 1...min(Self.count - first, 24), using: &random)
      let address = base + UInt64(first) * Self.granule
      let size = UInt64(length) * Self.granule
      for wanted: TranslationCache.Permissions in [.read, .write, [.read, .write]] {
        let known = model[first..<first + length].map {
          $0?.permissions.isSuperset(of: wanted) == true ? $0 : nil
        }
        let isContiguous = zip(known, known.dropFirst()).allSatisfy {
          $0 != nil && $0!.host + Self.granule == $1?.host
        }
        switch cache.translate(address, size, wanted) {
        case .found(let place):
          #expect(known[0]?.host == UInt64(UInt(bitPattern: place)) && isContiguous)
        case .scattered(let pieces):
          #expect(!known.contains(nil) && !isContiguous)
          #expect(
            pieces.flatMap { piece in
              stride(from: piece.host, to: piece.host + piece.length, by: Int(Self.granule)).map { $0 }
            } == known.map { $0!.host })
        case .missing(let addresses):
          let missing = (0..<length).filter { known[$0] == nil }.map { address + UInt64($0) * Self.granule }
          #expect(Set(missing.map { $0 >> 12 }) == Set(addresses.map { $0 >> 12 }))
          #expect(addresses.allSatisfy { at in missing.contains { $0 <= at && at - $0 < Self.granule } })
        }
      }
      for (published, wanted) in [
        (cache.readable, TranslationCache.Permissions.read), (cache.writable, .write),
      ] {
        let map = published.pointee.current
        #expect(map.isTranslated)
        let known = model[first]?.permissions.contains(wanted) == true ? model[first] : nil
        #expect(map.translate(address, Self.granule).map { UInt64(UInt(bitPattern: $0)) } == known?.host)
      }
    }
  }

  @Test func `neighbours that continue each other are one entry, in whatever order they come`() throws {
    let cache = TranslationCache(try makeMemory())
    for page in [3, 1, 0, 2, 5, 4] as [UInt64] {
      try cache.update(page << 12, size: 4096, user: 0x7000_0000 + page << 12, [.read, .write])
    }
    #expect(cache.count == 1)
    // Another permission, and another place, are other entries.
    try cache.update(6 << 12, size: 4096, user: 0x7000_6000, .read)
    try cache.update(7 << 12, size: 4096, user: 0x7000_0000, .read)
    #expect(cache.count == 3)
    #expect(cache.invalidate(1 << 12, 2 << 12 - 1))
    #expect(cache.count == 4)
  }

  @Test func `Row 9: a cache is bounded, and what was just said stays`() throws {
    let cache = TranslationCache(try makeMemory(), capacity: 100)
    var random = SeededRandom(seed: 3)
    for _ in 0..<2000 {
      let address = UInt64.random(in: 0..<1 << 40, using: &random) << 12
      try cache.update(address, size: 4096, user: 0x7000_0000, .read)
      #expect(cache.count <= 100)
      guard case .found = cache.translate(address, 4096, .read) else {
        Issue.record("the newest was evicted")
        return
      }
    }
    // One that is split by another makes three.
    let cache3 = TranslationCache(try makeMemory(), capacity: 2)
    try cache3.update(0, size: 0x3000, user: 0x7000_0000, .read)
    try cache3.update(0x1000, size: 0x1000, user: 0x7000_0000, .write)
    #expect(cache3.count == 2)
  }

  @Test func `Row 9: a translation to anywhere but guest memory is refused`() throws {
    let cache = TranslationCache(try makeMemory())
    func refuse(_ address: UInt64, _ size: UInt64, _ user: UInt64) {
      #expect(throws: GuestMemoryError.self) { try cache.update(address, size: size, user: user, .read) }
    }
    refuse(0, 0, 0x7000_0000)
    refuse(0, 4096, 0)
    refuse(0, 0x80001, 0x7000_0000)
    refuse(0, .max, 0x7000_0000)
    refuse(.max, 2, 0x7000_0000)
    refuse(0, 4096, .max)
    refuse(0, 2, 0x7007_FFFF)
    #expect(cache.count == 0)
    #expect(throws: GuestMemoryError.self) {
      try TranslationCache(nil).update(0, size: 4096, user: 0x7000_0000, .read)
    }
    try cache.update(.max, size: 1, user: 0x7007_FFFF, .read)
    #expect(cache.count == 1)
    // No permission at all takes it back.
    try cache.update(.max, size: 1, user: 0x7007_FFFF, [])
    #expect(cache.count == 0)
  }

  @Test func `poll threads keep the map they loaded until it is released`() throws {
    let cache = TranslationCache(try makeMemory())
    try cache.update(0x1000, size: 4096, user: 0x7000_0000, [.read, .write])
    #expect(cache.readable.pointee.current.translate(0x1000, 1) == nil, "not published yet")
    cache.publish()
    let before = cache.readable.pointee.current
    #expect(before.translate(0x1000, 4096) != nil)
    #expect(cache.invalidate(0, .max))
    #expect(before.translate(0x1000, 1) != nil)
    #expect(cache.retiredCount > 0)
    cache.publish()
    #expect(before.translate(0x1000, 1) != nil, "a turn that began before may still use it")
    #expect(cache.readable.pointee.current.translate(0x1000, 1) == nil)
    #expect(cache.writable.pointee.current.translate(0x1000, 1) == nil)
    cache.release()
    #expect(cache.retiredCount == 0)
    #expect(!cache.invalidate(0, .max))
  }
}
