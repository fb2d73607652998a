import Glibc
import Linux
import Seeded
import Testing
import VirtioTesting

@testable import Virtio

/// Translation against a model that knows each byte's place: no address goes anywhere without its length.
@Suite struct GuestMemoryTests {
  /// Three regions of one file: the first two adjacent for the guest but not in the file, the third apart.
  private func makeMemory() throws -> (GuestMemory, [GuestRegionDescription]) {
    let file = try makeMemoryFile(name: "guest", size: 64 << 10)
    let regions = [
      GuestRegionDescription(
        guestAddress: 0x10000, size: 0x2000, userAddress: 0x7000_0000, fileOffset: 0x4000),
      GuestRegionDescription(guestAddress: 0x12000, size: 0x3000, userAddress: 0x7100_0000, fileOffset: 0),
      GuestRegionDescription(
        guestAddress: 0x20000, size: 0x1000, userAddress: 0x7200_0000, fileOffset: 0x8000),
    ]
    let memory = try GuestMemory(regions, files: [file.raw, file.raw, file.raw])
    return (memory, regions)
  }

  /// The host address of every guest byte, by translating each alone.
  private func byteMap(_ memory: GuestMemory, _ regions: [GuestRegionDescription]) -> [UInt64: UInt] {
    var map: [UInt64: UInt] = [:]
    for region in regions {
      for address in region.guestAddress..<region.guestAddress + region.size {
        map[address] = memory.map.translate(address, 1).map { UInt(bitPattern: $0) }
      }
    }
    return map
  }

  @Test func `Row 13: pieces cover exactly the bytes asked for, whatever regions they lie in`() throws {
    let (memory, regions) = try makeMemory()
    let model = byteMap(memory, regions)
    #expect(model.count == 0x6000)
    let pieces = UnsafeMutablePointer<iovec>.allocate(capacity: 4)
    defer { pieces.deallocate() }
    var generator = SeededRandom(seed: 1)
    for _ in 0..<300 {
      let address = UInt64.random(in: 0xF000..<0x22000, using: &generator)
      let length = UInt64.random(in: 1..<0x2800, using: &generator)
      let expected = (address..<address + length).map { model[$0] }
      guard let count = memory.map.pieces(address, length, into: pieces, capacity: 4) else {
        #expect(expected.contains(nil), "\(address) + \(length) was refused")
        continue
      }
      var found: [UInt?] = []
      for piece in 0..<count {
        let start = UInt(bitPattern: pieces[piece].iov_base)
        found += (start..<start + UInt(pieces[piece].iov_len)).map { $0 }
      }
      #expect(found == expected, "\(address) + \(length)")
    }
  }

  @Test func `Row 13: length is checked with the address`() throws {
    let (memory, _) = try makeMemory()
    let map = memory.map
    #expect(map.translate(0x10000, 0x2000) != nil)
    #expect(map.translate(0x10000, 0x2001) == nil)
    #expect(map.translate(0x14FFF, 1) != nil)
    #expect(map.translate(0x14FFF, 2) == nil)
    #expect(map.translate(0x15000, 1) == nil)
    #expect(map.translate(0x10000, .max) == nil)
    #expect(map.translate(.max, .max) == nil)
    #expect(map.translate(.max - 8, 16) == nil)
    #expect(map.translate(user: 0x7000_0000, 0x2000) == map.translate(0x10000, 0x2000))
    #expect(map.translate(user: 0x7000_0000, 0x2001) == nil)
    #expect(map.translate(user: 0x10000, 1) == nil)
  }

  @Test func `Row 13: more pieces than there is room for are refused`() throws {
    let (memory, _) = try makeMemory()
    let pieces = UnsafeMutablePointer<iovec>.allocate(capacity: 2)
    defer { pieces.deallocate() }
    #expect(memory.map.pieces(0x11000, 0x2000, into: pieces, capacity: 2) == 2)
    #expect(memory.map.pieces(0x11000, 0x2000, into: pieces, capacity: 1) == nil)
    #expect(memory.map.pieces(0x11000, 1, into: pieces, capacity: 0) == nil)
    #expect(memory.map.pieces(0x11000, 0, into: pieces, capacity: 0) == 0)
    #expect(memory.map.pieces(0x30000, 0, into: pieces, capacity: 2) == nil)
  }

