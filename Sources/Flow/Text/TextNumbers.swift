// Numbers and addresses, as text and back. Reading returns nil for what is not one; the caller knows what to say.

enum TextNumber {
  /// As C's `strtoull` with base 0 reads it: `0x…` hexadecimal, `0…` octal, else decimal.
  static func integer(_ text: Text) -> UInt128? {
    guard let first = text.first else { return nil }
    guard first == 0x30, text.count > 1 else { return integer(text, base: 10) }
    if text[text.startIndex + 1] | 0x20 == UInt8(ascii: "x") {
      return integer(text.dropFirst(2), base: 16)
    }
    return integer(text.dropFirst(), base: 8)
  }

  static func integer(_ text: Text, base: UInt8) -> UInt128? {
    guard !text.isEmpty else { return nil }
    if text.count <= 15 {
      // Cannot overflow.
      var value: UInt64 = 0
      for byte in text {
        guard let digit = byte.digit, digit < base else { return nil }
        value = value &* UInt64(base) &+ UInt64(digit)
      }
      return UInt128(value)
    }
    var value: UInt128 = 0
    for byte in text {
      guard let digit = byte.digit, digit < base else { return nil }
      let (product, overflow) = value.multipliedReportingOverflow(by: UInt128(base))
      let (sum, carry) = product.addingReportingOverflow(UInt128(digit))
      if overflow || carry { return nil }
      value = sum
    }
    return value
  }

  static func ethernet(_ text: Text) -> UInt128? {
    var value: UInt128 = 0
    var count = 0
    for part in text.split(separator: .colon, omittingEmptySubsequences: false) {
      guard part.count <= 2, let byte = integer(part, base: 16), count < 6 else { return nil }
      value = value << 8 | byte
      count += 1
    }
    return count == 6 ? value : nil
  }

  static func ipv4(_ text: Text) -> UInt128? {
    var value: UInt128 = 0
    var count = 0
    for part in text.split(separator: .dot, omittingEmptySubsequences: false) {
      guard part.count <= 3, let byte = integer(part, base: 10), byte <= 255, count < 4 else { return nil }
      value = value << 8 | byte
      count += 1
    }
    return count == 4 ? value : nil
  }

  static func ipv6(_ text: Text) -> UInt128? {
    guard text.count <= 45 else { return nil }
    guard let gap = doubleColon(in: text) else {
      return groups(text, allowsNone: false).flatMap { $0.count == 8 ? join($0) : nil }
    }
    guard let head = groups(text[..<gap], allowsNone: true, allowsIPv4: false),
      let tail = groups(text[(gap + 2)...], allowsNone: true), head.count + tail.count <= 7
    else { return nil }
    return join(head + Array(repeating: 0, count: 8 - head.count - tail.count) + tail)
  }

  private static func doubleColon(in text: Text) -> Int? {
    text.indices.dropLast().first { text[$0] == .colon && text[$0 + 1] == .colon }
  }

  private static func join(_ groups: [UInt128]) -> UInt128 { groups.reduce(0) { $0 << 16 | $1 } }

  /// The 16-bit groups of a part of an IPv6 address; its end may be written as an IPv4 address.
  private static func groups(_ text: Text, allowsNone: Bool, allowsIPv4: Bool = true) -> [UInt128]? {
    if text.isEmpty { return allowsNone ? [] : nil }
    var result: [UInt128] = []
    let parts = text.split(separator: .colon, omittingEmptySubsequences: false)
    for (index, part) in parts.enumerated() {
      if allowsIPv4, index == parts.count - 1, part.contains(.dot) {
        guard let address = ipv4(part) else { return nil }
        result += [address >> 16, address & 0xFFFF]
      } else {
        guard part.count <= 4, let group = integer(part, base: 16) else { return nil }
        result.append(group)
      }
    }
    return result
  }

  /// The length of the run of ones a mask of `width` bits begins with; nil when there are ones behind it.
  static func prefixLength(_ mask: UInt128, width: Int) -> Int? {
    let length = (~(mask << UInt128(128 - width))).leadingZeroBitCount
    return mask == prefixMask(length, width: width) ? min(length, width) : nil
  }

  static func prefixMask(_ length: Int, width: Int) -> UInt128 {
    let all = UInt128.ones(width)
    return length >= width ? all : all & ~(all >> UInt128(length))
  }
}

// Writing.
extension TextNumber {
  /// `0x…`, and `0` for zero.
  static func hexadecimal(_ value: some BinaryInteger) -> String {
    value == 0 ? "0" : "0x" + String(value, radix: 16)
  }

  /// `0x…` of at least so many digits, zero too.
  static func hexadecimal(_ value: some BinaryInteger, digits: Int) -> String {
    let text = String(value, radix: 16)
    return "0x" + String(repeating: "0", count: max(0, digits - text.count)) + text
  }

  static func ethernet(_ value: UInt128) -> String {
    let address = UInt64(truncatingIfNeeded: value)
    var text = hexByte(UInt8(truncatingIfNeeded: address >> 40))
    for shift in [32, 24, 16, 8, 0] as [UInt64] {
      text += ":"
      text += hexByte(UInt8(truncatingIfNeeded: address >> shift))
    }
    return text
  }

  static func hexByte(_ byte: UInt8) -> String {
    byte < 16 ? "0" + String(byte, radix: 16) : String(byte, radix: 16)
  }

  static func ipv4(_ value: UInt128) -> String {
    let word = UInt32(truncatingIfNeeded: value)
    return "\(word >> 24).\(word >> 16 & 255).\(word >> 8 & 255).\(word & 255)"
  }

  /// As `inet_ntop(3)` writes it: the first longest run of two or more zero groups is left out, and addresses that hold
  /// an IPv4 address end with it.
  static func ipv6(_ value: UInt128) -> String {
    let groups = (0..<8).map { UInt16(truncatingIfNeeded: value >> UInt128(112 - 16 * $0)) }
    let gap = longestZeroRun(groups)
    var text = ""
    var index = 0
    while index < 8 {
      if let gap, index == gap.lowerBound {
        text += "::"
        index = gap.upperBound
        continue
      }
      if let gap, index == 6, gap.lowerBound == 0,
        gap.count == 6 || gap.count == 5 && groups[5] == 0xFFFF
      {
        return text + (text.hasSuffix(":") ? "" : ":") + ipv4(value & 0xFFFF_FFFF)
      }
      if !text.isEmpty, !text.hasSuffix(":") { text += ":" }
      text += String(groups[index], radix: 16)
      index += 1
    }
    return text
  }

  private static func longestZeroRun(_ groups: [UInt16]) -> Range<Int>? {
    var best: Range<Int>?
    var start = 0
    while start < 8 {
      var end = start
      while end < 8, groups[end] == 0 { end += 1 }
      if end - start >= 2, end - start > best?.count ?? 0 { best = start..<end }
      start = max(end, start + 1)
    }
    return best
  }
}
