// How a frame travels
// ===================
//
// `receive` fills a Batch with up to 32 frames. A frame is a borrowed view: a *snapshot* of its first bytes, copied
// once out of memory the sender can still write, and *segments* that say where the whole frame lies in that memory.
// Everything is decided from the snapshot. Nothing else is ever parsed.
//
// What is transmitted is described by an Outgoing: private header bytes, then a range of the source frame's bytes.
// An unmodified frame is its snapshot followed by the source from the snapshot's end. A pushed VLAN tag, a rewritten
// field or a software segment only need another private header and another range: the payload is copied once, from
// the sender's buffers into the receiver's, whatever happened to the headers.
//
//     source segments   |----------- whole frame, the sender may still be writing it -----------|
//     snapshot          |~~~~ 64 B ~~~~|
//     Outgoing          [header (private)] + [source bytes sourceOffset ..< sourceOffset + sourceLength]
//
// Because the bytes that were classified are the bytes delivered, a sender that rewrites its buffers meanwhile
// changes nothing but its own payload.
//
// The source's buffers go back when the burst ends, always. Nothing here is owned across bursts.

import Glibc

/// One received frame, valid until its burst ends.
@frozen
public struct Frame {
  /// Bytes copied out of the sender's memory, and classified: enough for Ethernet, two tags and IPv4 + TCP.
  @inlinable public static var snapshotLength: Int { 64 }

  /// The private snapshot. `Batch.headroom` writable bytes lie before it.
  public var header: UnsafeMutableRawPointer
  /// Bytes in the snapshot: the lesser of `snapshotLength` and `length`.
  public var headerLength: UInt32
  /// Bytes of the whole frame, without FCS.
  public var length: UInt32
  /// The frame's segments, which cover it from its first byte: a range of `Batch.segments`.
  public var firstSegment: UInt32
  public var segmentCount: UInt32
  public var offload: Offload
  /// The frame's first byte in the sender's memory when all of it lies in one piece, or nil: then look at the segments.
  public var body: UnsafeRawPointer?

  @inlinable
  public init(
    header: UnsafeMutableRawPointer, headerLength: UInt32, length: UInt32, firstSegment: UInt32,
    segmentCount: UInt32, offload: Offload,
    body: UnsafeRawPointer? = nil
  ) {
    self.header = header
    self.headerLength = headerLength
    self.length = length
    self.firstSegment = firstSegment
    self.segmentCount = segmentCount
    self.offload = offload
    self.body = body
  }
}

/// One frame to transmit: `headerLength` private bytes, then `sourceLength` bytes of a received frame.
@frozen
public struct Outgoing {
  public var header: UnsafeRawPointer
  public var headerLength: UInt32
  /// Index into `Batch.frames`.
  public var frame: UInt32
  /// First source byte after the header, counted from the received frame's first byte.
  public var sourceOffset: UInt32
  public var sourceLength: UInt32
  public var offload: Offload
  /// As in the frame: its first byte, or nil.
  public var body: UnsafeRawPointer?

  @inlinable
  public init(
    header: UnsafeRawPointer, headerLength: UInt32, frame: UInt32, sourceOffset: UInt32, sourceLength: UInt32,
    offload: Offload, body: UnsafeRawPointer? = nil
  ) {
    self.header = header
    self.headerLength = headerLength
    self.frame = frame
    self.sourceOffset = sourceOffset
    self.sourceLength = sourceLength
    self.offload = offload
    self.body = body
  }

  /// Bytes of the frame on the wire, without FCS.
  @inlinable public var length: Int { Int(headerLength) &+ Int(sourceLength) }
}

/// Up to 32 received frames and everything their forwarding needs. One per poll thread; raw memory, so that no
/// reference is counted and nothing is allocated per frame.
@frozen
public struct Batch: ~Copyable {
  @inlinable public static var capacity: Int { 32 }
  /// Writable bytes before each snapshot: room for a pushed tag.
  @inlinable public static var headroom: Int { 64 }
  @inlinable public static var snapshotStride: Int { 128 }
  /// One frame has at most so many segments; longer descriptor chains are refused (virtio 1.3 §2.7.5.3.1 bounds a
  /// chain by the queue size, and no driver comes near this).
  @inlinable public static var maximumSegments: Int { 1024 }
  @inlinable public static var segmentCapacity: Int { 2048 }
  /// The largest frame: a 64 KiB GSO payload with its headers.
  @inlinable public static var maximumFrameLength: Int { 65_535 + 256 }
  /// Room for one frame received by a system call.
  @inlinable public static var bufferStride: Int { 66_560 }
  /// Bytes at `scratch`.
  @inlinable public static var scratchLength: Int { 128 << 10 }

