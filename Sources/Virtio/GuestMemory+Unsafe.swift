// The only door to guest RAM
// ==========================
//
// A front-end describes its guest's memory as a table of regions, each with a file to map. GuestMemory checks the
// whole table before it maps anything, and owns the mappings (GuardedMapping: they survive a truncated file). It never
// changes: with memory slots, each region that comes or goes makes another one, which shares the mappings of the rest.
//
// Poll threads translate through a GuestMemoryMap, a trivial copy. The control thread frees a GuestMemory only after
// every poll thread has let go of its copy (`PortEnvironment.synchronize`).

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
  /// What a front-end may add one by one. A whole table has as many regions as a message takes descriptors.
  public static let maximumRegions = 512

  // SAFETY: the publication owns what map and cell refer to, and the mappings what they translate to.
  /// For poll threads; valid while this object lives.
  public let map: GuestMemoryMap
  /// The same map, as poll threads hold it.
  public let published: UnsafePointer<PublishedMap>
  /// The regions as described.
  public let descriptions: [GuestRegionDescription]

  /// In the order of their guest addresses.
  let regions: [GuestRegion]
  private let mappings: [GuardedMapping]
  private let publication: MapPublication
  let fault: FaultFlag

  /// Maps `descriptions`, each from the file of the same index in `files`. On an error nothing stays mapped. The
  /// files may be closed afterwards.
  public convenience init(_ descriptions: [GuestRegionDescription], files: [Int32]) throws(GuestMemoryError) {
    guard files.count == descriptions.count else {
      throw GuestMemoryError(
        "a memory table of \(descriptions.count) regions came with \(files.count) file descriptors")
    }
    try Self.check(descriptions)
    let fault = FaultFlag()
    var mappings: [GuardedMapping] = []
    for (index, (description, file)) in zip(descriptions, files).enumerated() {
      mappings.append(try Self.mapping(description, file: file, index: index, fault: fault))
    }
    self.init(descriptions, mappings, fault)
  }

  private init(_ descriptions: [GuestRegionDescription], _ mappings: [GuardedMapping], _ fault: FaultFlag) {
    self.descriptions = descriptions
    self.mappings = mappings
    self.fault = fault
    let regions = zip(descriptions, mappings).map { description, mapping in
      GuestRegion(
        guestAddress: description.guestAddress, size: description.size,
        userAddress: description.userAddress, host: UInt64(UInt(bitPattern: mapping.start)))
    }
    self.regions = regions.sorted { $0.guestAddress < $1.guestAddress }
    publication = MapPublication(self.regions, fault: fault)
    map = publication.map
    published = publication.published
  }

  /// The same memory and one region more. On an error nothing has changed.
  public func adding(_ description: GuestRegionDescription, file: Int32) throws(GuestMemoryError)
    -> GuestMemory
  {
    try Self.check(descriptions + [description])
    let mapping = try Self.mapping(description, file: file, index: descriptions.count, fault: fault)
    return GuestMemory(descriptions + [description], mappings + [mapping], fault)
  }

  /// The same memory without one region, known by guest address, user address and size: nil when it was the last,
  /// this object when it is not there. The region is unmapped when all objects that share it are gone.
  public func removing(_ description: GuestRegionDescription) -> GuestMemory? {
    let index = descriptions.firstIndex {
      $0.guestAddress == description.guestAddress && $0.userAddress == description.userAddress
        && $0.size == description.size
    }
    guard let index else { return self }
    var (descriptions, mappings) = (descriptions, mappings)
    descriptions.remove(at: index)
    mappings.remove(at: index)
    return descriptions.isEmpty ? nil : GuestMemory(descriptions, mappings, fault)
  }

  /// Whether a page of the memory went away under an access.
  public var hasFaulted: Bool { map.hasFaulted }

  /// Whether some of it cannot be mapped in parts of 4 KiB.
  var hasHugePages: Bool { mappings.contains { $0.pageSize > 4096 } }

  /// The last guest-physical address that is memory.
  public var lastAddress: UInt64 { descriptions.map { $0.guestAddress + ($0.size - 1) }.max() ?? 0 }

  private static func mapping(
    _ description: GuestRegionDescription, file: Int32, index: Int, fault: FaultFlag
  ) throws(GuestMemoryError) -> GuardedMapping {
    try GuardedMapping(
      file, offset: description.fileOffset, size: description.size, "memory region \(index)", fault)
  }

  private static let pageSize: UInt64 = 4096

  /// Checks the table as a whole: counts, sizes, alignment, overflow, overlap.
  private static func check(_ descriptions: [GuestRegionDescription]) throws(GuestMemoryError) {
    guard (1...maximumRegions).contains(descriptions.count) else {
      throw GuestMemoryError(
        "a memory table has 1 to \(maximumRegions) regions, this one \(descriptions.count)")
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
