// Frames a guest receives
// =======================
//
// As long as frames fit the plain descriptors the guest offers, a burst is passes that each fetch what the next will
// touch: descriptors, which become addresses; then header and frame are copied, and buffers given back. The
// payload goes first and the private header last, over the bytes the payload's last vector may have spilled before it.
//
// A frame that needs a chain, or several mergeable buffers, goes through `scatter`, which takes nothing from the ring
// until the whole frame has found room.
//
// While the guest migrates, each byte written is marked in its dirty log, after it was written. Behind a vIOMMU a ring
// or buffer may have no translation yet: it is asked for, and frames wait in a store of their own (`WaitingFrames`).
// The port asks ahead (`BufferLookahead`), so that is rare unless the guest takes all mappings back.

import CLinux
import Glibc
import Packet
import Virtio

struct VhostUserTransmit: ~Copyable {
  /// A frame is spread over at most so many mergeable buffers: 64 KiB in buffers of 256 bytes.
  private static var maximumBuffers: Int { 256 }

  // First, because the thread sanitizer takes an access through it for one through the first field.
  /// Initialised while `maps` is set.
  private let queue: UnsafeMutablePointer<Virtqueue>
  private let gate: UnsafePointer<VhostUserGate>
  /// The buffers the frames of a burst go to, `maximumBuffers` of them, and where those are, `Batch.capacity`.
  private let elements: UnsafeMutablePointer<Element>
  private let targets: UnsafeMutablePointer<UnsafeMutableRawPointer>
  /// For `scatter`: `Batch.maximumSegments` pieces, and how long each buffer is.
  private let pieces: UnsafeMutablePointer<iovec>
  private let lengths: UnsafeMutablePointer<Int>
  private var maps: UnsafePointer<PublishedMap>?
  /// What indirect tables are read from; set while `maps` is.
  private var tables: UnsafePointer<PublishedMap>?
  private var log: DirtyLog?
  private var headerLength = 12
  private var isMergeable = false
  private(set) var accepts: OffloadCapabilities = []
  /// What a driver may see of a request: nothing, not even that a checksum was verified, unless it negotiated
  /// GUEST_CSUM (virtio 1.3 §5.1.6.4.1).
  private var visibleBits: UInt64 = 0
  /// Longest frame the MTU allows; segments of GSO frames are shorter than the frame.
  var maximumFrameLength = Int.max
  /// Whether the driver may have to kick when it offers buffers, and for which translations it was last asked to.
  private var wantsKicks = false
  private var asked: UInt64?
  /// There is no ring, because the vIOMMU has not translated where it is.
  private var awaitsRing = false
  /// What frames wait for, and those frames.
  let missed: UnsafePointer<MissedAddress>
  let waiting: UnsafeMutablePointer<WaitingFrames>
  /// What the guest got by this queue.
  let own = PortCounters()

  init(_ gate: UnsafePointer<VhostUserGate>) {
    self.gate = gate
    missed = MissedAddress.make()
    waiting = WaitingFrames.make()
    queue = .allocate(capacity: 1)
    elements = .allocate(capacity: Self.maximumBuffers)
    elements.initialize(repeating: .zero, count: Self.maximumBuffers)
    targets = .allocate(capacity: Batch.capacity)
    pieces = .allocate(capacity: Batch.maximumSegments)
    lengths = .allocate(capacity: Self.maximumBuffers)
  }

  deinit {
    if maps != nil { queue.deinitialize(count: 1) }
    queue.deallocate()
    elements.deallocate()
    targets.deallocate()
    pieces.deallocate()
    lengths.deallocate()
    own.deallocate()
    MissedAddress.free(missed)
    WaitingFrames.free(waiting)
  }

  /// Through a copy of the pointer: a chain of accesses from a mutable `self` would count as writing to the gate.
  private func report(_ violation: RingViolation) {
    let gate = self.gate
    gate.pointee.report(violation)
  }

  // MARK: for the control thread, while the gate is closed and every poll thread has passed

