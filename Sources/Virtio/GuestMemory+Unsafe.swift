// The only door to guest RAM
// ==========================
//
// A front-end describes its guest's memory as a table of regions, each with a file to map. GuestMemory checks the
// whole table before it maps anything, owns the mappings, and registers them with the SIGBUS guard: the file's owner
// can truncate it whenever he likes, and touching a page that went away must stop that one port, never the process.
//
// Poll threads translate through a GuestMemoryMap, a trivial copy. The control thread frees a GuestMemory only after
// every poll thread has let go of its copy (`PortEnvironment.synchronize`).

import CLinux
import Glibc
import Linux
import Synchronization

/// One region as a front-end describes it (vhost-user, "Memory region description"). All in bytes.
public struct GuestRegionDescription: Equatable, Sendable {
  public var guestAddress: UInt64
  public var size: UInt64
  public var userAddress: UInt64
  /// Where the region begins in its file.
  public var fileOffset: UInt64

  public init(guestAddress: UInt64, size: UInt64, userAddress: UInt64, fileOffset: UInt64) {
    self.guestAddress = guestAddress
    self.size = size
    self.userAddress = userAddress
    self.fileOffset = fileOffset
  }
}

/// Why a memory table was refused.
public struct GuestMemoryError: Error, Equatable, CustomStringConvertible {
  public let description: String
  init(_ description: String) { self.description = description }
}

/// The mappings of one guest's memory.
public final class GuestMemory {
  public static let maximumRegions = 64

  /// For poll threads; valid while this object lives.
  public let map: GuestMemoryMap
  /// The same map, as poll threads hold it.
  public let published: UnsafePointer<PublishedMap>
  /// The regions as described.
  public let descriptions: [GuestRegionDescription]

  private let mappings: [RegionMapping]
  private let table: UnsafeMutablePointer<GuestRegion>
  private let publication:
    (map: UnsafeMutablePointer<GuestMemoryMap>, cell: UnsafeMutablePointer<PublishedMap>)
  private let fault: FaultFlag

  /// Maps `descriptions`, each from the file of the same index in `files`. On an error nothing stays mapped. The
  /// files may be closed afterwards.
  // SAFETY: `table` has one initialised element for each region and lives as long as `map`'s owner.
  public init(_ descriptions: [GuestRegionDescription], files: [Int32]) throws(GuestMemoryError) {
    try Self.check(descriptions, files: files)
    let fault = FaultFlag()
    var mappings: [RegionMapping] = []
    for (index, (description, file)) in zip(descriptions, files).enumerated() {
      mappings.append(try RegionMapping(description, file: file, index: index, fault: fault))
    }
    let table = UnsafeMutablePointer<GuestRegion>.allocate(capacity: descriptions.count)
    var hot = GuestRegion(guestAddress: 0, size: 0, userAddress: 0, host: 0)
    for (index, (description, mapping)) in zip(descriptions, mappings).enumerated() {
      let region = GuestRegion(
        guestAddress: description.guestAddress, size: description.size,
        userAddress: description.userAddress, host: UInt64(UInt(bitPattern: mapping.start)))
      (table + index).initialize(to: region)
      if region.size > hot.size { hot = region }
    }
    self.descriptions = descriptions
    self.mappings = mappings
    self.table = table
    self.fault = fault
    map = GuestMemoryMap(
      regions: UnsafePointer(table), count: descriptions.count, hot: hot,
      fault: UnsafePointer(fault.word))
    publication = (.allocate(capacity: 1), .allocate(capacity: 1))
    publication.map.initialize(to: map)
    publication.cell.initialize(to: PublishedMap(publication.map))
    published = UnsafePointer(publication.cell)
  }

  deinit {
    publication.cell.deinitialize(count: 1)
    publication.cell.deallocate()
    publication.map.deallocate()
    table.deallocate()
  }

  /// Whether a page of the memory went away under an access.
  public var hasFaulted: Bool { map.hasFaulted }

  private static let pageSize: UInt64 = 4096

