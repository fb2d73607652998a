// Frames a guest sends
// ====================
//
// The guest wrote all of this on another processor, so every line read is waited for. Hence passes over the burst, each
// fetching what the next will read: descriptors; their addresses (and the frames' first bytes); and then
// offload header and snapshot are copied out of guest memory and, behind a compiler barrier, the copies are judged.
// Nothing judged is ever read again.
//
// A frame in one plain descriptor takes the straight way. Chains, indirect tables, headers in a descriptor of their
// own, and frames near a region's end go through `gather`.
//
// Every buffer taken goes back in `release`, dropped frames' too, in the order they came: so the ring always says how far
// we are, and whoever comes after us can continue from it.
//
// Behind a vIOMMU an address may have no translation yet. The queue then stops before that buffer, asks for it
// (`MissedAddress`), and goes on when it is there; nobody else waits.

import CLinux
import Glibc
import Packet
import Virtio

struct VhostUserReceive: ~Copyable {
  // First, because the thread sanitizer takes an access through it for one through the first field.
  /// Initialised while `maps` is set.
  private let queue: UnsafeMutablePointer<Virtqueue>
  private let gate: UnsafePointer<VhostUserGate>
  /// Buffers taken in this burst. Nothing is ever written to any.
  private let elements: UnsafeMutablePointer<Element>
  /// Where their frames start, past the header; no address: not in one plain descriptor.
  private let starts: UnsafeMutablePointer<Start>
  private var taken = 0
  private var maps: UnsafePointer<PublishedMap>?
  private var log: DirtyLog?
  private var headerLength = 12
  private var allowed: OffloadCapabilities = []
  /// The ring is started but disabled: frames are taken and thrown away (vhost-user, "Ring states").
  private var discards = false
  /// The driver has no way to kick, or need not.
  private var isPolled = false
  private var pace = Pace()
  /// What waits for a translation.
  let missed: UnsafePointer<MissedAddress>
  /// What the guest sent by this queue.
  let own = PortCounters()

  private struct Start {
    var address: UnsafeMutableRawPointer?
    var length: UInt32
  }

  init(_ gate: UnsafePointer<VhostUserGate>) {
    self.gate = gate
    missed = MissedAddress.make()
    starts = .allocate(capacity: Batch.capacity)
    queue = .allocate(capacity: 1)
    elements = .allocate(capacity: Batch.capacity)
    elements.initialize(repeating: .zero, count: Batch.capacity)
  }

  deinit {
    if maps != nil { queue.deinitialize(count: 1) }
    queue.deallocate()
    elements.deallocate()
    starts.deallocate()
    own.deallocate()
    MissedAddress.free(missed)
  }

  /// Through a copy of the pointer: a chain of accesses from a mutable `self` would count as writing to the gate.
  private func report(_ violation: RingViolation) {
    let gate = self.gate
    gate.pointee.report(violation)
  }

  // MARK: for the control thread, while the gate is closed and every poll thread has passed

  mutating func attach(
    _ queue: consuming Virtqueue, _ maps: UnsafePointer<PublishedMap>, _ features: VirtioFeatures,
    log: DirtyLog?, isPolled: Bool, discards: Bool
  ) {
    self.queue.initialize(to: queue)
    self.maps = maps
    self.log = log
    self.isPolled = isPolled
    self.discards = discards
    headerLength = VirtioNetHeader.length(features)
    allowed = features.driverMayRequest
    taken = 0
    missed.pointee.forget()
  }

  /// Returns the ring position a successor continues at, or nil if nothing was attached.
  mutating func detach() -> RingPosition? {
    guard maps != nil else { return nil }
    maps = nil
    let position = queue.pointee.position
    queue.deinitialize(count: 1)
    return position
  }

  func interrupt() {
    if maps != nil { queue.pointee.interrupt() }
  }

  // MARK: for the owning poll thread, once the gate was seen open