  /// - Parameters:
  ///   - maps: what may be written; `tables`: what may be read.
  ///   - wantsKicks: whether the driver is to say when it offers buffers, for whoever asks ahead for their translations:
  ///     as long as those change.
  mutating func attach(
    _ queue: consuming Virtqueue, _ maps: UnsafePointer<PublishedMap>, tables: UnsafePointer<PublishedMap>,
    _ features: VirtioFeatures, log: DirtyLog?, wantsKicks: Bool
  ) {
    self.queue.initialize(to: queue)
    self.maps = maps
    self.tables = tables
    self.log = log
    self.wantsKicks = wantsKicks
    asked = nil
    headerLength = VirtioNetHeader.length(features)
    isMergeable = features.contains(.mergeableReceiveBuffers)
    accepts = features.driverAccepts
    visibleBits = accepts.contains(.checksum) ? .max : 0
    awaitsRing = false
    missed.pointee.forget()
    // New receive buffers are looked for when there is something to put into them.
    if wantsKicks { self.queue.pointee.armBehind() } else { self.queue.pointee.disarm() }
  }

  /// In place of `attach`: the ring's translations have yet to come.
  mutating func awaitRing() {
    awaitsRing = true
    missed.pointee.forget()
  }

  /// Returns the ring position a successor continues at, or nil if nothing was attached.
  mutating func detach() -> RingPosition? {
    awaitsRing = false
    guard maps != nil else { return nil }
    maps = nil
    tables = nil
    accepts = []
    let position = queue.pointee.position
    queue.deinitialize(count: 1)
    return position
  }

  func interrupt() {
    if maps != nil { queue.pointee.interrupt() }
  }

  // MARK: for poll threads, one at a time, once the gate was seen open

  // SAFETY: what is attached while the gate is open stays so until this turn ends.
  mutating func transmit(
    _ frames: UnsafePointer<Outgoing>, _ indices: UnsafePointer<UInt16>, count: Int,
    from batch: borrowing Batch, _ counters: PortCounters
  ) {
    guard let maps, let tables else {
      if awaitsRing { return keep(frames, indices, count, from: batch, counters) }
      return drop(.notReady, count, counters)
    }
    guard deliver(from: batch, counters) else { return keep(frames, indices, count, from: batch, counters) }
    let done = send(frames, indices, count, maps.pointee.map, tables, batch, counters)
    if done < count { keep(frames, indices + done, count &- done, from: batch, counters) }
  }

  /// Sends what waits, oldest first; false when it has to wait on. Also for the control thread while the gate is paused:
  /// what is added meanwhile stays.
  // SAFETY: as for `transmit`.
  mutating func deliver(from batch: borrowing Batch, _ counters: PortCounters) -> Bool {
    waiting.pointee.isEmpty || deliverWaiting(from: batch, counters)
  }

  @inline(never)
  private mutating func deliverWaiting(from batch: borrowing Batch, _ counters: PortCounters) -> Bool {
    guard let maps, let tables else { return false }
    var index: UInt16 = 0
    let end = waiting.pointee.end
    while var frame = waiting.pointee.first(before: end) {
      guard send(&frame, &index, 1, maps.pointee.map, tables, batch, counters) == 1 else { return false }
      waiting.pointee.remove(frame)
    }
    return true
  }

  @inline(never)
  private mutating func keep(
    _ frames: UnsafePointer<Outgoing>, _ indices: UnsafePointer<UInt16>, _ count: Int,
    from batch: borrowing Batch, _ counters: PortCounters
  ) {
    let kept = waiting.pointee.keep(frames, indices, count, from: batch, gate)
    if kept < count { drop(.untranslated, count &- kept, counters) }
  }

  /// Puts frames into the ring, or drops them. Returns how many: fewer than `count` when the next buffer is not
  /// translated.
  @inline(never)
  private mutating func send(
    _ frames: UnsafePointer<Outgoing>, _ indices: UnsafePointer<UInt16>, _ count: Int,
    _ memory: UnsafePointer<GuestMemoryMap>, _ tables: UnsafePointer<PublishedMap>, _ batch: borrowing Batch,
    _ counters: PortCounters
  ) -> Int {
    var isStopped = false
    var done = 0
    var sent = 0
    var bytes = 0
    while done < count && !isStopped {
      let burst = min(count &- done, Batch.capacity)
      let plain = place(frames, indices + done, burst, memory)
      bytes = bytes &+ copy(frames, indices + done, plain, batch)
      complete(plain)
      if log != nil { logPlain(plain) }
      done = done &+ plain
      sent = sent &+ plain
      if plain == burst { continue }
      let outgoing = frames[Int(indices[done])]
      switch scatter(outgoing, memory.pointee, tables: tables.pointee.current, batch) {
      case nil:
        sent = sent &+ 1
        bytes = bytes &+ outgoing.length
        done = done &+ 1
      case .receiverFull:
        drop(.receiverFull, count &- done, counters)
        done = count
      case .untranslated:
        isStopped = true
      case .some(let reason):
        drop(reason, 1, counters)
        done = done &+ 1
      }
    }
    self.count(.transmittedFrames, sent, counters)
    self.count(.transmittedBytes, bytes, counters)
    return done
  }

