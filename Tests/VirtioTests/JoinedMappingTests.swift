import Glibc
import Linux
import Testing
import VirtioTesting

@testable import Virtio

/// Pages of guest memory mapped a second time, in the order a vIOMMU shows them.
@Suite final class JoinedMappingTests {
  private let file: FileDescriptor
  private let memory: GuestMemory
  private let cache: TranslationCache
  private static let user: UInt64 = 0x7000_0000

  init() throws {
    file = try makeMemoryFile(name: "guest", size: 64 << 12)
    memory = try GuestMemory(
      [
        .init(guestAddress: 0x40000, size: 32 << 12, userAddress: Self.user, fileOffset: 32 << 12),
        .init(guestAddress: 0, size: 32 << 12, userAddress: Self.user + 32 << 12, fileOffset: 0),
      ], files: [file.raw, file.raw])
    cache = TranslationCache(memory)
  }

  /// Shows `pages` (of user memory) in a row from `address` on.
  private func show(_ pages: [UInt64], at address: UInt64) throws {
    for (index, page) in pages.enumerated() {
      try cache.update(
        address + UInt64(index) << 12, size: 4096, user: Self.user + page << 12, [.read, .write])
    }
  }

  private func joined(_ address: UInt64, _ length: UInt64) throws -> JoinedMapping? {
    guard case .scattered(let pieces) = cache.translate(address, length, [.read, .write]) else { return nil }
    return cache.join(pieces)
  }

  @Test func `scattered pages are contiguous, and the same memory`() throws {
    let pages: [UInt64] = [7, 3, 4, 40, 2, 31, 32]
    try show(pages, at: 1 << 40)
    let mapping = try #require(try joined(1 << 40 + 0x123, 6 << 12 + 0x100))
    #expect(UInt(bitPattern: mapping.start) % 4096 == 0x123)
    for (index, page) in pages.enumerated() {
      let there = try #require(memory.map.translate(user: Self.user + page << 12, 4096))
      let here = mapping.start + (index << 12 - 0x123)
      if index > 0 {
        here.storeBytes(of: UInt8(index), as: UInt8.self)
        #expect(there.load(as: UInt8.self) == UInt8(index))
      }
      let offset = index == pages.count - 1 ? 0x222 : 4095
      there.storeBytes(of: UInt8(100 + index), toByteOffset: offset, as: UInt8.self)
      #expect((here + offset).load(as: UInt8.self) == UInt8(100 + index))
    }
  }

  @Test func `writes by the second mapping are logged where the memory is`() throws {
    // Page 33 of user memory is guest page 1; page 2 is guest page 0x42.
    try show([33, 2], at: 0)
    let mapping = try #require(try joined(0, 8192))
    let logFile = try makeMemoryFile(name: "log", size: 4096)
    let view = try Mapping(shared: logFile.raw, length: 4096)
    let logMapping = try DirtyLogMapping(logFile.raw, offset: 0, size: 4096)
    let log = try #require(logMapping.log(for: memory, [mapping]))
    log.mark(mapping.start + 4095, 2)
    #expect(view.base.load(fromByteOffset: 0, as: UInt8.self) == 1 << 1)
    #expect(view.base.load(fromByteOffset: 8, as: UInt8.self) == 1 << 2)
    log.mark(try #require(memory.map.translate(5 << 12, 1)), 1)
    #expect(view.base.load(fromByteOffset: 0, as: UInt8.self) == 1 << 1 | 1 << 5)
    logMapping.forgetLogs()
  }

  @Test func `pieces that are no whole pages stay apart`() throws {
    try show([1, 5], at: 0)
    try cache.update(8192, size: 100, user: Self.user + 9 << 12, [.read, .write])
    try cache.update(8292, size: 100, user: Self.user + 11 << 12, [.read, .write])
    #expect(try joined(0, 8192 + 100) != nil)
    #expect(try joined(0, 8192 + 200) == nil)
    #expect(try joined(8192, 200) == nil)
    #expect(cache.join([]) == nil)
    #expect(cache.join([.init(host: 4096, length: 4096)]) == nil)
    #expect(TranslationCache(nil).join([.init(host: 4096, length: 4096)]) == nil)
  }

  @Test func `Row 2: a file truncated under the second mapping raises the memory's flag`() throws {
    try show([9, 1], at: 0)
    let mapping = try #require(try joined(0, 8192))
    #expect(ftruncate(file.raw, 0) == 0)
    #expect(!memory.hasFaulted)
    #expect(mapping.start.load(as: UInt8.self) == 0)
    #expect(memory.hasFaulted)
    // What has been covered so is not the guest's memory any more, and is not mapped again.
    _ = memory.map.translate(user: Self.user, 1)!.load(as: UInt8.self)
    #expect(try joined(0, 8192) == nil)
  }
}
