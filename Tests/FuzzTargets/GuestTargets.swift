import Glibc
import Linux
import Packet
import VhostUser
import Virtio

extension FuzzTarget {
  /// A front-end that says anything, with descriptors attached where a message wants them.
  static let vhostUserSession = FuzzTarget("vhost-user-session", seeds: sessionSeeds) { bytes in
    var ends: [Int32] = [-1, -1]
    let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
    guard socketpair(AF_UNIX, type, 0, &ends) == 0 else { throw SystemError.last("make a pair of sockets") }
    let frontEnd = Connection(FileDescriptor(owning: ends[0]))
    let owner = Bystander()
    let session = Session(Connection(FileDescriptor(owning: ends[1])), owner: owner)
    let memory = try makeMemoryFile(name: "fuzz", size: 1 << 16)
    let event = try EventFD()

    // The first byte of each chunk says what to attach to it; the rest is the message.
    var rest = bytes[...]
    var isOver = false
    while let kind = rest.popFirst(), !isOver {
      let length = rest.count >= 12 ? min(rest.count, 12 + Int(rest[rest.startIndex + 8])) : rest.count
      let descriptors: [Int32]
      switch kind & 3 {
      case 1: descriptors = [memory.raw]
      case 2: descriptors = [event.raw]
      case 3: descriptors = [memory.raw, memory.raw]
      default: descriptors = []
      }
      guard length > 0 else { break }
      do {
        try frontEnd.send(bytes: Array(rest.prefix(length)), descriptors: descriptors)
        rest = rest.dropFirst(length)
        try session.process()
        while try frontEnd.receive() != nil {}
      } catch { isOver = true }
    }
    session.end()
  }

  /// The headers of a frame, and its checksum: nothing beyond the frame's last byte is touched.
  static let frameHeaders = FuzzTarget("frame-headers", seeds: frameSeeds) { bytes in
    // An allocation of exactly this size, so that the address sanitizer sees one byte too many.
    let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
    defer { copy.deallocate() }
    copy.copyBytes(from: bytes)
    guard let base = copy.baseAddress.map({ UnsafeRawPointer($0) }) else { return }
    if bytes.count >= EthernetHeader.length { _ = EthernetHeader(reading: base) }
    guard let layout = HeaderLayout(base, count: bytes.count) else { return }
    if !layout.isTruncated {
      require(layout.networkOffset <= bytes.count, "the network header begins inside the frame")
      for offset in [layout.transportOffset, layout.payloadOffset].compactMap({ $0 }) {
        require(offset <= bytes.count, "every header begins inside the frame")
      }
    }
    var checksum = Checksum()
    checksum.add(base, count: bytes.count)
    _ = checksum.transportValue
  }

  /// A ring, its descriptors and tables are whatever the guest wrote: chains end, and stay inside its memory.
  static let ring = FuzzTarget("ring", seeds: { [ringSeed] }) { bytes in
    let size = 1 << 16
    let file = try makeMemoryFile(name: "fuzz", size: size)
    _ = pwrite(file.raw, bytes, min(bytes.count, size), 0)
    let region = GuestRegionDescription(guestAddress: 0, size: UInt64(size), userAddress: 0, fileOffset: 0)
    let memory = try GuestMemory([region], files: [file.raw])
    guard let base = memory.map.translate(0, UInt64(size)) else { return }
    let layout = SplitVirtqueue.Layout(size: 16, descriptors: base, available: base + 256, used: base + 512)
    var queue = SplitVirtqueue(layout, position: 0, features: .implemented, call: -1)
    let capacity = 24
    let pieces = UnsafeMutablePointer<iovec>.allocate(capacity: capacity)
    defer { pieces.deallocate() }
    let pending = queue.pending(atMost: 32)
    require(pending <= 32, "no more is pending than was asked for")
    guard pending > 0 else { return }  // nothing, or an index that jumped
    for offset in 0..<pending {
      for writable in [false, true] {
        let chain = queue.walk(
          queue.head(offset), writable: writable, memory.map, into: pieces, capacity: capacity)
        require(chain.pieceCount <= capacity, "a chain has room")
        for piece in UnsafeBufferPointer(start: pieces, count: chain.pieceCount) where piece.iov_len > 0 {
          let start = UInt(bitPattern: piece.iov_base) &- UInt(bitPattern: base)
          require(
            start <= UInt(size) && UInt(piece.iov_len) <= UInt(size) - start, "a piece is in guest memory")
        }
      }
      queue.fill(queue.head(offset), length: 0)
    }
    queue.pop(pending)
    _ = queue.flush()
  }

  // MARK: Seeds

  private static func sessionSeeds() -> [[UInt8]] {
    func chunk(_ attached: UInt8, _ request: UInt32, _ payload: [UInt8]) -> [UInt8] {
      [attached] + littleEndian(request) + littleEndian(UInt32(1)) + littleEndian(UInt32(payload.count))
        + payload
    }
    let words = { (values: [UInt64]) in values.flatMap { littleEndian($0) } }
    let features = chunk(0, 1, []) + chunk(0, 2, words([0x1_7000_0000]))
    let protocolFeatures = chunk(0, 15, []) + chunk(0, 16, words([0x8]))
    let memory = chunk(
      1, 5, littleEndian(UInt32(1)) + littleEndian(UInt32(0)) + words([0, 0x10000, 0x10_0000, 0]))
    let state = { (request: UInt32, number: UInt32) in
      chunk(0, request, littleEndian(UInt32(0)) + littleEndian(number))
    }
    let addresses = chunk(
      0, 9, littleEndian(UInt32(0)) + littleEndian(UInt32(0)) + words([0x10_0000, 0x10_0200, 0x10_0100, 0]))
    let start = chunk(2, 13, words([0])) + chunk(2, 12, words([0])) + state(18, 1)
    return [
      features + protocolFeatures + memory,
      features + memory + state(8, 16) + addresses + state(10, 0) + start + state(11, 0),
    ]
  }

  private static func frameSeeds() -> [[UInt8]] {
    let ethernet: [UInt8] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]
    let ipv4: [UInt8] = [0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]
    let tcp: [UInt8] = [0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0]
    let ipv6: [UInt8] = [0x60, 0, 0, 0, 0, 28, 0, 64] + [UInt8](repeating: 0xfe, count: 32)
    return [
      ethernet + [8, 0] + ipv4 + tcp,
      ethernet + [0x81, 0, 0, 5, 8, 0] + ipv4 + tcp,
      ethernet + [0x86, 0xdd] + ipv6 + [6, 0, 0, 0, 0, 0, 0, 0] + tcp,
    ]
  }

  private static let ringSeed: [UInt8] = {
    func descriptor(_ address: UInt64, _ length: UInt32, _ flags: UInt16, _ next: UInt16) -> [UInt8] {
      littleEndian(address) + littleEndian(length) + littleEndian(flags) + littleEndian(next)
    }
    var bytes = descriptor(4096, 12, 1, 1) + descriptor(8192, 64, 0, 0) + descriptor(1024, 32, 4, 0)
    bytes += [UInt8](repeating: 0, count: 256 - bytes.count)
    bytes += [0, 0, 2, 0, 0, 0, 2, 0]
    bytes += [UInt8](repeating: 0, count: 1024 - bytes.count)
    return bytes + descriptor(4096, 12, 1, 1) + descriptor(8192, 64, 0, 0)
  }()
}

/// Moves no frames.
private final class Bystander: SessionOwner {
  func quiesce(_ session: Session) {}
  func resume(_ session: Session) {}
}