  // SAFETY: what is attached while the gate is open stays so until this turn ends. `elements` and
  // the batch have room for `Batch.capacity`, which bounds both counters.
  mutating func receive(into batch: inout Batch, _ counters: PortCounters) -> Int {
    guard let maps, !missed.pointee.isSet else { return 0 }
    let memory = maps.pointee.map
    if memory.pointee.hasFaulted {
      report(.memoryTruncated)
      return 0
    }
    let pending = queue.pointee.pending(atMost: Batch.capacity &+ 1)
    if pending <= 0 {
      if pending < 0 { report(.ringRules) }
      return 0
    }
    if pace.holdsBack(pending, allowed: batch.prefersFullBursts) { return 0 }
    let limit = min(pending, Batch.capacity)
    queue.pointee.elements(limit, into: elements)
    if discards { return discard(limit, counters) }
    locate(limit, memory)
    let bytes = take(limit, memory, into: &batch, counters)
    queue.pointee.pop(taken)
    count(.receivedFrames, batch.count, counters)
    count(.receivedBytes, bytes, counters)
    if batch.count == 0 { release(counters) }
    return batch.count
  }

  /// Gives every buffer of the burst back.
  mutating func release(_ counters: PortCounters) {
    queue.pointee.fill(elements, count: taken)
    taken = 0
    if queue.pointee.flush() {
      count(queue.pointee.notify() ? .notificationsSent : .notificationsSuppressed, 1, counters)
      if log?.hasFaulted == true { report(.logTruncated) }
    }
  }

  func sleep() -> Bool {
    guard maps != nil, !missed.pointee.isSet else { return true }
    if isPolled { return false }
    return queue.pointee.arm()
  }

  func wake() {
    guard maps != nil else { return }
    queue.pointee.disarm()
  }

  @inline(__always)
  private func count(_ field: PortCounters.Field, _ amount: Int, _ counters: PortCounters) {
    counters.add(field, amount)
    own.add(field, amount)
  }

  private func drop(_ reason: DropReason, _ frames: Int, _ counters: PortCounters) {
    counters.drop(reason, frames)
    own.drop(reason, frames)
  }

  // MARK: the passes

  /// First pass: finds the frames that lie in one plain descriptor each, and fetches their headers.
  // SAFETY: a start that is not nil was translated with the header and 64 bytes behind it at least, which `take` reads.
  // Mutating: what is not, and is a call, gets a copy of all of `self` (Swift 6.3).
  @inline(never)
  private mutating func locate(_ limit: Int, _ memory: UnsafePointer<GuestMemoryMap>) {
    let header = UInt32(truncatingIfNeeded: headerLength)
    let shortest = header &+ 14
    let range = UInt32(Batch.maximumFrameLength) &- 14
    let window = UInt64(header &+ 64)
    let (elements, starts) = (elements, starts)
    let memory = memory.pointee
    var index = 0
    while index < limit {
      let entry = elements[index].descriptor
      var start = Start(address: nil, length: entry.length &- header)
      if entry.isPlainReadable, entry.length &- shortest <= range,
        let base = memory.translate(entry.address, max(UInt64(entry.length), window))
      {
        start.address = base + Int(header)
        cl_prefetch_read(base + Int(header))
      }
      starts[index] = start
      index = index &+ 1
    }
  }

