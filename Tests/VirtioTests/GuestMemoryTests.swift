import Seeded
import Glibc
import Linux
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

  @Test func piecesCoverExactlyTheBytesAskedFor() throws {
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

  @Test func lengthIsCheckedWithTheAddress() throws {
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

  @Test func tooManyPiecesAreRefused() throws {
    let (memory, _) = try makeMemory()
    let pieces = UnsafeMutablePointer<iovec>.allocate(capacity: 2)
    defer { pieces.deallocate() }
    #expect(memory.map.pieces(0x11000, 0x2000, into: pieces, capacity: 2) == 2)
    #expect(memory.map.pieces(0x11000, 0x2000, into: pieces, capacity: 1) == nil)
    #expect(memory.map.pieces(0x11000, 1, into: pieces, capacity: 0) == nil)
    #expect(memory.map.pieces(0x11000, 0, into: pieces, capacity: 0) == 0)
    #expect(memory.map.pieces(0x30000, 0, into: pieces, capacity: 2) == nil)
  }
}
