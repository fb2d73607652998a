// Frames a guest receives
// =======================
//
// As long as frames fit the plain descriptors the guest offers, a burst is passes that each fetch what the next will
// touch: heads; descriptors, which become addresses; then header and frame are copied, and used elements filled. The
// payload goes first and the private header last, over the bytes the payload's last vector may have spilled before it.
//
// A frame that needs a chain, or several mergeable buffers, goes through `scatter`, which takes nothing from the ring
// until the whole frame has found room.

import CLinux
import Glibc
import Packet
import Virtio

struct VhostUserTransmit: ~Copyable {
  /// A frame is spread over at most so many mergeable buffers: 64 KiB in buffers of 256 bytes.
  private static var maximumBuffers: Int { 256 }

  // First, because the thread sanitizer takes an access through it for one through the first field.
  /// Initialised while `memory` is set.
  private let queue: UnsafeMutablePointer<SplitVirtqueue>
  private let gate: UnsafePointer<VhostUserGate>
  /// The buffers the frames of a burst go to: `Batch.capacity` heads and addresses.
  private let heads: UnsafeMutablePointer<UInt16>
  private let targets: UnsafeMutablePointer<UnsafeMutableRawPointer>
  /// For `scatter`: `Batch.maximumSegments` pieces, `maximumBuffers` heads with their lengths.
  private let pieces: UnsafeMutablePointer<iovec>
  private let buffers: UnsafeMutablePointer<(head: UInt16, length: Int)>
  private var memory: GuestMemoryMap?
  private var headerLength = 12
  private var isMergeable = false
  private(set) var accepts: OffloadCapabilities = []
  /// What a driver may see of a request: nothing, not even that a checksum was verified, unless it negotiated
  /// GUEST_CSUM (virtio 1.3 §5.1.6.4.1).
  private var visibleBits: UInt64 = 0
  /// Longest frame the MTU allows; segments of GSO frames are shorter than the frame.
  var maximumFrameLength = Int.max

  init(_ gate: UnsafePointer<VhostUserGate>) {
    self.gate = gate
    queue = .allocate(capacity: 1)
    heads = .allocate(capacity: Batch.capacity)
    targets = .allocate(capacity: Batch.capacity)
    pieces = .allocate(capacity: Batch.maximumSegments)
    buffers = .allocate(capacity: Self.maximumBuffers)
  }

  deinit {
    queue.deallocate()
    heads.deallocate()
    targets.deallocate()
    pieces.deallocate()
    buffers.deallocate()
  }

  /// Through a copy of the pointer: a chain of accesses from a mutable `self` would count as writing to the gate.
  private func report(_ violation: RingViolation) {
    let gate = self.gate
    gate.pointee.report(violation)
  }

  // MARK: for the control thread, while the gate is closed and every poll thread has passed

  mutating func attach(
    _ queue: consuming SplitVirtqueue, _ memory: GuestMemoryMap, _ features: VirtioFeatures
  ) {
    self.queue.initialize(to: queue)
    self.memory = memory
    headerLength = VirtioNetHeader.length(features)
    isMergeable = features.contains(.mergeableReceiveBuffers)
    accepts = features.driverAccepts
    visibleBits = accepts.contains(.checksum) ? .max : 0
    // New receive buffers are looked for when there is something to put into them.
    self.queue.pointee.disarm()
  }

  /// Returns the ring position a successor continues at, or nil if nothing was attached.
  mutating func detach() -> UInt16? {
    guard memory != nil else { return nil }
    memory = nil
    accepts = []
    return queue.pointee.position
  }

  func interrupt() {
    if memory != nil { queue.pointee.interrupt() }
  }

  // MARK: for poll threads, one at a time, once the gate was seen open

  // SAFETY: what is attached while the gate is open stays so until this turn ends.
  mutating func transmit(
    _ frames: UnsafePointer<Outgoing>, _ indices: UnsafePointer<UInt16>, count: Int,
    from batch: borrowing Batch, _ counters: PortCounters
  ) {
    guard let memory else {
      counters.drop(.notReady, count)
      return
    }
    var done = 0
    var sent = 0
    var bytes = 0
    while done < count {
      let burst = min(count &- done, Batch.capacity)
      let plain = place(frames, indices + done, burst, memory)
      bytes = bytes &+ copy(frames, indices + done, plain, batch)
      queue.pointee.pop(plain)
      done = done &+ plain
      sent = sent &+ plain
      if plain == burst { continue }
      let outgoing = frames[Int(indices[done])]
      switch scatter(outgoing, memory, batch) {
      case nil:
        sent = sent &+ 1
        bytes = bytes &+ outgoing.length
        done = done &+ 1
      case .receiverFull:
        counters.drop(.receiverFull, count &- done)
        done = count
      case .some(let reason):
        counters.drop(reason)
        done = done &+ 1
      }
    }
    counters.add(.transmittedFrames, sent)
    counters.add(.transmittedBytes, bytes)
  }

  mutating func flush(_ counters: PortCounters) {
    guard memory != nil, queue.pointee.flush() else { return }
    counters.add(queue.pointee.notify() ? .notificationsSent : .notificationsSuppressed, 1)
  }

  @inline(__always)
  private func visible(_ offload: Offload) -> Offload {
    Offload(word: offload.word & visibleBits, checksumOffset: offload.checksumOffset)
  }

  // MARK: one plain descriptor for each frame

