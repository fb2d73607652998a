import Seeded

/// Writes frames with ever other addresses, tags and lengths.
struct FrameMaker {
  let flow: Flow
  /// 0 or 1: which of two neighbours.
  private let side: UInt64
  private var random: SeededRandom
  private var bits: UInt64 = 0

  init(_ flow: Flow, seed: UInt64) {
    self.flow = flow
    side = seed & 1
    random = SeededRandom(seed: seed)
  }

  // SAFETY: the buffer has room for the longest frame, 1518 bytes; no more than 60 are written, the rest stays as it is.
  mutating func write(to buffer: UnsafeMutableRawPointer) -> Int {
    bits = random.next()
    store(destination, at: 0, buffer)
    store(source, at: 6, buffer)
    var end = 12
    if flow == .trunks {
      buffer.storeBytes(of: UInt16(0x8100).bigEndian, toByteOffset: end, as: UInt16.self)
      buffer.storeBytes(of: UInt16(200 + (bits >> 16 & 3)).bigEndian, toByteOffset: end + 2, as: UInt16.self)
      end += 4
    }
    buffer.storeBytes(of: UInt16(0x88B5).bigEndian, toByteOffset: end, as: UInt16.self)
    buffer.storeBytes(of: flow.mark, toByteOffset: end + 2, as: UInt8.self)
    // Mostly short, some of any length, some as long as they get.
    switch bits >> 60 {
    case 0: return 64 + Int(bits >> 20 & 1023)
    case 1: return 1514
    default: return 64
    }
  }

  /// Mostly one of sixteen of the port's own, sometimes of a neighbour's, which then has moved, and sometimes one of a
  /// million: a flood for the MAC table.
  private var source: UInt64 {
    switch bits >> 24 & 15 {
    case 0: pool(side) | bits >> 28 & 0xF_FFFF
    case 1: pool(side ^ 1) | bits >> 28 & 15
    default: pool(side) | bits >> 28 & 15
    }
  }

  private var destination: UInt64 {
    switch (flow, bits >> 56 & 15) {
    case (.flood, 0..<6), (_, 0): 0xFFFF_FFFF_FFFF
    case (.flood, 6..<10), (_, 1): 0x0100_5E00_0000 | bits & 0x7F
    case (.flood, _), (_, 2): 0x0600_0000_0000 | bits & 0xFF_FFFF
    default: pool(side ^ 1) | bits & 15
    }
  }

  /// Addresses begin with the flow and the port.
  private func pool(_ side: UInt64) -> UInt64 { 0x0200_0000_0000 | UInt64(flow.mark) << 28 | side << 24 }

  private func store(_ address: UInt64, at offset: Int, _ buffer: UnsafeMutableRawPointer) {
    buffer.storeBytes(
      of: UInt16(truncatingIfNeeded: address >> 32).bigEndian, toByteOffset: offset, as: UInt16.self)
    buffer.storeBytes(
      of: UInt32(truncatingIfNeeded: address).bigEndian, toByteOffset: offset + 2, as: UInt32.self)
  }
}

/// Whether a delivered frame is one of `flow`: anything else has crossed from another VLAN.
// SAFETY: the buffer's own length is checked.
func belongs(_ frame: UnsafeRawBufferPointer, to flow: Flow) -> Bool {
  guard frame.count >= 60 else { return false }
  let isTagged = frame[12] == 0x81 && frame[13] == 0
  return frame[(isTagged ? 18 : 14)] == flow.mark
}