  /// Second pass: copies offload header and first bytes of each frame out of guest memory, and behind a compiler
  /// barrier judges the copies. Returns the bytes of the frames taken.
  // SAFETY: see `locate`; the batch has room for `Batch.capacity` frames, and `gather` is given the room it needs.
  @inline(never)
  private mutating func take(
    _ limit: Int, _ memory: UnsafePointer<GuestMemoryMap>, into batch: inout Batch, _ counters: PortCounters
  ) -> Int {
    let (starts, toHeader) = (starts, 0 &- headerLength)
    let (frames, segments, snapshots) = (batch.frames, batch.segments, batch.snapshot(0))
    var bytes = 0
    var count = 0
    var segment = batch.segmentCount
    var index = 0
    while index < limit {
      let length = starts[index].length
      guard let start = starts[index].address else {
        // Room for the longest chain, and one segment for each frame after it.
        if segment > Batch.segmentCapacity &- Batch.maximumSegments &- Batch.capacity { break }
        batch.count = count
        batch.segmentCount = segment
        if let reason = gather(elements[index], memory.pointee, into: &batch) {
          if reason == .untranslated { break }
          drop(reason, 1, counters)
        } else {
          bytes = bytes &+ Int(frames[count].length)
          count = count &+ 1
          segment = batch.segmentCount
        }
        index = index &+ 1
        continue
      }
      let snapshot = snapshots + count &* Batch.snapshotStride
      let asked = VirtioNetHeader.read(start + toHeader)
      copy64(start, to: snapshot)
      cl_barrier()
      index = index &+ 1
      var offload = Offload.none
      if asked.word != 0 {
        guard let request = asked.accepted(length: Int(length), allowed) else {
          drop(.badOffload, 1, counters)
          continue
        }
        offload = request
      }
      segments[segment] = iovec(iov_base: start, iov_len: Int(length))
      frames[count] = Frame(
        header: snapshot, headerLength: min(64, length), length: length,
        firstSegment: UInt32(truncatingIfNeeded: segment), segmentCount: 1, offload: offload,
        body: UnsafeRawPointer(start))
      segment = segment &+ 1
      bytes = bytes &+ Int(length)
      count = count &+ 1
    }
    taken = index
    batch.count = count
    batch.segmentCount = segment
    return bytes
  }

  /// Appends the frame in a chain, or says why not; `untranslated`: not yet.
  // SAFETY: the caller left room for `maximumSegments`; the private header and snapshot bound both copies.
  @inline(never)
  private mutating func gather(_ element: Element, _ memory: GuestMemoryMap, into batch: inout Batch)
    -> DropReason?
  {
    let pieces = batch.segments + batch.segmentCount
    let chain = queue.pointee.walk(
      element, writable: false, memory, tables: memory, into: pieces, capacity: Batch.maximumSegments)
    switch chain.outcome {
    case .malformed: return .badDescriptor
    case .tooLong: return .oversized
    case .untranslated:
      missed.pointee.set(chain, gate)
      return .untranslated
    case .complete: break
    }
    let length = chain.length &- headerLength
    if length < 14 { return .runt }
    if length > Batch.maximumFrameLength { return .oversized }

    var header: (UInt64, UInt64) = (0, 0)
    let first = withUnsafeMutableBytes(of: &header) { bytes in
      Self.strip(headerLength, from: pieces, chain.pieceCount, into: bytes.baseAddress!)
    }
    let asked = Offload(word: header.0, checksumOffset: UInt16(truncatingIfNeeded: header.1))
    guard let offload = asked.accepted(length: length, allowed) else { return .badOffload }
    let index = batch.count
    batch.frames[index] = Frame(
      header: batch.snapshot(index), headerLength: UInt32(min(64, length)), length: UInt32(length),
      firstSegment: UInt32(batch.segmentCount &+ first), segmentCount: UInt32(chain.pieceCount &- first),
      offload: offload)
    batch.segmentCount = batch.segmentCount &+ chain.pieceCount
    batch.count = index &+ 1
    let frame = batch.frames[index]
    batch.copy(frame, from: 0, count: Int(frame.headerLength), to: frame.header)
    return nil
  }

  /// Moves the first `count` bytes of `pieces` to `target`. Returns the index of the first piece that has bytes left.
  // SAFETY: the pieces have more than `count` bytes in all.
  private static func strip(
    _ count: Int, from pieces: UnsafeMutablePointer<iovec>, _ pieceCount: Int,
    into target: UnsafeMutableRawPointer
  ) -> Int {
    var done = 0
    var index = 0
    while index < pieceCount {
      let part = min(pieces[index].iov_len, count &- done)
      (target + done).copyMemory(from: pieces[index].iov_base, byteCount: part)
      done = done &+ part
      pieces[index].iov_base += part
      pieces[index].iov_len = pieces[index].iov_len &- part
      if pieces[index].iov_len > 0 { return index }
      index = index &+ 1
    }
    return index
  }

  private mutating func discard(_ limit: Int, _ counters: PortCounters) -> Int {
    taken = limit
    queue.pointee.pop(limit)
    drop(.ringDisabled, limit, counters)
    release(counters)
    return 0
  }
}
