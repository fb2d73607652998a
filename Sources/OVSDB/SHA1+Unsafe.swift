/// SHA-1 (RFC 3174), which the log's records carry as a checksum. Not for security.
struct SHA1 {
  private typealias State = (UInt32, UInt32, UInt32, UInt32, UInt32)

  /// The digest as 40 lower-case hexadecimal digits (ASCII).
  static func hexadecimal(_ message: ArraySlice<UInt8>) -> [UInt8] {
    var state: State = (0x6745_2301, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476, 0xC3D2_E1F0)
    let whole = message.count & ~63
    process(message.prefix(whole), &state)
    var tail = Array(message.dropFirst(whole))
    tail.append(0x80)
    tail.append(contentsOf: repeatElement(0, count: (120 - tail.count) % 64))
    let bits = UInt64(message.count) &* 8
    for shift in stride(from: 56, through: 0, by: -8) {
      tail.append(UInt8(truncatingIfNeeded: bits >> UInt64(shift)))
    }
    process(tail[...], &state)
    var digits: [UInt8] = []
    digits.reserveCapacity(40)
    for word in [state.0, state.1, state.2, state.3, state.4] {
      for shift in stride(from: 28, through: 0, by: -4) {
        let digit = UInt8(word >> UInt32(shift) & 15)
        digits.append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
      }
    }
    return digits
  }

  /// Takes blocks of 64 bytes; `blocks` has nothing else.
  private static func process(_ blocks: ArraySlice<UInt8>, _ state: inout State) {
    // SAFETY: both buffers are used only inside their closures. The message is read at offsets below its count, which
    // is a multiple of 64, and the schedule at indices below its capacity of 80, each written before it is read.
    blocks.withUnsafeBytes { bytes in
      withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 80) { schedule in
        var offset = 0
        while offset < bytes.count {
          for index in 0..<16 {
            let word = bytes.loadUnaligned(fromByteOffset: offset &+ index &* 4, as: UInt32.self)
            schedule[index] = UInt32(bigEndian: word)
          }
          process(schedule.baseAddress!, &state)
          offset &+= 64
        }
      }
    }
  }

  private static func process(_ w: UnsafeMutablePointer<UInt32>, _ state: inout State) {
    for index in 16..<80 {
      w[index] = rotate(w[index &- 3] ^ w[index &- 8] ^ w[index &- 14] ^ w[index &- 16], 1)
    }
    var (a, b, c, d, e) = state
    @inline(__always) func round(_ function: UInt32, _ constant: UInt32, _ index: Int) {
      let next = rotate(a, 5) &+ function &+ e &+ constant &+ w[index]
      (e, d, c, b, a) = (d, c, rotate(b, 30), a, next)
    }
    for index in 0..<20 { round(d ^ (b & (c ^ d)), 0x5A82_7999, index) }
    for index in 20..<40 { round(b ^ c ^ d, 0x6ED9_EBA1, index) }
    for index in 40..<60 { round((b & c) | (d & (b | c)), 0x8F1B_BCDC, index) }
    for index in 60..<80 { round(b ^ c ^ d, 0xCA62_C1D6, index) }
    state.0 &+= a
    state.1 &+= b
    state.2 &+= c
    state.3 &+= d
    state.4 &+= e
  }

  @inline(__always) private static func rotate(_ value: UInt32, _ by: UInt32) -> UInt32 {
    value &<< by | value &>> (32 &- by)
  }
}
