import CLinux
import Glibc
import Packet

// A poll thread's memory for system calls
// =======================================
//
// Ports that receive and transmit through system calls describe each burst to the kernel: message headers, vectors,
// network headers, auxiliary data. All of that is used up when the call returns, so it belongs to the calling thread
// (`Batch.scratch`), not to the port: any number of threads may transmit through one port, a thousand ports cost no
// more than one, and the memory is warm.

/// `Batch.scratch`, laid out. Trivial: two pointers' worth of arithmetic.
struct MessageScratch {
  private let memory: UnsafeMutableRawPointer

  init(_ batch: borrowing Batch) { memory = batch.scratch }

  /// `struct virtio_net_hdr`: the 10 bytes before `num_buffers`.
  static var networkHeaderLength: Int { 10 }
  static var networkHeaderStride: Int { 16 }
  static var auxiliaryStride: Int { 112 }
  /// Pieces of all frames gathered at a time.
  static var pieceCapacity: Int { 2048 }

  private enum Offset {
    static var messages: Int { 0 }
    static var vectors: Int { messages + Batch.capacity * MemoryLayout<cl_mmsghdr>.stride }
    static var networkHeaders: Int { vectors + 2 * Batch.capacity * MemoryLayout<iovec>.stride }
    static var auxiliary: Int { networkHeaders + Batch.capacity * networkHeaderStride }
    static var outgoing: Int { auxiliary + Batch.capacity * auxiliaryStride }
    static var lengths: Int { outgoing + Batch.capacity * MemoryLayout<cl_mmsghdr>.stride }
    static var outgoingHeaders: Int { lengths + Batch.capacity * MemoryLayout<Int>.stride }
    static var pieces: Int { outgoingHeaders + Batch.capacity * networkHeaderStride }
    static var spill: Int { pieces + pieceCapacity * MemoryLayout<iovec>.stride }
    static var end: Int { spill + Batch.maximumFrameLength }
  }

  /// Whether the layout fits; constant, checked where ports are made.
  static var fits: Bool { Offset.end <= Batch.scratchLength }

  // SAFETY: the areas do not overlap and lie in the scratch memory, which is aligned to a page and outlives the call;
  // each is only ever bound to one type, for which zeroes are a value.

  // MARK: Receiving

  /// `Batch.capacity` messages.
  var received: UnsafeMutablePointer<cl_mmsghdr> { area(Offset.messages, Batch.capacity) }
  /// Two per received message: network header, frame.
  var receiveVectors: UnsafeMutablePointer<iovec> { area(Offset.vectors, 2 * Batch.capacity) }
  func receivedNetworkHeader(_ index: Int) -> UnsafeMutableRawPointer {
    memory + Offset.networkHeaders + index &* Self.networkHeaderStride
  }
  /// `auxiliaryStride` bytes of control messages.
  func auxiliary(_ index: Int) -> UnsafeMutableRawPointer {
    memory + Offset.auxiliary + index &* Self.auxiliaryStride
  }

  // MARK: Transmitting

  /// `Batch.capacity` messages.
  var outgoing: UnsafeMutablePointer<cl_mmsghdr> { area(Offset.outgoing, Batch.capacity) }
  /// The length of each outgoing frame.
  var lengths: UnsafeMutablePointer<Int> { area(Offset.lengths, Batch.capacity) }
  func outgoingNetworkHeader(_ index: Int) -> UnsafeMutableRawPointer {
    memory + Offset.outgoingHeaders + index &* Self.networkHeaderStride
  }
  /// `pieceCapacity` vectors.
  var pieces: UnsafeMutablePointer<iovec> { area(Offset.pieces, Self.pieceCapacity) }
  /// Where the end of a frame in more pieces than the kernel takes is put together; its pages are touched only then.
  var spill: UnsafeMutableRawPointer { memory + Offset.spill }

  private func area<T>(_ offset: Int, _ count: Int) -> UnsafeMutablePointer<T> {
    (memory + offset).bindMemory(to: T.self, capacity: count)
  }
}

extension Offload {
  /// What a `struct virtio_net_hdr` asks for. The kernel writes it in the machine's byte order; ours is little.
  // SAFETY: `header` has `MessageScratch.networkHeaderLength` bytes.
  init(networkHeader header: UnsafeRawPointer) {
    self.init(
      word: UInt64(littleEndian: header.loadUnaligned(as: UInt64.self)),
      checksumOffset: UInt16(littleEndian: header.loadUnaligned(fromByteOffset: 8, as: UInt16.self)))
  }

  /// Writes it as a `struct virtio_net_hdr`, without fields that mean nothing to the request: the kernel checks them
  /// all the same.
  // SAFETY: `header` has `MessageScratch.networkHeaderLength` bytes.
  func write(networkHeader header: UnsafeMutableRawPointer) {
    let checksumOnly: UInt64 = 0xFFFF_0000_0000_0001
    let all: UInt64 = 0xFFFF_FFFF_FFFF_FF01
    let word = isNone ? 0 : self.word & (isGSO ? all : checksumOnly)
    let offset = isNone ? 0 : checksumOffset
    header.storeBytes(of: word.littleEndian, as: UInt64.self)
    header.storeBytes(of: offset.littleEndian, toByteOffset: 8, as: UInt16.self)
  }
}
