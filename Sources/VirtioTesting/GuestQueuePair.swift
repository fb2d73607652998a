import Linux
import Packet
import Virtio

/// One receive and one transmit queue of a network card's driver, sending and receiving frames the way real drivers do,
/// in whatever descriptor layout a test asks for.
public final class GuestQueuePair {
  public let ram: GuestRAM
  public let receiveQueue: GuestQueue
  public let transmitQueue: GuestQueue
  /// Bytes before each frame.
  public let headerLength: Int

  private var sending: [UInt16: UInt64] = [:]
  /// Free send buffers, for short frames and for all.
  private var shortBuffers: [UInt64] = []
  private var longBuffers: [UInt64] = []
  private var isShort: [UInt64: Bool] = [:]
  private var posted: [UInt16: [GuestQueue.Buffer]] = [:]

  public init(_ ram: GuestRAM, features: VirtioFeatures, ringSize: Int) throws {
    self.ram = ram
    headerLength = VirtioNetHeader.length(features)
    receiveQueue = try GuestQueue(ram, size: ringSize, features: features)
    transmitQueue = try GuestQueue(ram, size: ringSize, features: features)
  }

  // MARK: sending

  /// Bytes of send buffers.
  private static let shortSize = 2048
  private static let longSize = 70_000

  /// Offers a frame and kicks if asked to; false when the ring is full.
  ///
  /// - Parameters:
  ///   - cuts: lengths of the descriptors header and frame are spread over; the last takes the rest. Empty: one.
  ///   - at: where to put it, instead of a buffer of the driver's own.
  public func send(
    _ frame: [UInt8], offload: Offload = .none, cuts: [Int] = [], indirect: Bool = false, at: UInt64? = nil
  ) -> Bool {
    guard offer(frame, offload: offload, cuts: cuts, indirect: indirect, at: at) else { return false }
    if transmitQueue.publish() { transmitQueue.kick.signal() }
    return true
  }

  /// Offers a frame without publishing it; false while ring or memory is full of frames under way.
  public func offer(
    _ frame: [UInt8], offload: Offload = .none, cuts: [Int] = [], indirect: Bool = false, at: UInt64? = nil
  ) -> Bool {
    reclaim()
    let bytes = headerBytes(offload) + frame
    guard let address = at ?? takeBuffer(bytes.count) else { return false }
    ram.write(bytes, at: address)
    var buffers: [GuestQueue.Buffer] = []
    var offset = 0
    for cut in cuts where offset < bytes.count {
      let length = min(cut, bytes.count - offset)
      buffers.append(.init(address + UInt64(offset), length, isWritable: false))
      offset += length
    }
    if offset < bytes.count || buffers.isEmpty {
      buffers.append(.init(address + UInt64(offset), bytes.count - offset, isWritable: false))
    }
    guard let head = transmitQueue.add(buffers, indirect: indirect) else {
      if at == nil { giveBuffer(address) }
      return false
    }
    if at == nil { sending[head] = address }
    return true
  }

  /// Takes completed send buffers back. Returns how many.
  @discardableResult
  public func reclaim() -> Int {
    var count = 0
    while let (head, _) = transmitQueue.complete() {
      if let address = sending.removeValue(forKey: head) { giveBuffer(address) }
      count += 1
    }
    return count
  }

  private func takeBuffer(_ bytes: Int) -> UInt64? {
    let short = bytes <= Self.shortSize
    if let address = short ? shortBuffers.popLast() : longBuffers.popLast() { return address }
    guard let address = ram.allocateIfRoom(short ? Self.shortSize : Self.longSize) else { return nil }
    isShort[address] = short
    return address
  }

  private func giveBuffer(_ address: UInt64) {
    if isShort[address] == true { shortBuffers.append(address) } else { longBuffers.append(address) }
  }

  // MARK: receiving

  /// Offers `count` receive chains, each of buffers of the given `sizes`.
  public func post(_ count: Int, sizes: [Int], indirect: Bool = false) {
    for _ in 0..<count {
      let buffers = sizes.map { GuestQueue.Buffer(ram.allocate($0), $0, isWritable: true) }
      guard post(buffers, indirect: indirect) else { break }
    }
    if receiveQueue.publish() { receiveQueue.kick.signal() }
  }

  /// Offers one receive chain without publishing it.
  public func post(_ buffers: [GuestQueue.Buffer], indirect: Bool = false) -> Bool {
    guard let head = receiveQueue.add(buffers, indirect: indirect) else { return false }
    posted[head] = buffers
    return true
  }

  /// The next frame the device delivered; its buffers are offered again if `repost`. Nil when there is none; buffers
  /// that came back empty are passed over.
  public func receive(repost: Bool = true) -> GuestDriver.Received? {
    while let first = next(repost: repost) {
      if first.isEmpty { continue }
      guard first.count >= headerLength else { return nil }
      var bufferCount = 1
      if headerLength == 12 { bufferCount = Int(first[10]) | Int(first[11]) << 8 }
      var bytes = Array(first.dropFirst(headerLength))
      for _ in 1..<max(1, bufferCount) {
        guard let more = next(repost: repost) else { return nil }
        bytes += more
      }
      return GuestDriver.Received(bytes: bytes, offload: Self.offload(first), bufferCount: bufferCount)
    }
    return nil
  }

  /// The bytes of the next completed chain, as many as the device says it wrote.
  private func next(repost: Bool) -> [UInt8]? {
    guard let (head, length) = receiveQueue.complete(), let buffers = posted.removeValue(forKey: head) else {
      return nil
    }
    var left = Int(length)
    var bytes: [UInt8] = []
    for buffer in buffers where left > 0 {
      let count = min(left, Int(buffer.length))
      bytes += ram.read(buffer.address, count)
      left -= count
    }
    if repost {
      _ = post(buffers)
      if receiveQueue.publish() { receiveQueue.kick.signal() }
    }
    return bytes
  }

  // MARK: the header

  private func headerBytes(_ offload: Offload) -> [UInt8] {
    var bytes = (0..<8).map { UInt8(truncatingIfNeeded: offload.word >> (UInt64($0) * 8)) }
    bytes += [
      UInt8(truncatingIfNeeded: offload.checksumOffset),
      UInt8(truncatingIfNeeded: offload.checksumOffset >> 8),
    ]
    return bytes + [UInt8](repeating: 0, count: headerLength - 10)
  }

  private static func offload(_ header: [UInt8]) -> Offload {
    let word = header[0..<8].reversed().reduce(0 as UInt64) { $0 << 8 | UInt64($1) }
    return Offload(word: word, checksumOffset: UInt16(header[8]) | UInt16(header[9]) << 8)
  }
}
