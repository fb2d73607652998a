import Flow
import Packet

// What the packet path does with a frame of which some first bytes are private, in memory that ends with them, so that
// the address sanitizer sees whoever reads or writes one byte too many. For fuzzing.
extension FlowFrame {
  /// The most bytes that are ever asked for.
  package static var walkedLength: Int { HeaderWalk.walkedLength }

  /// The key, the bridge and in_port in it 0, found in the first `count` bytes of `frame`; nil when more are asked for.
  // SAFETY: `header` has `count` bytes, `key` the 15 words that are promised.
  package static func key(of frame: [UInt8], private count: Int) -> FlowWords? {
    let header = copy(frame.prefix(count))
    let key = UnsafeMutablePointer<UInt64>.allocate(capacity: FlowWords.packetCount)
    defer {
      header.deallocate()
      key.deallocate()
    }
    key.initialize(repeating: 0, count: FlowWords.packetCount)
    let extent = KeyExtraction.extract(
      header.baseAddress!, count: header.count, frameLength: frame.count, into: key)
    guard !extent.needsMore else { return nil }
    var words = FlowWords()
    for index in 0..<extent.words { words[index] = key[index] }
    return words
  }

  /// `frame` in the form `rewrite`, with its first `count` bytes private: 14 at least. Nil when more are asked for, or
  /// they are more than are ever private.
  // SAFETY: `header` has `count` bytes; a slot of the arena's length is what is promised.
  package static func rewritten(_ frame: [UInt8], by rewrite: Rewrite, private count: Int) -> [UInt8]? {
    let header = copy(frame.prefix(count))
    let slot = UnsafeMutableRawBufferPointer.allocate(byteCount: HeaderArena.slotLength, alignment: 64)
    defer {
      header.deallocate()
      slot.deallocate()
    }
    let written = withUnsafePointer(to: PreparedRewrite(rewrite)) {
      HeaderRewrite.write(
        $0, header.baseAddress!, count: header.count, frameLength: frame.count, offload: .none,
        to: slot.baseAddress!)
    }
    return written.length > 0 ? Array(slot.prefix(written.length)) + frame.dropFirst(count) : nil
  }

  /// Of no bytes too, there is an address.
  private static func copy(_ bytes: ArraySlice<UInt8>) -> UnsafeMutableRawBufferPointer {
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
    memory.copyBytes(from: bytes)
    return memory
  }
}