  /// Finds the places of the first frames that fit plain descriptors, and fetches them. Returns how many.
  // SAFETY: at most `Batch.capacity` targets are written; each was translated with the descriptor's length, which is
  // at least header and frame.
  @inline(__always)
  private mutating func place(
    _ frames: UnsafePointer<Outgoing>, _ indices: UnsafePointer<UInt16>, _ count: Int,
    _ memory: GuestMemoryMap
  ) -> Int {
    let offered = queue.pointee.pending(atMost: count)
    if offered <= 0 { return 0 }
    let (queue, heads, targets, headerLength, longest) = (
      queue, heads, targets, headerLength, maximumFrameLength
    )
    queue.pointee.heads(offered, into: heads)
    var index = 0
    while index < offered {
      let length = frames[Int(indices[index])].length
      let entry = queue.pointee.descriptor(heads[index])
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

  /// Copies `count` frames to their targets, and fills their used elements. Returns their bytes.
  // SAFETY: `place` has checked room for header and frame at each target.
  @inline(__always)
  private func copy(
    _ frames: UnsafePointer<Outgoing>, _ indices: UnsafePointer<UInt16>, _ count: Int,
    _ batch: borrowing Batch
  ) -> Int {
    let (queue, heads, targets, headerLength, visibleBits) = (
      queue, heads, targets, headerLength, visibleBits
    )
    var bytes = 0
    var index = 0
    while index < count {
      let outgoing = frames + Int(indices[index])
      let header = targets[index]
      let start = header + headerLength
      let headLength = Int(outgoing.pointee.headerLength)
      let tailLength = Int(outgoing.pointee.sourceLength)
      let length = headLength &+ tailLength
      let offset = Int(outgoing.pointee.sourceOffset)
      if tailLength > 0 {
        // In one piece, and 64 bytes end the source's range and the target's: the fast copy may spill before both.
        if let body = outgoing.pointee.body, length >= 64, offset &+ tailLength >= 64 {
          copyPayload(body + offset, to: start + headLength, tailLength)
        } else {
          batch.copy(
            batch.frames[Int(outgoing.pointee.frame)], from: offset, count: tailLength,
            to: start + headLength)
        }
      }
      copyShort(outgoing.pointee.header, to: start, headLength)
      let offload = Offload(
        word: outgoing.pointee.offload.word & visibleBits,
        checksumOffset: outgoing.pointee.offload.checksumOffset)
      VirtioNetHeader.write(offload, bufferCount: 1, length: headerLength, to: header)
      queue.pointee.fill(heads[index], length: UInt32(truncatingIfNeeded: length &+ headerLength))
      bytes = bytes &+ length
      index = index &+ 1
    }
    return bytes
  }

  // MARK: chains and mergeable buffers

  /// Copies one frame into as many buffers as it takes. Returns nil, or why it was dropped; buffers no frame could use
  /// go back empty, others stay for the next frame.
  @inline(never)
  private mutating func scatter(_ outgoing: Outgoing, _ memory: GuestMemoryMap, _ batch: borrowing Batch)
    -> DropReason?
  {
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
      if pending < 0 { report(.availableIndex) }
      if pending <= count { return .receiverFull }
      let head = queue.pointee.head(count)
      let chain = queue.pointee.walk(
        head, writable: true, memory, into: pieces + pieceCount,
        capacity: Batch.maximumSegments &- pieceCount)
      buffers[count] = (head, chain.length)
      count = count &+ 1
      if chain.outcome == .tooLong && count > 1 { return .bufferTooSmall }
      if chain.outcome != .complete { return giveBack(count, .badReceiveDescriptor) }
      if count == 1 && chain.length < headerLength { return giveBack(count, .bufferTooSmall) }
      room = room &+ chain.length
      pieceCount = pieceCount &+ chain.pieceCount
    }
    write(outgoing, bufferCount: count, pieceCount, batch)
    complete(count, needed)
    return nil
  }

  /// Completes the first `count` pending buffers with nothing in them.
  private mutating func giveBack(_ count: Int, _ reason: DropReason) -> DropReason {
    for index in 0..<count { queue.pointee.fill(buffers[index].head, length: 0) }
    queue.pointee.pop(count)
    return reason
  }

  private mutating func complete(_ count: Int, _ bytes: Int) {
    var left = bytes
    for index in 0..<count {
      let part = min(left, buffers[index].length)
      queue.pointee.fill(buffers[index].head, length: UInt32(truncatingIfNeeded: part))
      left = left &- part
    }
    queue.pointee.pop(count)
  }

  // SAFETY: the pieces have room for header and frame: `scatter` has counted.
  private func write(
    _ outgoing: Outgoing, bufferCount: Int, _ pieceCount: Int, _ batch: borrowing Batch
  ) {
    var writer = PieceWriter(pieces, pieceCount)
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

/// Writes one byte after the other into a list of pieces.
private struct PieceWriter {
  private let pieces: UnsafePointer<iovec>
  private let count: Int
  private var index = 0
  private var offset = 0

  init(_ pieces: UnsafePointer<iovec>, _ count: Int) {
    self.pieces = pieces
    self.count = count
  }

  // SAFETY: never past a piece's end nor the last piece.
  mutating func write(_ source: UnsafeRawPointer, _ length: Int) {
    var source = source
    var left = length
    while left > 0 && index < count {
      let piece = pieces[index]
      let part = min(left, piece.iov_len &- offset)
      (piece.iov_base + offset).copyMemory(from: source, byteCount: part)
      source += part
      left = left &- part
      offset = offset &+ part
      if offset == piece.iov_len {
        index = index &+ 1
        offset = 0
      }
    }
  }
}
