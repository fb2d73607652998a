import Synchronization

/// Owns a table of regions, the map over it, and the cell by which poll threads find that map.
final class MapPublication {
  let map: GuestMemoryMap
  let published: UnsafePointer<PublishedMap>
  private var current: MapTable
  private let cell: UnsafeMutablePointer<PublishedMap>

  /// - Parameter regions: in the order of their guest addresses, none overlapping another.
  convenience init(_ regions: [GuestRegion], fault: FaultFlag) {
    self.init(MapTable(regions, fault: fault, isTranslated: false))
  }

  // SAFETY: the cell refers to a map that lives as long as this object, or until another was published.
  init(_ table: MapTable) {
    current = table
    map = table.map.pointee
    cell = .allocate(capacity: 1)
    cell.initialize(to: PublishedMap(table.map))
    published = UnsafePointer(cell)
  }

  /// Poll threads use `table` from their next turn on. Returns the table they may still be using.
  func publish(_ table: MapTable) -> MapTable {
    defer { current = table }
    cell.pointee.publish(table.map)
    return current
  }

  deinit {
    cell.deinitialize(count: 1)
    cell.deallocate()
  }
}

/// A table of regions and the map over it.
final class MapTable {
  let map: UnsafePointer<GuestMemoryMap>
  private let regions: UnsafeMutablePointer<GuestRegion>
  private let starts: UnsafeMutablePointer<UInt64>
  private let cell: UnsafeMutablePointer<GuestMemoryMap>
  /// The flag the map refers to lives as long.
  private let fault: FaultFlag

  // SAFETY: `regions` and `starts` have one initialised element for each of the array's, and live as long as the map over
  // them.
  init(_ array: [GuestRegion], fault: FaultFlag, isTranslated: Bool, edition: UInt64 = 0) {
    regions = .allocate(capacity: array.count)
    starts = .allocate(capacity: array.count)
    var hot = GuestRegion(guestAddress: 0, size: 0, userAddress: 0, host: 0)
    for (index, region) in array.enumerated() {
      (regions + index).initialize(to: region)
      (starts + index).initialize(to: region.guestAddress)
      if region.size > hot.size { hot = region }
    }
    cell = .allocate(capacity: 1)
    cell.initialize(
      to: GuestMemoryMap(
        regions: UnsafePointer(regions), starts: UnsafePointer(starts), count: array.count, hot: hot,
        fault: UnsafePointer(fault.word), isTranslated: isTranslated, edition: edition))
    map = UnsafePointer(cell)
    self.fault = fault
  }

  deinit {
    cell.deallocate()
    starts.deallocate()
    regions.deallocate()
  }
}