  /// `capacity` frames, of which `count` are valid.
  public let frames: UnsafeMutablePointer<Frame>
  public var count: Int
  /// Whether a port may leave a few frames where they are for some microseconds, so that more come.
  public var prefersFullBursts = false
  /// `segmentCapacity` segments, of which `segmentCount` are in use.
  public let segments: UnsafeMutablePointer<iovec>
  public var segmentCount: Int
  @usableFromInline let snapshots: UnsafeMutableRawPointer
  @usableFromInline let buffers: UnsafeMutableRawPointer
  /// What a port needs during one call and may find as it left it at the next: `scratchLength` bytes aligned to a
  /// page, zero at first. It belongs to the thread, so that a port costs no memory per thread that may enter it.
  public let scratch: UnsafeMutableRawPointer

  public init() {
    frames = .allocate(capacity: Self.capacity)
    segments = .allocate(capacity: Self.segmentCapacity)
    segments.initialize(repeating: iovec(), count: Self.segmentCapacity)
    snapshots = .allocate(byteCount: Self.capacity * Self.snapshotStride, alignment: 64)
    snapshots.initializeMemory(as: UInt8.self, repeating: 0, count: Self.capacity * Self.snapshotStride)
    // Touched only by ports that receive through system calls, so that other threads never pay for its pages.
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
    let pages = mmap(nil, Self.mappedLength, PROT_READ | PROT_WRITE, flags, -1, 0)
    precondition(pages != nil && pages != MAP_FAILED, "no address space for a poll thread's receive buffers")
    scratch = pages!
    buffers = pages! + Self.scratchLength
    count = 0
    segmentCount = 0
  }

  deinit {
    frames.deallocate()
    segments.deallocate()
    snapshots.deallocate()
    munmap(scratch, Self.mappedLength)
  }

  private static var mappedLength: Int { scratchLength + capacity * bufferStride }

  /// Where frame `index` keeps its snapshot; `headroom` writable bytes lie before it, `snapshotLength` behind.
  // SAFETY: `index < capacity` is the caller's duty (a burst counter).
  @inlinable @inline(__always)
  public func snapshot(_ index: Int) -> UnsafeMutableRawPointer {
    snapshots + (index &* Self.snapshotStride &+ Self.headroom)
  }

  /// A buffer of `bufferStride` bytes for frame `index` to be received into by a system call.
  // SAFETY: `index < capacity` is the caller's duty (a burst counter).
  @inlinable @inline(__always)
  public func buffer(_ index: Int) -> UnsafeMutableRawPointer { buffers + index &* Self.bufferStride }

  /// Forgets all frames: the start of a burst.
  @inlinable @inline(__always)
  public mutating func clear() {
    count = 0
    segmentCount = 0
  }
}

extension Batch {
  /// Copies `count` bytes of a received frame, beginning `offset` bytes into it, to `target`.
  // SAFETY: `offset + count <= frame.length`, and the frame's segments cover its length: both hold by construction
  // of Frame and Outgoing. The sender may be writing meanwhile; the bytes are only moved, never looked at.
  @inlinable
  public func copy(_ frame: Frame, from offset: Int, count: Int, to target: UnsafeMutableRawPointer) {
    var target = target
    forEachPiece(frame, from: offset, count: count) { piece, length in
      target.copyMemory(from: piece, byteCount: length)
      target += length
    }
  }

  /// Calls `body` with each contiguous piece of `count` bytes of a received frame, beginning `offset` bytes into it.
  @inlinable @inline(__always)
  public func forEachPiece(
    _ frame: Frame, from offset: Int, count: Int, _ body: (UnsafeMutableRawPointer, Int) -> Void
  ) {
    var skip = offset
    var left = count
    var index = Int(frame.firstSegment)
    let end = index &+ Int(frame.segmentCount)
    while left > 0 && index < end {
      let segment = segments[index]
      let size = segment.iov_len
      if skip < size {
        let length = min(size &- skip, left)
        body(segment.iov_base! + skip, length)
        left = left &- length
        skip = 0
      } else {
        skip = skip &- size
      }
      index = index &+ 1
    }
  }
}