  /// Checks the table as a whole: counts, sizes, alignment, overflow, overlap.
  private static func check(_ descriptions: [GuestRegionDescription], files: [Int32]) throws(GuestMemoryError)
  {
    guard (1...maximumRegions).contains(descriptions.count) else {
      throw GuestMemoryError(
        "a memory table has 1 to \(maximumRegions) regions, this one \(descriptions.count)")
    }
    guard files.count == descriptions.count else {
      throw GuestMemoryError(
        "a memory table of \(descriptions.count) regions came with \(files.count) file descriptors")
    }
    for (index, region) in descriptions.enumerated() {
      let addresses = [region.guestAddress, region.userAddress, region.fileOffset]
      guard region.size > 0 else { throw GuestMemoryError("memory region \(index) is empty") }
      guard (addresses + [region.size]).allSatisfy({ $0 % pageSize == 0 }) else {
        throw GuestMemoryError("memory region \(index) is not aligned to \(pageSize) bytes")
      }
      guard addresses.allSatisfy({ !$0.addingReportingOverflow(region.size).overflow }) else {
        throw GuestMemoryError("memory region \(index) ends beyond the address space")
      }
    }
    try checkOverlap(descriptions, "guest", \.guestAddress)
    try checkOverlap(descriptions, "front-end", \.userAddress)
  }

  private static func checkOverlap(
    _ descriptions: [GuestRegionDescription], _ kind: String,
    _ address: (GuestRegionDescription) -> UInt64
  ) throws(GuestMemoryError) {
    let sorted = descriptions.sorted { address($0) < address($1) }
    for (lower, upper) in zip(sorted, sorted.dropFirst())
    where address(upper) - address(lower) < lower.size {
      throw GuestMemoryError("two memory regions overlap at \(kind) address \(address(upper))")
    }
  }
}

/// The word a SIGBUS handler raises; shared by all regions of one memory.
private final class FaultFlag {
  let word: UnsafeMutablePointer<Atomic<UInt32>>

  init() {
    word = .allocate(capacity: 1)
    word.initialize(to: Atomic(0))
  }

  deinit { word.deallocate() }
}

/// One mapped region, guarded while it lives.
private final class RegionMapping {
  /// The region's first byte; the mapping may begin before it.
  let start: UnsafeMutableRawPointer
  private let base: UnsafeMutableRawPointer
  private let length: Int
  private let slot: Int32
  private let fault: FaultFlag

  // SAFETY: the file is a regular one that covers the region when it is mapped; should it shrink, the guard covers
  // the mapping with zero pages. The flag outlives the registration because this object holds it.
  init(_ description: GuestRegionDescription, file: Int32, index: Int, fault: FaultFlag)
    throws(GuestMemoryError)
  {
    let granule = try Self.granule(description, file, index)
    let offset = description.fileOffset & ~(granule - 1)
    let (end, overflow) = (description.fileOffset + description.size).addingReportingOverflow(granule - 1)
    guard !overflow, let length = Int(exactly: (end & ~(granule - 1)) - offset),
      let fileOffset = off_t(exactly: offset)
    else { throw GuestMemoryError("memory region \(index) ends beyond the address space") }
    guard cl_guest_fault_install() == 0 else {
      throw GuestMemoryError("the guard for truncated guest memory cannot be installed")
    }
    let flags = MAP_SHARED | MAP_NORESERVE
    guard let base = mmap(nil, length, PROT_READ | PROT_WRITE, flags, file, fileOffset), base != MAP_FAILED
    else {
      throw GuestMemoryError(
        "memory region \(index) cannot be mapped: \(SystemError.last("map").reason)")
    }
    let slot = fault.word.withMemoryRebound(to: UInt32.self, capacity: 1) {
      cl_guest_fault_register(base, length, $0)
    }
    guard slot >= 0 else {
      munmap(base, length)
      throw GuestMemoryError("more than \(CL_GUEST_FAULT_SLOTS) guest memory regions are mapped")
    }
    self.base = base
    self.length = length
    self.slot = slot
    self.fault = fault
    start = base + Int(truncatingIfNeeded: description.fileOffset &- offset)
  }

  deinit {
    cl_guest_fault_unregister(slot)
    munmap(base, length)
  }

  /// What offset and length of a mapping must be multiples of: the page size of the file (huge pages).
  private static func granule(_ description: GuestRegionDescription, _ file: Int32, _ index: Int)
    throws(GuestMemoryError) -> UInt64
  {
    var status = stat()
    guard fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
      throw GuestMemoryError("memory region \(index) came with a descriptor that is not a memory file")
    }
    guard let size = UInt64(exactly: status.st_size),
      description.fileOffset + description.size <= size
    else {
      throw GuestMemoryError("memory region \(index) is larger than its file of \(status.st_size) bytes")
    }
    let block = UInt64(max(4096, status.st_blksize))
    return block & (block - 1) == 0 ? block : 4096
  }
}
