import Glibc
import Linux
import Seeded
import Testing
import VirtioTesting

@testable import Virtio

/// Every page that was written has its bit, and nothing else is touched.
@Suite final class DirtyLogTests {
  private let file: FileDescriptor
  private let view: Mapping
  private static let fileSize = 16384
  private static let offset = 4096 + 24

  init() throws {
    file = try makeMemoryFile(name: "log", size: Self.fileSize)
    view = try Mapping(shared: file.raw, length: Self.fileSize)
  }

  /// Two regions, contiguous for the guest and at random here, and one far above.
  private func makeMemory() throws -> GuestMemory {
    let file = try makeMemoryFile(name: "guest", size: 1 << 20)
    let regions: [GuestRegionDescription] = [
      .init(guestAddress: 0x40000, size: 0x40000, userAddress: 0x7000_0000, fileOffset: 0x40000),
      .init(guestAddress: 0, size: 0x40000, userAddress: 0x7100_0000, fileOffset: 0),
      .init(guestAddress: 0x100_0000, size: 0x20000, userAddress: 0x7200_0000, fileOffset: 0x80000),
    ]
    return try GuestMemory(regions, files: regions.map { _ in file.raw })
  }

  /// Bits set in the log, by page, and bytes that are not zero outside.
  private func marked(_ size: Int) -> (pages: Set<UInt64>, strayBytes: Int) {
    var pages: Set<UInt64> = []
    var stray = 0
    for position in 0..<Self.fileSize {
      let byte = view.base.load(fromByteOffset: position, as: UInt8.self)
      if byte == 0 { continue }
      guard (Self.offset..<Self.offset + size).contains(position) else {
        stray += 1
        continue
      }
      for bit in 0..<8 where byte >> UInt8(bit) & 1 == 1 {
        pages.insert(UInt64((position - Self.offset) * 8 + bit))
      }
    }
    return (pages, stray)
  }

  @Test func `Row 8: writes are logged page by page, from the offset on`() throws {
    let memory = try makeMemory()
    let size = 0x102_0000 / 4096 / 8
    let mapping = try DirtyLogMapping(file.raw, offset: UInt64(Self.offset), size: UInt64(size))
    let log = try #require(mapping.log(for: memory))
    defer { withExtendedLifetime((mapping, memory)) {} }
    var expected: Set<UInt64> = []
    var random = SeededRandom(seed: 5)
    for _ in 0..<200 {
      let region = memory.descriptions.randomElement(using: &random)!
      let start = UInt64.random(in: 0..<region.size, using: &random)
      let length = UInt64.random(in: 0...min(70_000, region.size - start), using: &random)
      let host = try #require(memory.map.translate(region.guestAddress + start, length))
      log.mark(host, Int(length))
      let guest = region.guestAddress + start
      if length > 0 { expected.formUnion(guest >> 12...(guest + length - 1) >> 12) }
      #expect(marked(size) == (expected, 0))
    }
    // What is no guest memory has no page.
    log.mark(view.base, 100)
    log.mark(UnsafeRawPointer(bitPattern: 1)!, .max)
    log.mark(memory.map.translate(0, 1)!, 0)
    log.mark(memory.map.translate(0, 1)!, -1)
    #expect(marked(size) == (expected, 0))
  }

  @Test func `Row 8: a log that does not cover the guest's last page is none`() throws {
    let memory = try makeMemory()
    let exact = UInt64(0x102_0000 / 4096 / 8)
    #expect(try DirtyLogMapping(file.raw, offset: 0, size: exact - 1).log(for: memory) == nil)
    #expect(try DirtyLogMapping(file.raw, offset: 0, size: exact).log(for: memory) != nil)
    // Even bits the log does not have are not written, whatever the memory says.
    let small = DirtyLog(
      bits: view.base + Self.offset, pageCount: 13, memory: memory.map, fault: memory.map.fault)
    small.mark(memory.map.translate(0, 0x40000)!, 0x40000)
    #expect(marked(2) == (Set(0..<13), 0))
  }

  @Test func `Row 8: offset and size are checked against the file, without overflow`() throws {
    func refuse(_ offset: UInt64, _ size: UInt64) {
      #expect(throws: GuestMemoryError.self) { try DirtyLogMapping(file.raw, offset: offset, size: size) }
    }
    refuse(0, 0)
    refuse(0, UInt64(Self.fileSize) + 1)
    refuse(UInt64(Self.fileSize), 1)
    refuse(1, UInt64(Self.fileSize))
    refuse(.max, 1)
    refuse(.max, .max)
    refuse(1, .max)
    refuse(1 << 63, 1 << 63)
    refuse(4096, .max - 4095)
    _ = try DirtyLogMapping(file.raw, offset: UInt64(Self.fileSize) - 1, size: 1)
    let event = try EventFD()
    #expect(throws: GuestMemoryError.self) { try DirtyLogMapping(event.raw, offset: 0, size: 8) }
  }

  @Test func `Row 2: a log that is truncated while it is written raises its flag`() throws {
    let memory = try makeMemory()
    let mapping = try DirtyLogMapping(file.raw, offset: 0, size: UInt64(Self.fileSize))
    let log = try #require(mapping.log(for: memory))
    defer { withExtendedLifetime((mapping, memory)) {} }
    #expect(!log.hasFaulted)
    #expect(ftruncate(file.raw, 0) == 0)
    log.mark(try #require(memory.map.translate(0x100_0000, 1)), 1)
    #expect(log.hasFaulted)
    #expect(!memory.hasFaulted)
  }

  /// Bits of one byte set by two threads at once: a plain read and write would lose some.
  @Test func `threads that share a byte lose no bit`() throws {
    let memory = try makeMemory()
    let size = 0x102_0000 / 4096 / 8
    let mapping = try DirtyLogMapping(file.raw, offset: UInt64(Self.offset), size: UInt64(size))
    let log = try #require(mapping.log(for: memory))
    defer { withExtendedLifetime((mapping, memory)) {} }
    func thread(_ parity: Int) throws -> Thread {
      let hosts = (0..<64).map { UInt(bitPattern: memory.map.translate(UInt64(2 * $0 + parity) << 12, 1)) }
      let shared = Shared(log: log)
      return try Thread(name: "log") {
        for host in hosts { shared.log.mark(UnsafeRawPointer(bitPattern: host)!, 1) }
      }
    }
    for _ in 0..<50 {
      memset(view.base, 0, Self.fileSize)
      let even = try thread(0)
      let odd = try thread(1)
      even.join()
      odd.join()
      #expect(marked(size) == (Set(0..<128), 0))
    }
  }

  private struct Shared: @unchecked Sendable { let log: DirtyLog }
}
