// Translations of a vIOMMU
// ========================
//
// Behind a vIOMMU a guest's driver names buffers by I/O virtual addresses, and the front-end says page by page which of
// its own addresses they are (vhost-user, "IOTLB message"). The cache keeps what it said as disjoint ranges in the order
// of their addresses, neighbours that continue each other joined. A new range replaces what it overlaps.
//
// Poll threads do not look here. `publish` makes two maps of it, what may be read and what may be written, that they
// find from their next turn on. The maps before stay until `release`: to be called only when every poll thread has
// finished its turn since. So an invalidation is `invalidate`, `publish`, wait for the poll threads, `release`.
//
// The cache is bounded. A translation that gives way to others is asked for again when it is needed.

import Synchronization

public final class TranslationCache {
  /// What the guest lets the device do (`VHOST_ACCESS_RO`, `VHOST_ACCESS_WO`).
  public struct Permissions: OptionSet, Sendable, Hashable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    public static let read = Permissions(rawValue: 1)
    public static let write = Permissions(rawValue: 2)
  }

  /// What became of a range that was looked up.
  public enum Lookup: Equatable {
    case found(UnsafeMutableRawPointer)
    /// Parts of it are not translated, or not with these permissions: the first address of each such 4 KiB page.
    case missing([UInt64])
    /// It is translated, but to pieces of guest memory that are not adjacent in this process: see `JoinedMapping`.
    case scattered([JoinedMapping.Piece])
  }

  struct Entry: Equatable {
    var first: UInt64
    /// The last address, so that a range may end where addresses do.
    var last: UInt64
    var host: UInt64
    var permissions: Permissions
  }

  /// Ranges kept at most.
  public let capacity: Int
  /// For poll threads; valid while this object lives.
  public var readable: UnsafePointer<PublishedMap> { readers.published }
  public var writable: UnsafePointer<PublishedMap> { writers.published }
  /// Something is not published yet.
  public private(set) var hasChanges = false

  private(set) var entries: [Entry] = []
  private let memory: GuestMemory?
  private let fault: FaultFlag
  private let readers: MapPublication
  private let writers: MapPublication
  private var retired: [MapTable] = []
  private var victim = 0
  private var edition: UInt64 = 0

  /// - Parameter memory: what translations lead to. For other memory there is another cache.
  public init(_ memory: GuestMemory?, capacity: Int = 32_768) {
    self.memory = memory
    self.capacity = capacity
    fault = memory?.fault ?? FaultFlag()
    readers = MapPublication(MapTable([], fault: fault, isTranslated: true))
    writers = MapPublication(MapTable([], fault: fault, isTranslated: true))
  }

  public var count: Int { entries.count }

  /// Maps that poll threads may still be using.
  public var retiredCount: Int { retired.count }

  // MARK: changes

  /// Translates the `size` bytes from `address` on to the front-end's own address `user`. Without permissions they
  /// are translated no longer.
  public func update(_ address: UInt64, size: UInt64, user: UInt64, _ permissions: Permissions)
    throws(GuestMemoryError)
  {
    let (last, overflow) = address.addingReportingOverflow(size &- 1)
    guard size > 0, !overflow else {
      throw GuestMemoryError("a translation of \(size) bytes at \(address) is not a range of addresses")
    }
    guard let host = memory?.map.translate(user: user, size) else {
      throw GuestMemoryError("a translation of \(size) bytes at \(address) leads outside the guest's memory")
    }
    hasChanges = true
    cut(address, last)
    guard !permissions.isEmpty else { return }
    let entry = Entry(
      first: address, last: last, host: UInt64(UInt(bitPattern: host)), permissions: permissions)
    insert(entry)
    while entries.count > capacity { evict(sparing: address) }
  }

  /// Forgets what is known of the addresses `first` to `last`. Returns whether anything was.
  public func invalidate(_ first: UInt64, _ last: UInt64) -> Bool {
    let changed = cut(first, last)
    hasChanges = hasChanges || changed
    return changed
  }

  /// Removes a range; entries that reach beyond it keep their rest.
  @discardableResult
  private func cut(_ first: UInt64, _ last: UInt64) -> Bool {
    let begin = index(endingAtOrAfter: first)
    var end = begin
    var rest: [Entry] = []
    while end < entries.count, entries[end].first <= last {
      let entry = entries[end]
      if entry.first < first {
        var head = entry
        head.last = first - 1
        rest.append(head)
      }
      if entry.last > last {
        let skipped = last - entry.first + 1
        rest.append(
          Entry(
            first: last + 1, last: entry.last, host: entry.host &+ skipped, permissions: entry.permissions))
      }
      end += 1
    }
    guard begin < end else { return false }
    entries.replaceSubrange(begin..<end, with: rest)
    return true
  }

  /// Adds an entry that overlaps none, joined with those it continues.
  private func insert(_ entry: Entry) {
    var entry = entry
    var begin = index(endingAtOrAfter: entry.first)
    var end = begin
    if begin > 0, entries[begin - 1].isContinued(by: entry) {
      begin -= 1
      entry.first = entries[begin].first
      entry.host = entries[begin].host
    }
    if end < entries.count, entry.isContinued(by: entries[end]) {
      entry.last = entries[end].last
      end += 1
    }
    entries.replaceSubrange(begin..<end, with: CollectionOfOne(entry))
  }

  /// Any will do, but the one just added: taken in turn, so that no range is the victim twice running.
  private func evict(sparing address: UInt64) {
    victim = (victim &+ 7919) % entries.count
    if entries[victim].first <= address, address <= entries[victim].last {
      victim = (victim + 1) % entries.count
    }
    entries.remove(at: victim)
  }

  /// The first entry that does not end before `address`.
  private func index(endingAtOrAfter address: UInt64) -> Int {
    var (low, high) = (0, entries.count)
    while low < high {
      let middle = (low + high) / 2
      if entries[middle].last < address { low = middle + 1 } else { high = middle }
    }
    return low
  }

  // MARK: looking up

  /// Where the `length` bytes at `address` are mapped, with all of `permissions`, published or not.
  // SAFETY: entries lie within guest memory's mappings, so what they translate is mapped.
  public func translate(_ address: UInt64, _ length: UInt64, _ permissions: Permissions) -> Lookup {
    let (last, overflow) = address.addingReportingOverflow(length &- 1)
    guard length > 0, !overflow else { return .scattered([]) }
    var position = index(endingAtOrAfter: address)
    var at = address
    var pieces: [JoinedMapping.Piece] = []
    var missing: [UInt64] = []
    while true {
      let end: UInt64
      if position < entries.count, entries[position].first <= at {
        let entry = entries[position]
        end = min(last, entry.last)
        if entry.permissions.isSuperset(of: permissions) {
          JoinedMapping.append(entry.host &+ (at - entry.first), end - at + 1, to: &pieces)
        } else {
          missing += Self.pages(at, end)
        }
        position += 1
      } else {
        end = position < entries.count ? min(last, entries[position].first - 1) : last
        missing += Self.pages(at, end)
      }
      if end == last { break }
      at = end + 1
    }
    if !missing.isEmpty { return .missing(missing) }
    guard pieces.count == 1, let pointer = UnsafeMutableRawPointer(bitPattern: UInt(pieces[0].host)) else {
      return .scattered(pieces)
    }
    return .found(pointer)
  }

  /// Maps scattered `pieces` in a row; nil when that is not possible.
  public func join(_ pieces: [JoinedMapping.Piece]) -> JoinedMapping? {
    memory.flatMap { JoinedMapping(pieces, of: $0) }
  }

  /// `first`, and the beginnings of the 4 KiB pages up to `last`: not more of them than a ring can have.
  private static func pages(_ first: UInt64, _ last: UInt64) -> [UInt64] {
    (0...min(last >> 12 - first >> 12, 255)).map { $0 == 0 ? first : (first >> 12 + $0) << 12 }
  }

  // MARK: poll threads

  /// Shows poll threads what has changed.
  public func publish() {
    guard hasChanges else { return }
    hasChanges = false
    edition &+= 1
    retired.append(readers.publish(table(.read)))
    retired.append(writers.publish(table(.write)))
  }

  /// Frees the maps before: every poll thread has finished a turn since `publish`.
  public func release() { retired.removeAll() }

  private func table(_ permission: Permissions) -> MapTable {
    let regions = entries.lazy.filter { $0.permissions.contains(permission) }.map {
      GuestRegion(guestAddress: $0.first, size: $0.last - $0.first + 1, userAddress: 0, host: $0.host)
    }
    return MapTable(Array(regions), fault: fault, isTranslated: true, edition: edition)
  }
}

extension TranslationCache.Entry {
  /// Whether `next` is the same translation going on.
  func isContinued(by next: Self) -> Bool {
    let size = last - first
    return last != .max && last + 1 == next.first && host &+ size &+ 1 == next.host
      && permissions == next.permissions
  }
}