  mutating func flush(_ counters: PortCounters) {
    guard let maps, queue.pointee.flush() else { return }
    count(queue.pointee.notify() ? .notificationsSent : .notificationsSuppressed, 1, counters)
    if wantsKicks { askForKicks(maps.pointee.current.edition) }
    if log?.hasFaulted == true { report(.logTruncated) }
  }

  /// A guest that maps its buffers for good is spared the kicks: nothing has changed since it was last asked.
  private mutating func askForKicks(_ edition: UInt64) {
    if asked != edition { queue.pointee.armBehind() } else { queue.pointee.disarm() }
    asked = edition
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

  /// Takes the first `count` pending buffers, and gives them back with what was written to each.
  @inline(__always)
  private mutating func complete(_ count: Int) {
    queue.pointee.fill(elements, count: count)
    queue.pointee.pop(count)
  }

  @inline(__always)
  private func visible(_ offload: Offload) -> Offload {
    Offload(word: offload.word & visibleBits, checksumOffset: offload.checksumOffset)
  }

  // MARK: one plain descriptor for each frame

  /// Finds the places of the first frames that fit plain descriptors, and fetches them. Returns how many.
  // SAFETY: at most `Batch.capacity` targets are written; each was translated with the descriptor's length, which is
  // at least header and frame.
  @inline(never)
  private mutating func place(
    _ frames: UnsafePointer<Outgoing>, _ indices: UnsafePointer<UInt16>, _ count: Int,
    _ memory: UnsafePointer<GuestMemoryMap>
  ) -> Int {
    let offered = queue.pointee.pending(atMost: count)
    if offered <= 0 { return 0 }
    let (elements, targets, headerLength, longest) = (elements, targets, headerLength, maximumFrameLength)
    let memory = memory.pointee
    queue.pointee.elements(offered, into: elements)
    var index = 0
    while index < offered {
      let length = frames[Int(indices[index])].length
      let entry = elements[index].descriptor
      guard entry.isPlainWritable, Int(entry.length) >= length &+ headerLength, length <= longest,
        let target = memory.translate(entry.address, UInt64(entry.length))
      else { break }
      cl_prefetch_read(target)
      cl_prefetch_write(target + headerLength)
      targets[index] = target
      index = index &+ 1
    }
    return index
  }

  /// Copies `count` frames to their targets. Returns their bytes.
  // SAFETY: `place` has checked room for header and frame at each target.
  // Mutating, as other passes that are calls: what is not gets a copy of all of `self` (Swift 6.3).
  @inline(never)
  private mutating func copy(
    _ frames: UnsafePointer<Outgoing>, _ indices: UnsafePointer<UInt16>, _ count: Int,
    _ batch: borrowing Batch
  ) -> Int {
    let (elements, targets, headerLength, visibleBits) = (elements, targets, headerLength, visibleBits)
    var bytes = 0
    var index = 0
    while index < count {
      let outgoing = frames + Int(indices[index])
      let header = targets[index]
      let start = header + headerLength
      if outgoing.pointee.sourceLength > 0 { Self.copyBody(outgoing, to: start, batch) }
      copyShort(outgoing.pointee.header, to: start, Int(outgoing.pointee.headerLength))
      let offload = Offload(
        word: outgoing.pointee.offload.word & visibleBits,
        checksumOffset: outgoing.pointee.offload.checksumOffset)
      VirtioNetHeader.write(offload, bufferCount: 1, length: headerLength, to: header)
      let length = outgoing.pointee.length
      elements[index].written = UInt32(truncatingIfNeeded: length &+ headerLength)
      bytes = bytes &+ length
      index = index &+ 1
    }
    return bytes
  }

  /// Copies what follows a frame's private header, which goes to `start` afterwards. A call of its own: with it inline
  /// the loop of short frames would keep nothing in registers.
  // SAFETY: as for `copy`.
  @inline(never)
  private static func copyBody(
    _ outgoing: UnsafePointer<Outgoing>, to start: UnsafeMutableRawPointer, _ batch: borrowing Batch
  ) {
    let target = start + Int(outgoing.pointee.headerLength)
    let (offset, count) = (Int(outgoing.pointee.sourceOffset), Int(outgoing.pointee.sourceLength))
    // In one piece, and 64 bytes end the source's range and the target's: the fast copy may spill before both.
    if let body = outgoing.pointee.body, outgoing.pointee.length >= 64, offset &+ count >= 64 {
      copyPayload(body + offset, to: target, count)
    } else {
      batch.copy(batch.frames[Int(outgoing.pointee.frame)], from: offset, count: count, to: target)
    }
  }

  /// Marks what was written to the first `count` targets.
  @inline(never)
  private mutating func logPlain(_ count: Int) {
    guard let log else { return }
    for index in 0..<count { log.mark(targets[index], Int(elements[index].written)) }
  }

  // MARK: chains and mergeable buffers

  /// Copies one frame into as many buffers as it takes. Returns nil, or why it was dropped; buffers no frame could use
  /// go back empty, others stay for the next frame.
  @inline(never)
  private mutating func scatter(
    _ outgoing: Outgoing, _ memory: GuestMemoryMap, tables: GuestMemoryMap, _ batch: borrowing Batch
  ) -> DropReason? {
    if outgoing.length > maximumFrameLength && !outgoing.offload.isGSO { return .exceedsMTU }
    if memory.hasFaulted {
      report(.memoryTruncated)
      return .receiverFull
    }
    let needed = outgoing.length &+ headerLength
    var count = 0
    var room = 0
    var pieceCount = 0
    while room < needed {
      if count > 0 && !isMergeable || count == Self.maximumBuffers { return .bufferTooSmall }
      let pending = queue.pointee.pending(atMost: count &+ 1)
      if pending < 0 { report(.ringRules) }
      if pending <= count { return .receiverFull }
      elements[count] = queue.pointee.element(count)
      let chain = queue.pointee.walk(
        elements[count], writable: true, memory, tables: tables, into: pieces + pieceCount,
        capacity: Batch.maximumSegments &- pieceCount)
      if chain.outcome == .untranslated {
        missed.pointee.set(chain, gate)
        return .untranslated
      }
      lengths[count] = chain.length
      count = count &+ 1
      if chain.outcome == .tooLong && count > 1 { return .bufferTooSmall }
      if chain.outcome != .complete { return giveBack(count, .badReceiveDescriptor) }
      if count == 1 && chain.length < headerLength { return giveBack(count, .bufferTooSmall) }
      room = room &+ chain.length
      pieceCount = pieceCount &+ chain.pieceCount
    }
    write(outgoing, bufferCount: count, pieceCount, batch)
    var left = needed
    for index in 0..<count {
      let part = min(left, lengths[index])
      elements[index].written = UInt32(truncatingIfNeeded: part)
      left = left &- part
    }
    complete(count)
    return nil
  }

  /// Completes the first `count` pending buffers with nothing in them.
  private mutating func giveBack(_ count: Int, _ reason: DropReason) -> DropReason {
    complete(count)
    return reason
  }

  // SAFETY: the pieces have room for header and frame: `scatter` has counted.
  private mutating func write(
    _ outgoing: Outgoing, bufferCount: Int, _ pieceCount: Int, _ batch: borrowing Batch
  ) {
    var writer = PieceWriter(pieces, pieceCount, log)
    var header: (UInt64, UInt64) = (0, 0)
    withUnsafeMutableBytes(of: &header) { bytes in
      VirtioNetHeader.write(
        visible(outgoing.offload), bufferCount: UInt16(truncatingIfNeeded: bufferCount), length: headerLength,
        to: bytes.baseAddress!)
      writer.write(bytes.baseAddress!, headerLength)
    }
    writer.write(outgoing.header, Int(outgoing.headerLength))
    batch.forEachPiece(
      batch.frames[Int(outgoing.frame)], from: Int(outgoing.sourceOffset), count: Int(outgoing.sourceLength)
    ) { writer.write($0, $1) }
  }
}