  /// Many regions in any order, some adjacent: the search finds what a look at each would find.
  @Test func manyRegions() throws {
    var random = SeededRandom(seed: 7)
    let file = try makeMemoryFile(name: "guest", size: 4096)
    for count in [1, 2, 3, 17, 64, 300] {
      let pages = Set((0..<count).map { _ in UInt64.random(in: 0..<UInt64(2 * count), using: &random) })
      let regions = pages.enumerated().map { index, page in
        GuestRegionDescription(
          guestAddress: page << 12, size: 4096, userAddress: UInt64(index) << 13, fileOffset: 0)
      }
      let memory = try GuestMemory(regions, files: regions.map { _ in file.raw })
      let map = memory.map
      defer { withExtendedLifetime(memory) {} }
      for page in 0...UInt64(2 * count) {
        let region = regions.first { $0.guestAddress == page << 12 }
        let host = map.translate(page << 12, 4096)
        #expect(host == region.flatMap { map.translate(user: $0.userAddress, 4096) })
        #expect((host == nil) == !pages.contains(page))
        #expect(map.translate(page << 12 + 1, 4096) == nil)
        if let host {
          let found = map.guestAddress(host: UInt64(UInt(bitPattern: host)) + 100)
          #expect(found?.address == page << 12 + 100)
          #expect(found?.room == 3996)
        }
      }
    }
  }

  // MARK: slots

  @Test func `a region more or less leaves the mappings of the others alone`() throws {
    let (memory, regions) = try makeMemory()
    let file = try makeMemoryFile(name: "slot", size: 64 << 10)
    let slot = GuestRegionDescription(
      guestAddress: 0, size: 0x2000, userAddress: 0x7300_0000, fileOffset: 0x1000)
    let more = try memory.adding(slot, file: file.raw)
    #expect(more.descriptions == regions + [slot])
    #expect(more.map.translate(0x10000, 0x2000) == memory.map.translate(0x10000, 0x2000))
    #expect(more.map.translate(0, 0x2000) != nil)
    #expect(memory.map.translate(0, 1) == nil)
    // What is removed is known without its offset.
    var named = regions[1]
    named.fileOffset = 0x5000
    let less = try #require(more.removing(named))
    #expect(less.descriptions == [regions[0], regions[2], slot])
    #expect(less.map.translate(0x12000, 1) == nil)
    #expect(less.map.translate(0, 0x2000) == more.map.translate(0, 0x2000))
    #expect(less.removing(regions[0])?.removing(regions[2])?.removing(slot) == nil)
  }

  @Test func `Row 1: a region is added only if the whole table stays sound`() throws {
    let (memory, regions) = try makeMemory()
    let file = try makeMemoryFile(name: "slot", size: 0x2000)
    func refuse(_ guest: UInt64, _ size: UInt64, _ user: UInt64, _ offset: UInt64 = 0) {
      let region = GuestRegionDescription(
        guestAddress: guest, size: size, userAddress: user, fileOffset: offset)
      #expect(throws: GuestMemoryError.self) { try memory.adding(region, file: file.raw) }
    }
    refuse(0x14000, 0x1000, 0x7300_0000)
    refuse(0xF000, 0x2000, 0x7300_0000)
    refuse(0, 0x1000, 0x7000_1000)
    refuse(0, 0, 0x7300_0000)
    refuse(0, 0x3000, 0x7300_0000)
    refuse(0, 0x1000, 0x7300_0000, 0x2000)
    refuse(0, 0x1000, 0x7300_0000, .max - 0xFFF)
    refuse(0, 0x1001, 0x7300_0000)
    refuse(.max - 0xFFF, 0x1000, 0x7300_0000)
    for change in [\.guestAddress, \.userAddress, \.size] as [WritableKeyPath<GuestRegionDescription, UInt64>]
    {
      var region = regions[0]
      region[keyPath: change] += 0x1000
      #expect(memory.removing(region) === memory)
    }
  }

  @Test func `Row 1: there are not more regions than slots`() throws {
    let file = try makeMemoryFile(name: "slot", size: 4096)
    func region(_ index: Int) -> GuestRegionDescription {
      GuestRegionDescription(
        guestAddress: UInt64(index) << 12, size: 4096, userAddress: UInt64(index) << 12, fileOffset: 0)
    }
    var memory = try GuestMemory([region(0)], files: [file.raw])
    for index in 1..<GuestMemory.maximumRegions { memory = try memory.adding(region(index), file: file.raw) }
    #expect(throws: GuestMemoryError.self) {
      try memory.adding(region(GuestMemory.maximumRegions), file: file.raw)
    }
    #expect(memory.descriptions.count == GuestMemory.maximumRegions)
  }

  @Test func `Row 2: memory that came by a slot faults with the rest`() throws {
    let (memory, regions) = try makeMemory()
    let file = try makeMemoryFile(name: "slot", size: 4096)
    let slot = GuestRegionDescription(guestAddress: 0, size: 4096, userAddress: 0, fileOffset: 0)
    let less = try memory.adding(slot, file: file.raw).removing(regions[0])
    let map = try #require(less).map
    #expect(ftruncate(file.raw, 0) == 0)
    #expect(!map.hasFaulted)
    #expect(map.translate(0, 4096)!.load(as: UInt8.self) == 0)
    #expect(map.hasFaulted)
    withExtendedLifetime(less) {}
  }
}
